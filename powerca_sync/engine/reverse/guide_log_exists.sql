-- Whether the role may write to the guide's log, and whether it has the expected columns.
SELECT coalesce(has_table_privilege(to_regclass('public.sync_log'), 'INSERT'), false)
    AND (
        SELECT count(*) = 5
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('public.sync_log')
            AND a.attname IN ('table_name', 'direction', 'records_synced', 'last_sync_at', 'synced_at')
    )
