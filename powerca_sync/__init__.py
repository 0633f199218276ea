"""Two-way sync between an office's desktop PostgreSQL and the Supabase PostgreSQL behind its phone app.

Imports, and data, go one way:

    cli, story, definitions -> defs (Dagster) -> environment, demo -> engine (psycopg) -> tables, settings, errors

`tables` says what is synced, `settings` where the databases are, `operations` when it runs by itself and whom it tells,
`errors` why something did not work. `engine` moves rows, one table in one transaction. `defs` makes Dagster assets,
jobs and checks of it, `definitions` hands them to Dagster. `cli` is the command `powerca-sync`; `console`, `reports`,
`plan_report`, `verification_report` and `consultation` are what it prints, `story` is what its demo tells. `demo` has
two embedded servers with an office of real size; `environment` chooses between them and the office's own.
"""
