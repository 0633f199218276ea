"""The session settings of our transactions, and the database's own, which its triggers, defaults and rules need.

The database's settings are saved in the custom parameters `powerca_theirs.*` for the time of a transaction.
"""

from psycopg import sql

from powerca_sync.engine.postgres.execution import Cursor, Query

#: Settings that make the text of a value independent of the server's configuration.
TEXT_FORM = {
    "client_encoding": "UTF8",
    # Without a field order: the database's own order decides how its code reads texts such as 03-04-05.
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # Off, NULL in an array is read as a string; `document` rejects XML fragments.
    "array_nulls": "on",
    "xmloption": "content",
}
#: Memory of each sort of our statements.
WORK_MEM = "64MB"
#: No schema of the databases: their functions and operators may match argument types better than PostgreSQL's own.
OWN_PATH = "pg_catalog, pg_temp"
#: Settings that change what code of the databases computes.
_RELEVANT = ("search_path", "TimeZone", *(name for name in TEXT_FORM if name != "client_encoding"))


def settings_query(settings: dict[str, str]) -> Query:
    """A query that sets run-time parameters until the transaction ends."""
    calls = (sql.SQL("pg_catalog.set_config({}, {}, true)").format(name, value) for name, value in settings.items())
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)).as_bytes(), None


def apply_settings(cursor: Cursor, settings: dict[str, str]) -> None:
    """Set run-time parameters until the transaction ends."""
    cursor.execute(*settings_query(settings))


def _copy_settings(to: str, source: str, *more: sql.SQL) -> Query:
    """Copy each relevant setting from the name with prefix `source` to the name with prefix `to`."""
    calls = (
        sql.SQL("pg_catalog.set_config({}, pg_catalog.current_setting({}), true)").format(to + name, source + name)
        for name in _RELEVANT
    )
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join([*more, *calls])).as_bytes(), None


#: Also saves the number of decimals that `lc_monetary` gives to money.
SAVE_DATABASE_SETTINGS = _copy_settings(
    "powerca_theirs.",
    "",
    sql.SQL("""\
pg_catalog.set_config('powerca_theirs.decimals', pg_catalog.scale(
    (0::pg_catalog.numeric::pg_catalog.money)::pg_catalog.numeric
)::pg_catalog.text, true)"""),
)
USE_DATABASE_SETTINGS = _copy_settings("", "powerca_theirs.")
#: Also saves the time of the transaction in our time zone, for stamps without a zone.
SAVE_OWN_SETTINGS = _copy_settings(
    "powerca_ours.", "", sql.SQL("pg_catalog.set_config('powerca.now', localtimestamp::text, true)")
)
USE_OWN_SETTINGS = _copy_settings("", "powerca_ours.")
