-- What others hold on these tables now that would make us wait: locks that keep readers or writers out, and rows that
-- a long transaction has written. Of other users' sessions only the user may be known.
SELECT
    c.oid::bigint AS oid,
    c.relname::text AS name,
    l.mode,
    l.pid,
    coalesce(a.usename::text, 'unknown') AS "user",
    coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::integer AS seconds
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND l.relation = ANY (%(tables)s::bigint[]::oid[])
    AND coalesce(a.application_name, '') <> 'powerca_sync'
    AND (
        l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        OR (%(changed)s AND l.mode = 'RowExclusiveLock'
            AND clock_timestamp() - a.xact_start > make_interval(secs => %(seconds)s))
    )
ORDER BY n.nspname, c.relname, l.pid
