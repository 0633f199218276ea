-- Record why a run of a table failed. An unknown desktop is the only registered one, if there is one only.
INSERT INTO powerca_sync.failure (office, table_name, message)
SELECT o.office, %(table)s, %(message)s
FROM (
    SELECT coalesce(%(office)s::text, CASE WHEN count(DISTINCT r.office) = 1 THEN min(r.office) END) AS office
    FROM powerca_sync.office AS r
) AS o
WHERE o.office IS NOT NULL
ON CONFLICT (office, table_name) DO UPDATE SET message = excluded.message, failed_at = excluded.failed_at
