"""Two-way sync between an office's desktop PostgreSQL and the Supabase PostgreSQL behind its phone app.

Imports go one way:

    cli, web, definitions -> defs (Dagster) -> environment, demo -> engine (psycopg) -> specs, settings, errors

`specs` says what can be declared of a table, `tables` declares the synced ones, `settings` the databases, `operations`
schedules and alerts. `engine` syncs one table in one transaction. `defs` builds Dagster's assets, jobs and checks, and
`definitions` hands them to Dagster. `cli` is the command `powerca-sync`, `web` guards Dagster's webserver. `demo` has
two embedded servers with an office of realistic size; `environment` chooses between them and the configured databases.
"""
