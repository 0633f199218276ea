-- Tokens of this desktop's runs. Mobile has the last one of each table. A copy of this database lacks tokens issued after
-- the copy was made.
CREATE TABLE powerca_sync.run_token (
    token text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    issued_at timestamp with time zone NOT NULL DEFAULT now()
);
CREATE INDEX run_token_by_time ON powerca_sync.run_token (issued_at);
