-- Who may create objects in these schemas, besides us, superusers, and owners of the schema or of the database.
SELECT n.nspname::text AS schema, coalesce(r.rolname::text, '') AS role
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
WHERE n.nspname = ANY (%(schemas)s) AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    AND NOT coalesce(r.rolsuper, false) AND coalesce(r.rolname <> current_user, true)
    AND a.grantee <> (SELECT d.datdba FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
ORDER BY array_position(%(schemas)s, n.nspname::text), 2
