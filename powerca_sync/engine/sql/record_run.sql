-- One run of one table: its state, and the guide's line about it.
WITH state AS (
    INSERT INTO powerca_sync.table_state AS t
        (office, table_name, mark, fingerprint, rows_read, mode, version, lookups, unscoped, synced_at)
    VALUES (%(office)s, %(table)s, %(mark)s, %(fingerprint)s, %(rows_read)s, %(mode)s, 1, %(lookups)s,
        %(unscoped)s, now())
    ON CONFLICT (office, table_name) DO UPDATE SET
        mark = excluded.mark,
        fingerprint = excluded.fingerprint,
        rows_read = coalesce(excluded.rows_read, t.rows_read),
        mode = excluded.mode,
        version = t.version + CASE WHEN %(changed)s THEN 1 ELSE 0 END,
        lookups = excluded.lookups,
        unscoped = excluded.unscoped,
        synced_at = excluded.synced_at
)
INSERT INTO public._sync_metadata AS m
    (table_name, last_sync_timestamp, records_synced, last_sync_duration_ms, error_message, updated_at)
VALUES (%(table)s, now(), %(records)s, %(milliseconds)s, NULL, now())
ON CONFLICT (table_name) DO UPDATE SET
    last_sync_timestamp = excluded.last_sync_timestamp,
    records_synced = excluded.records_synced,
    last_sync_duration_ms = excluded.last_sync_duration_ms,
    error_message = NULL,
    updated_at = excluded.updated_at
