SELECT
    to_regclass('powerca_sync.pulled') IS NOT NULL
    AND to_regclass('powerca_sync.pulls') IS NOT NULL
    AND to_regclass('powerca_sync.quarantine') IS NOT NULL
    AND (
        to_regclass('powerca_sync.sync_log') IS NOT NULL
        OR coalesce(has_table_privilege(to_regclass('public.sync_log'), 'INSERT'), false)
    )
