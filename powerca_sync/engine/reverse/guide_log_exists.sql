-- Whether the guide's log of the desktop can take our lines; earlier versions of that system made it in other shapes.
SELECT coalesce(has_table_privilege(to_regclass('public.sync_log'), 'INSERT'), false)
    AND (
        SELECT count(*) = 5
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('public.sync_log')
            AND a.attname IN ('table_name', 'direction', 'records_synced', 'last_sync_at', 'synced_at')
    )
