-- What this role may do with each of these tables. Rows are hidden where row-level security applies to the role.
SELECT
    c.oid::bigint AS oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    has_schema_privilege(n.oid, 'USAGE') AS usage,
    ARRAY(
        SELECT privilege
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE has_table_privilege(c.oid, privilege)
    ) AS granted,
    c.relkind IN ('r', 'p') AND row_security_active(c.oid) AS hidden
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%(tables)s::bigint[]::oid[])
ORDER BY n.nspname, c.relname
