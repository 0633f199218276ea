-- Do all of the engine's tables exist? The guide's table may also be missing if the role may not create it.
SELECT
    to_regclass('powerca_sync.office') IS NOT NULL
    AND to_regclass('powerca_sync.quarantine') IS NOT NULL
    AND to_regclass('powerca_sync.failure') IS NOT NULL
    AND (
        SELECT count(*) = 4
        FROM pg_attribute
        WHERE attrelid = to_regclass('powerca_sync.table_state') AND attname IN ('unscoped', 'milliseconds', 'token', 'target_mark')
    )
    AND NOT (
        SELECT
            CASE
                WHEN to_regclass('public._sync_metadata') IS NULL THEN has_schema_privilege('public', 'CREATE')
                ELSE EXISTS (
                    SELECT FROM pg_class AS c
                    WHERE c.oid = to_regclass('public._sync_metadata')
                        AND pg_has_role(c.relowner, 'USAGE')
                        AND (
                            NOT c.relrowsecurity
                            OR 5 > (
                                SELECT count(*)
                                FROM pg_attribute AS a
                                WHERE a.attrelid = c.oid
                                    AND a.attname IN (
                                        'last_sync_timestamp', 'records_synced', 'last_sync_duration_ms',
                                        'error_message', 'updated_at'
                                    )
                            )
                        )
                )
            END
    )
