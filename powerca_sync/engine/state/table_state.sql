-- The state of a table, the versions of the tables that it looks values up in, and the keys of its quarantined rows.
SELECT
    state.mark,
    state.fingerprint,
    state.rows_read,
    coalesce(state.lookups, '{}'),
    (
        SELECT coalesce(jsonb_object_agg(other.table_name, other.version), '{}')
        FROM powerca_sync.table_state AS other
        WHERE other.office = %(office)s AND other.table_name = ANY (%(lookups)s)
    ) AS versions,
    (
        SELECT coalesce(jsonb_agg(DISTINCT entry.key), '[]')
        FROM powerca_sync.quarantine AS entry
        WHERE entry.office = %(office)s AND entry.table_name = %(table)s
    ) AS quarantined
FROM (SELECT) AS nothing
LEFT JOIN powerca_sync.table_state AS state ON state.office = %(office)s AND state.table_name = %(table)s
