-- Does the table of tokens exist, may it be read, and may it be written or created; does the schema exist?
SELECT
    t.oid IS NOT NULL AS exists,
    coalesce(n.usage AND has_table_privilege(t.oid, 'SELECT'), false) AS readable,
    NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off' AND CASE
        WHEN t.oid IS NOT NULL THEN n.usage AND has_table_privilege(t.oid, 'SELECT')
            AND has_table_privilege(t.oid, 'INSERT') AND has_table_privilege(t.oid, 'DELETE')
        WHEN n.oid IS NOT NULL THEN n.usage AND has_schema_privilege(n.oid, 'CREATE')
        ELSE has_database_privilege(current_database(), 'CREATE')
    END AS writable,
    n.oid IS NOT NULL AS has_schema
FROM (SELECT) AS nothing
LEFT JOIN (
    SELECT s.oid, has_schema_privilege(s.oid, 'USAGE') AS usage FROM pg_namespace AS s WHERE s.nspname = 'powerca_sync'
) AS n ON true
LEFT JOIN pg_class AS t ON t.relnamespace = n.oid AND t.relname = 'run_token'
