-- Tokens of runs that this desktop has made. Mobile has the last one of each table; a copy of this database lacks it as
-- soon as this desktop has synced again, and the other way round.
CREATE TABLE powerca_sync.run_token (
    token text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    issued_at timestamp with time zone NOT NULL DEFAULT now()
);
CREATE INDEX run_token_by_time ON powerca_sync.run_token (issued_at);
