-- Transactions of this database that were prepared (PREPARE TRANSACTION) and not ended, and which of these tables, or
-- rows of them, they keep locked. Such locks belong to no session.
SELECT
    p.gid,
    p.owner::text AS owner,
    extract(epoch FROM clock_timestamp() - p.prepared)::integer AS seconds,
    ARRAY(
        SELECT DISTINCT c.relname::text
        FROM pg_catalog.pg_locks AS own
        JOIN pg_catalog.pg_locks AS l ON l.virtualtransaction = own.virtualtransaction AND l.pid IS NULL
        JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
        WHERE own.transactionid = p.transaction AND own.pid IS NULL AND l.mode <> 'AccessShareLock'
            AND l.relation = ANY (%(tables)s::bigint[]::oid[])
        ORDER BY 1
    ) AS tables
FROM pg_catalog.pg_prepared_xacts AS p
WHERE p.database = current_database()
ORDER BY p.prepared, p.gid
