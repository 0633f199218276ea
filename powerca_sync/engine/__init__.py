"""How rows get from one PostgreSQL database to another: psycopg and the standard library only.

The engine takes connections and specs and returns frozen results. It knows no Dagster, no environment variables and
no printing; whoever calls it opens and closes the connections.
"""
