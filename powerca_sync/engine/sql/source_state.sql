-- What the engine keeps at the desktop: which phone rows have been pulled, with the image that was written.
CREATE SCHEMA IF NOT EXISTS powerca_sync;

CREATE TABLE IF NOT EXISTS powerca_sync.pulled (
    table_name text NOT NULL,
    -- Primary key of the phone row; its content hash where the table has none.
    mobile_key text NOT NULL,
    occurrence bigint NOT NULL DEFAULT 1,
    desktop_key jsonb,
    -- The row as it was written: an object of column to text.
    image jsonb NOT NULL,
    content_hash text NOT NULL,
    run_id text,
    pulled_at timestamp with time zone NOT NULL DEFAULT now(),
    gone_at timestamp with time zone,
    PRIMARY KEY (table_name, mobile_key, content_hash, occurrence)
);
