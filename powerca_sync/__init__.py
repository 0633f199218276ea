"""Two-way sync between an office's desktop PostgreSQL and the Supabase PostgreSQL behind its phone app.

Imports, and data, go one way:

    cli, definitions  ->  defs (Dagster), demo  ->  engine (psycopg)  ->  tables, settings, errors

`tables` says what is synced, `settings` where the databases are, `errors` why something did not work. `engine` moves
rows, one table in one transaction. `defs` makes Dagster assets, jobs and checks of it, `definitions` hands them to
Dagster, `cli` is the command `powerca-sync`. `demo` has two embedded servers with an office of real size.
"""
