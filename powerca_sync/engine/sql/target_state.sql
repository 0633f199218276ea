-- What the engine keeps at the target. Each statement does nothing where its object exists already.
CREATE TABLE IF NOT EXISTS public._sync_metadata (
    table_name text PRIMARY KEY,
    last_sync_timestamp timestamp with time zone,
    records_synced integer,
    last_sync_duration_ms integer,
    error_message text,
    updated_at timestamp with time zone
);

-- No policy: the app's interface must not show it.
ALTER TABLE public._sync_metadata ENABLE ROW LEVEL SECURITY;

CREATE SCHEMA IF NOT EXISTS powerca_sync;

-- An organisation belongs to exactly one desktop.
CREATE TABLE IF NOT EXISTS powerca_sync.office (
    org_id text PRIMARY KEY,
    office text NOT NULL,
    claimed_at timestamp with time zone NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS powerca_sync.table_state (
    office text NOT NULL,
    table_name text NOT NULL,
    mark jsonb,
    fingerprint text,
    rows_read bigint,
    mode text,
    version bigint NOT NULL DEFAULT 0,
    lookups jsonb NOT NULL DEFAULT '{}',
    synced_at timestamp with time zone NOT NULL,
    PRIMARY KEY (office, table_name)
);

-- Whether the rows of the table cannot be told apart by office.
ALTER TABLE powerca_sync.table_state ADD COLUMN IF NOT EXISTS unscoped boolean NOT NULL DEFAULT false;

CREATE TABLE IF NOT EXISTS powerca_sync.quarantine (
    office text NOT NULL,
    table_name text NOT NULL,
    fingerprint text NOT NULL,
    occurrence bigint NOT NULL,
    reason text NOT NULL,
    column_name text,
    value text,
    parent text,
    message text,
    key jsonb,
    image jsonb,
    since timestamp with time zone NOT NULL DEFAULT now(),
    PRIMARY KEY (office, table_name, fingerprint, occurrence)
);
