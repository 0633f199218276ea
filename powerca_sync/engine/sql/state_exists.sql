SELECT
    to_regclass('public._sync_metadata') IS NOT NULL
    AND to_regclass('powerca_sync.office') IS NOT NULL
    AND to_regclass('powerca_sync.table_state') IS NOT NULL
    AND to_regclass('powerca_sync.quarantine') IS NOT NULL
    AND (SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('public._sync_metadata'))
    AND EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass('powerca_sync.table_state') AND attname = 'unscoped' AND NOT attisdropped
    )
