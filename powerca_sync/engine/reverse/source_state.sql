-- The engine's tables on the desktop. Each statement does nothing if its object exists.
DO $$
BEGIN
    -- CREATE SCHEMA IF NOT EXISTS requires the right to create a schema even if the schema exists.
    IF to_regnamespace('powerca_sync') IS NULL THEN
        CREATE SCHEMA powerca_sync;
    END IF;
    -- The guide's log, in its own schema if the role may write to it or create it there.
    IF to_regclass('powerca_sync.sync_log') IS NULL
        AND NOT (
            coalesce(has_table_privilege(to_regclass('public.sync_log'), 'INSERT'), false)
            AND (
                SELECT count(*) = 5
                FROM pg_attribute AS a
                WHERE a.attrelid = to_regclass('public.sync_log')
                    AND a.attname IN ('table_name', 'direction', 'records_synced', 'last_sync_at', 'synced_at')
            )
        )
    THEN
        EXECUTE format(
            'CREATE TABLE %I.sync_log (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                table_name text NOT NULL,
                direction text NOT NULL,
                records_synced integer NOT NULL,
                last_sync_at timestamp with time zone NOT NULL,
                synced_at timestamp with time zone NOT NULL
            )',
            CASE
                WHEN to_regclass('public.sync_log') IS NULL AND has_schema_privilege('public', 'CREATE') THEN 'public'
                ELSE 'powerca_sync'
            END
        );
    END IF;
END
$$;

-- The ledger: the reverse-synced rows, with the image that was written.
CREATE TABLE IF NOT EXISTS powerca_sync.pulled (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    -- Primary key of the phone row; its content hash if mobile's table has no primary key.
    mobile_key text NOT NULL,
    occurrence bigint NOT NULL DEFAULT 1,
    desktop_key jsonb,
    -- The row as it was written: an object of column to text.
    image jsonb NOT NULL,
    content_hash text NOT NULL,
    -- The phone row's own creation time: shows that a key was reused; never used as an order.
    born text,
    run_id text,
    pulled_at timestamp with time zone NOT NULL DEFAULT now(),
    -- When the phone row was found missing. -infinity: the entry has ended, because `source` on mobile made the row a
    -- desktop row; the desktop's copy is an ordinary desktop row.
    gone_at timestamp with time zone
);

-- Gone entries are exempt: a phone may create the same row several times.
CREATE UNIQUE INDEX IF NOT EXISTS pulled_once
ON powerca_sync.pulled (table_name, mobile_key, content_hash, occurrence) WHERE gone_at IS NULL;
CREATE INDEX IF NOT EXISTS pulled_by_table ON powerca_sync.pulled (table_name);

-- The last reverse run of each table: digest of the phone rows, and the columns that identify them.
CREATE TABLE IF NOT EXISTS powerca_sync.pulls (
    table_name text PRIMARY KEY,
    columns text[] NOT NULL,
    -- How those columns and the primary key were declared: the text of a value depends on it.
    content_form text NOT NULL,
    key_form text NOT NULL,
    digest text NOT NULL,
    -- No other office shared the mobile database.
    alone boolean NOT NULL,
    run_id text,
    pulled_at timestamp with time zone NOT NULL DEFAULT now()
);

-- Quarantined phone rows.
CREATE TABLE IF NOT EXISTS powerca_sync.quarantine (
    table_name text NOT NULL,
    mobile_key text NOT NULL,
    content_hash text NOT NULL,
    occurrence bigint NOT NULL,
    reason text NOT NULL,
    column_name text,
    value text,
    parent text,
    message text,
    key jsonb,
    image jsonb,
    -- The desktop's row of the same key.
    theirs jsonb,
    -- How the table was declared when it refused the row for its content; NULL if a retry may succeed.
    form text,
    since timestamp with time zone NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, mobile_key, content_hash, occurrence)
);

-- Rows that reverse runs wrote into the table, as the server's statistics count them: no change for the forward sync.
ALTER TABLE powerca_sync.pulls ADD COLUMN IF NOT EXISTS own_writes bigint NOT NULL DEFAULT 0;

-- Rows that reverse runs inserted since the office's own function last booked them.
ALTER TABLE powerca_sync.pulls ADD COLUMN IF NOT EXISTS unbooked bigint NOT NULL DEFAULT 0;

ALTER TABLE powerca_sync.quarantine ADD COLUMN IF NOT EXISTS form text;
-- A hash of all that the run read, and what it found; NULL if the next run must look at every row.
ALTER TABLE powerca_sync.pulls ADD COLUMN IF NOT EXISTS state text;
ALTER TABLE powerca_sync.pulls ADD COLUMN IF NOT EXISTS findings jsonb;
