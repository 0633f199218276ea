-- Foreign keys from other tables whose rows go, or lose their reference, with a row of one of these.
SELECT
    k.confrelid::bigint AS parent,
    n.nspname::text AS schema,
    c.relname::text AS name,
    CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END AS action
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd')
    AND k.confrelid = ANY (%(tables)s::bigint[]::oid[]) AND NOT k.conrelid = ANY (%(tables)s::bigint[]::oid[])
ORDER BY n.nspname, c.relname
