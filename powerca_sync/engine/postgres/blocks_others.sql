-- Does another session wait for a lock of this one?
SELECT EXISTS (SELECT FROM pg_locks AS l WHERE NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid)))
