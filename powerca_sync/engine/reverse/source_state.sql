-- What the engine keeps at the desktop. Each statement does nothing where its object exists already.
DO $$
BEGIN
    -- Not CREATE SCHEMA IF NOT EXISTS, which asks for the right to create even where there is nothing to create.
    IF to_regnamespace('powerca_sync') IS NULL THEN
        CREATE SCHEMA powerca_sync;
    END IF;
    -- The guide's log, with its name and place if we may write, or make it, there.
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

-- The ledger: which phone rows have been pulled, with the image that was written.
CREATE TABLE IF NOT EXISTS powerca_sync.pulled (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    -- Primary key of the phone row; its content hash where the table has none.
    mobile_key text NOT NULL,
    occurrence bigint NOT NULL DEFAULT 1,
    desktop_key jsonb,
    -- The row as it was written: an object of column to text.
    image jsonb NOT NULL,
    content_hash text NOT NULL,
    -- When the phone row was made, as it says itself: evidence that an id was used again, never an order.
    born text,
    run_id text,
    pulled_at timestamp with time zone NOT NULL DEFAULT now(),
    -- When the phone row was found missing; -infinity if it was handed over to the desktop on mobile, by its `source`:
    -- the entry has ended, and the copy is an ordinary desktop row.
    gone_at timestamp with time zone
);

-- Not of those that are gone: a phone may make the same row time and again.
CREATE UNIQUE INDEX IF NOT EXISTS pulled_once
ON powerca_sync.pulled (table_name, mobile_key, content_hash, occurrence) WHERE gone_at IS NULL;
CREATE INDEX IF NOT EXISTS pulled_by_table ON powerca_sync.pulled (table_name);

-- The last pull of each table: which phone rows it saw, and by which of their columns they are recognised.
CREATE TABLE IF NOT EXISTS powerca_sync.pulls (
    table_name text PRIMARY KEY,
    columns text[] NOT NULL,
    -- How those columns, and the primary key, were declared: in another form the same value may have another text.
    content_form text NOT NULL,
    key_form text NOT NULL,
    digest text NOT NULL,
    -- Whether no other office shared the mobile database.
    alone boolean NOT NULL,
    run_id text,
    pulled_at timestamp with time zone NOT NULL DEFAULT now()
);

-- Phone rows that could not land.
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
    -- The desktop's own row of the same key.
    theirs jsonb,
    -- How the table was declared where it refused the row for its content; NULL where a retry may land it.
    form text,
    since timestamp with time zone NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, mobile_key, content_hash, occurrence)
);

ALTER TABLE powerca_sync.quarantine ADD COLUMN IF NOT EXISTS form text;
