-- Who the source is, and where this snapshot stands in its history. now() is taken before the snapshot.
SELECT
    control.system_identifier::text AS system_identifier,
    checkpoint.timeline_id AS timeline,
    database.oid::bigint AS database_oid,
    current_database()::text AS database,
    pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::text AS lsn,
    now() AS clock,
    -- Not to_regclass, which raises where the schema is somebody else's.
    EXISTS (
        SELECT FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'powerca_sync' AND c.relname = 'pulled' AND has_schema_privilege(n.oid, 'USAGE')
    ) AS has_ledger
FROM pg_control_system() AS control, pg_control_checkpoint() AS checkpoint, pg_database AS database
WHERE database.datname = current_database()
