-- Which history the statistics belong to, whether the server counts, and whether own writes are recorded.
SELECT
    concat_ws(
        ' ',
        control.system_identifier,
        (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()),
        pg_stat_get_db_stat_reset_time((SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())),
        -- After a crash all counters begin at 0 again, and of the reset times only those of the server move.
        pg_stat_get_bgwriter_stat_reset_time()
    ) AS history,
    pg_stat_get_db_numbackends((SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())) > 1
        AS has_others,
    pg_is_in_recovery() AS is_standby,
    current_setting('track_counts')::boolean AS counts,
    EXISTS (
        SELECT FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'powerca_sync' AND c.relname = 'pulls' AND a.attname = 'own_writes'
            AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    ) AS records_own_writes
FROM pg_control_system() AS control
