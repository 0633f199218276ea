SELECT
    to_regclass('powerca_sync.pulled') IS NOT NULL
    -- The columns that later versions added.
    AND EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('powerca_sync.quarantine') AND a.attname = 'form'
    )
    AND (
        SELECT count(*) = 3
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('powerca_sync.pulls') AND a.attname IN ('findings', 'own_writes', 'unbooked')
    )
    AND (
        to_regclass('powerca_sync.sync_log') IS NOT NULL
        OR (
            coalesce(has_table_privilege(to_regclass('public.sync_log'), 'INSERT'), false)
            AND (
                SELECT count(*) = 5
                FROM pg_attribute AS a
                WHERE a.attrelid = to_regclass('public.sync_log')
                    AND a.attname IN ('table_name', 'direction', 'records_synced', 'last_sync_at', 'synced_at')
            )
        )
    )
