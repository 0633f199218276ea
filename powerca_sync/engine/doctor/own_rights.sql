-- What this role may do with the engine's own tables, or to make them.
SELECT
    has_database_privilege(current_database(), 'TEMP') AS temporary,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    has_schema_privilege('public', 'CREATE') AS may_create_in_public,
    (SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'powerca_sync') AS usage,
    (SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace AS n WHERE n.nspname = 'powerca_sync') AS "create",
    ARRAY(
        SELECT c.oid::bigint
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r'
            AND (n.nspname = 'powerca_sync' OR (n.nspname, c.relname) IN (('public', '_sync_metadata'), ('public', 'sync_log')))
        ORDER BY n.nspname, c.relname
    ) AS own_tables
