-- State tables that an earlier version of the guide's system left, with their columns, and whether this role owns them.
SELECT c.relname::text AS name, pg_has_role(c.relowner, 'USAGE') AS owned, array_agg(a.attname::text) AS columns
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relname IN ('_sync_metadata', '_reverse_sync_metadata', 'sync_log')
GROUP BY c.oid, c.relname, c.relowner
ORDER BY c.relname
