-- The last reverse run of each table, and its quarantine by reason.
SELECT
    p.table_name,
    p.pulled_at,
    p.digest,
    coalesce((p.findings ->> 'changed')::bigint, 0) AS changed,
    coalesce((p.findings ->> 'missing')::bigint, 0) AS missing,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.rows DESC, e.reason, e."column"), '[]')
        FROM (
            SELECT q.reason, q.column_name AS "column", q.parent,
                CASE q.reason WHEN 'refused' THEN left(q.message, 200) END AS message, count(*) AS rows
            FROM powerca_sync.quarantine AS q
            WHERE q.table_name = p.table_name
            GROUP BY 1, 2, 3, 4
        ) AS e
    ) AS quarantine
FROM powerca_sync.pulls AS p
