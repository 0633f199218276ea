-- The state of each wanted table, in the given order. Without an office, quarantine and errors of all offices, and the
-- oldest run, so that no office looks fresh because of another.
SELECT
    wanted.name,
    last.mode,
    last.synced_at,
    last.records,
    last.milliseconds,
    coalesce(last.foreign_rows, 0),
    (
        SELECT f.message
        FROM powerca_sync.failure AS f
        WHERE f.table_name = wanted.name AND (%(office)s::text IS NULL OR f.office = %(office)s::text)
        ORDER BY f.failed_at DESC
        LIMIT 1
    ) AS error,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(entry) ORDER BY entry.rows DESC), '[]')
        FROM (
            SELECT q.reason, q.column_name AS "column", q.parent,
                CASE q.reason WHEN 'refused' THEN left(q.message, 200) END AS message, count(*) AS rows
            FROM powerca_sync.quarantine AS q
            WHERE q.table_name = wanted.name AND (%(office)s::text IS NULL OR q.office = %(office)s::text)
            GROUP BY 1, 2, 3, 4
        ) AS entry
    ) AS quarantine
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN LATERAL (
    SELECT
        string_agg(DISTINCT t.mode, ', ') AS mode,
        min(t.synced_at) AS synced_at,
        sum(t.records)::bigint AS records,
        max(t.milliseconds) AS milliseconds,
        sum((t.target_mark ->> 'rows')::bigint)::bigint AS foreign_rows
    FROM powerca_sync.table_state AS t
    WHERE t.table_name = wanted.name AND (%(office)s::text IS NULL OR t.office = %(office)s::text)
) AS last ON true
ORDER BY wanted.place
