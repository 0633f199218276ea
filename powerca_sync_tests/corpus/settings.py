"""Databases with settings other than PostgreSQL's defaults: of old programs, and of careful administrators."""

from collections.abc import Mapping

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.helpers import delete_insert, spec

_COLUMNS = """
    id text PRIMARY KEY, note text, bytes bytea, number float8, price money, day date, at timestamp, moment timestamptz,
    span interval, words text[], numbers int[], pair point, document jsonb, nothing text"""
_ROWS = r"""
SET standard_conforming_strings = on; SET array_nulls = on; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC'; SET lc_monetary = 'C';
INSERT INTO items VALUES
    ('\', 'back\slash ''quoted'' \n', '\x005c27', 0.1, '-1234.5', '2025-01-02', '2025-01-02 03:04:05.678901',
        '2025-01-02 03:04:05+05:30', '1 year -2 days 03:04', '{NULL,"NULL",null,a\\b,"\""}', '{1,NULL}', '(0.1,-0)',
        '{"a\\b": "\"", "c": null}', NULL),
    ('''', '', '', 1e-7, '0', 'infinity', '-infinity', 'infinity', '-1 mon', '{}', '{}', NULL, '"\\"', NULL),
    ('%s', 'NULL', '\x', '-0', '0.01', '0044-03-15 BC', '1899-12-30', '1941-10-01 00:00+00', '0', '{""}', NULL, NULL,
        'null', NULL);
RESET ALL;"""

#: By origin: parameters of a database.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "an old program": {
        "standard_conforming_strings": "off",
        "backslash_quote": "off",
        "escape_string_warning": "off",
        "array_nulls": "off",
        "transform_null_equals": "on",
        "bytea_output": "escape",
        "extra_float_digits": "-5",
        "DateStyle": "German, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Kolkata",
        "xmloption": "document",
    },
    "a careful administrator": {
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "30s",
        "lock_timeout": "5s",
        "row_security": "off",
        "quote_all_identifiers": "on",
        "check_function_bodies": "off",
        "client_min_messages": "error",
        "default_tablespace": "pg_default",
        "temp_buffers": "1MB",
        "work_mem": "64kB",
        "synchronous_commit": "off",
        "DateStyle": "SQL, MDY",
        "IntervalStyle": "iso_8601",
    },
    "a planner that is tied up": {
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_nestloop": "off",
        "enable_hashagg": "off",
        "enable_sort": "off",
        "enable_tidscan": "off",
        "enable_material": "off",
        "from_collapse_limit": "1",
        "join_collapse_limit": "1",
        "geqo_threshold": "2",
        "jit_above_cost": "0",
        "debug_parallel_query": "on",
        "parallel_setup_cost": "0",
        "parallel_tuple_cost": "0",
        "min_parallel_table_scan_size": "0",
        "default_statistics_target": "1",
    },
}


def _case(name: str, settings: Mapping[str, str], *, delete: bool, desktop: bool) -> Case:
    altered = "".join(
        f"EXECUTE format('ALTER DATABASE %I SET {parameter} = %L', current_database(), '{value}');"
        for parameter, value in settings.items()
    )
    alter = f"DO $do$ BEGIN {altered} END $do$;"
    make = delete_insert if delete else spec
    return Case(
        name=f"{'a desktop' if desktop else 'mobile'} with settings of {name}, {make.__name__}",
        desktop=f"{alter if desktop else ''} CREATE TABLE items ({_COLUMNS}); {_ROWS}",
        mobile=f"{'' if desktop else alter} CREATE TABLE items ({_COLUMNS}, source text)",
        table=make("items", "id"),
    )


CASES = tuple(
    _case(name, settings, delete=(n % 2 > 0) is desktop, desktop=desktop)
    for n, (name, settings) in enumerate(SETTINGS.items())
    # Those of the old program in both databases; the others can only slow down or forbid, in either.
    for desktop in ((True, False) if n == 0 else (n % 2 > 0,))
)
