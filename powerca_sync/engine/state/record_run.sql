-- Record a run of a table that commits.
WITH mended AS (
    DELETE FROM powerca_sync.failure AS f WHERE f.office = %(office)s AND f.table_name = %(table)s
)
INSERT INTO powerca_sync.table_state AS t
    (office, table_name, mark, fingerprint, rows_read, mode, version, lookups, unscoped, synced_at, records, milliseconds,
    token, target_mark)
VALUES (%(office)s, %(table)s, %(mark)s, %(fingerprint)s, %(rows_read)s, %(mode)s, 1, %(lookups)s,
    %(unscoped)s, now(), %(records)s, %(milliseconds)s, %(token)s, %(target_mark)s)
ON CONFLICT (office, table_name) DO UPDATE SET
    mark = excluded.mark,
    fingerprint = excluded.fingerprint,
    rows_read = coalesce(excluded.rows_read, t.rows_read),
    mode = excluded.mode,
    version = t.version + CASE WHEN %(changed)s THEN 1 ELSE 0 END,
    lookups = excluded.lookups,
    unscoped = excluded.unscoped,
    synced_at = excluded.synced_at,
    records = excluded.records,
    milliseconds = excluded.milliseconds,
    token = coalesce(excluded.token, t.token),
    target_mark = excluded.target_mark
