-- The guide's table of last syncs; tables of earlier versions get the missing columns.
CREATE TABLE IF NOT EXISTS public._sync_metadata (
    table_name text PRIMARY KEY,
    last_sync_timestamp timestamp with time zone,
    records_synced integer,
    last_sync_duration_ms integer,
    error_message text,
    updated_at timestamp with time zone
);

ALTER TABLE public._sync_metadata
    ADD COLUMN IF NOT EXISTS last_sync_timestamp timestamp with time zone,
    ADD COLUMN IF NOT EXISTS records_synced integer,
    ADD COLUMN IF NOT EXISTS last_sync_duration_ms integer,
    ADD COLUMN IF NOT EXISTS error_message text,
    ADD COLUMN IF NOT EXISTS updated_at timestamp with time zone;

-- Without a policy the app's interface does not show it.
ALTER TABLE public._sync_metadata ENABLE ROW LEVEL SECURITY;
