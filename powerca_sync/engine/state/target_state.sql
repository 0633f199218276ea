-- The engine's tables on the target. Each statement does nothing if its object exists.
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

ALTER TABLE powerca_sync.table_state
    -- The rows of the table have no office.
    ADD COLUMN IF NOT EXISTS unscoped boolean NOT NULL DEFAULT false,
    -- Figures of the last committed run.
    ADD COLUMN IF NOT EXISTS records bigint,
    ADD COLUMN IF NOT EXISTS milliseconds bigint,
    -- Issued on the desktop by that run; copies of the desktop lack it.
    ADD COLUMN IF NOT EXISTS token text,
    -- Known row versions of the table; others wrote the later ones.
    ADD COLUMN IF NOT EXISTS target_mark jsonb;

-- Why the last run of a table failed; deleted by the next committed run.
CREATE TABLE IF NOT EXISTS powerca_sync.failure (
    office text NOT NULL,
    table_name text NOT NULL,
    message text NOT NULL,
    failed_at timestamp with time zone NOT NULL DEFAULT now(),
    PRIMARY KEY (office, table_name)
);

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
