-- Who answers, as whom, and in which state. `reset_val` is what the session began with, whatever this transaction set.
SELECT
    current_setting('server_version_num')::integer AS version,
    split_part(current_setting('server_version'), ' ', 1) AS version_name,
    getdatabaseencoding()::text AS encoding,
    current_user::text AS "user",
    (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone') AS timezone,
    current_setting('default_transaction_read_only')::boolean AS read_only,
    pg_is_in_recovery() AS standby,
    (SELECT s.version FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls
