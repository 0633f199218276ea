-- Last reverse run of a table, its quarantine by reason, and the number of quarantined rows among the new phone rows.
SELECT
    (SELECT p.pulled_at FROM powerca_sync.pulls AS p WHERE p.table_name = %(table)s) AS last_pull,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(entry) ORDER BY entry.rows DESC, entry.reason, entry."column"), '[]')
        FROM (
            SELECT q.reason, q.column_name AS "column", q.parent,
                CASE q.reason WHEN 'refused' THEN left(q.message, 200) END AS message, count(*) AS rows
            FROM powerca_sync.quarantine AS q
            WHERE q.table_name = %(table)s
            GROUP BY 1, 2, 3, 4
        ) AS entry
    ) AS quarantine,
    (
        SELECT count(*)
        FROM pg_temp.powerca_classification AS f
        JOIN powerca_sync.quarantine AS q
            ON (q.mobile_key, q.content_hash, q.occurrence) = (f.key, f.hash, f.occurrence)
        WHERE q.table_name = %(table)s AND f.verdict = 'new'
    ) AS known
