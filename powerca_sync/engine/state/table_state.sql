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
    ) AS quarantined,
    -- A dry run may come by before the column is made.
    to_jsonb(state) -> 'target_mark',
    -- Taken before anything looks at the rows: of what is written from now on nobody says that a run has seen it.
    jsonb_build_object('snapshot', pg_current_snapshot()::text, 'files', (
        WITH RECURSIVE parts AS (
            SELECT %(relation)s::oid AS part
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN parts AS p ON p.part = i.inhparent
        )
        SELECT string_agg(concat_ws(':', p.part, pg_relation_filenode(p.part)), ' ' ORDER BY p.part) FROM parts AS p
    )) AS target_now
FROM (SELECT) AS nothing
LEFT JOIN powerca_sync.table_state AS state ON state.office = %(office)s AND state.table_name = %(table)s
