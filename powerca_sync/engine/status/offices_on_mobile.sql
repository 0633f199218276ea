-- The state of each table of each office, as far as a run has recorded it. Reads the engine's own tables only.
WITH quarantined AS (
    SELECT e.office, e.table_name, jsonb_agg(to_jsonb(e) - 'office' - 'table_name' ORDER BY e.rows DESC) AS entries
    FROM (
        SELECT q.office, q.table_name, q.reason, q.column_name AS "column", q.parent,
            CASE q.reason WHEN 'refused' THEN left(q.message, 200) END AS message, count(*) AS rows
        FROM powerca_sync.quarantine AS q
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS e
    GROUP BY 1, 2
)
SELECT
    office,
    table_name,
    t.mode,
    t.synced_at,
    t.records,
    t.rows_read,
    t.milliseconds,
    coalesce((t.target_mark ->> 'rows')::bigint, 0) AS foreign_rows,
    left(f.message, 2000) AS error,
    coalesce(q.entries, '[]') AS quarantine
FROM powerca_sync.table_state AS t
FULL JOIN powerca_sync.failure AS f USING (office, table_name)
FULL JOIN quarantined AS q USING (office, table_name)
