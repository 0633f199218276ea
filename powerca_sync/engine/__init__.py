"""The sync engine for two PostgreSQL databases; needs only psycopg and the standard library.

The engine takes connections and specs and returns frozen results. It knows no Dagster, no environment variables and
no printing; whoever calls it opens and closes the connections.
"""
