-- What is remembered of each wanted table, in the order asked. Without an office, the quarantine of all offices.
SELECT
    wanted.name,
    (
        SELECT string_agg(DISTINCT t.mode, ', ')
        FROM powerca_sync.table_state AS t
        WHERE t.table_name = wanted.name AND (%(office)s::text IS NULL OR t.office = %(office)s::text)
    ) AS mode,
    m.last_sync_timestamp,
    m.records_synced,
    m.last_sync_duration_ms,
    m.error_message,
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
LEFT JOIN public._sync_metadata AS m ON m.table_name = wanted.name
ORDER BY wanted.place
