"""Access to PostgreSQL: connections, transactions, catalogs, encodings and classified errors.

Knows neither specs nor offices. `database` opens connections and transactions, `session_settings` has their settings,
`execution` executes batches and savepoints, `latency` finds out whether a line is slow, `catalog` reads facts about
tables and `catalog_cache` keeps them, `database_errors` and `refusals` classify errors.
"""

from powerca_sync.engine.postgres.bisection import bisect
from powerca_sync.engine.postgres.catalog import (
    PARTITIONED,
    PLAIN,
    VIEW,
    Column,
    ForeignKey,
    Table,
    UniqueKey,
    read_tables,
    schema_and_name,
)
from powerca_sync.engine.postgres.catalog_cache import CatalogCache, CatalogReading
from powerca_sync.engine.postgres.copying import BLOCK, read_copy
from powerca_sync.engine.postgres.database import (
    Timeouts,
    blocks_others,
    connect,
    connect_both,
    execute_and_commit,
    execute_autocommit,
    execute_with_database_settings,
    interrupt_use,
    server_encoding,
    server_timezone,
    transaction,
    write,
)
from powerca_sync.engine.postgres.database_errors import (
    error_text,
    explain,
    explained,
    is_refusal,
    may_concern_rows,
    strip_row_content,
)
from powerca_sync.engine.postgres.encoding import decode_stored_document, python_codec, use_stored_encoding
from powerca_sync.engine.postgres.execution import (
    Connection,
    Cursor,
    Query,
    execute_batch,
    execute_in_savepoint,
    execute_with_optional,
    fetch_batch,
    one_row,
    send_batch,
)
from powerca_sync.engine.postgres.latency import is_slow
from powerca_sync.engine.postgres.refusals import RefusalJudge, SwallowedError, describe_swallowing, execute_completely
from powerca_sync.engine.postgres.session_settings import (
    SAVE_OWN_SETTINGS,
    USE_DATABASE_SETTINGS,
    USE_OWN_SETTINGS,
    WORK_MEM,
    apply_settings,
    settings_query,
)
from powerca_sync.engine.postgres.sql_files import load

__all__ = [
    "BLOCK",
    "PARTITIONED",
    "PLAIN",
    "SAVE_OWN_SETTINGS",
    "USE_DATABASE_SETTINGS",
    "USE_OWN_SETTINGS",
    "VIEW",
    "WORK_MEM",
    "CatalogCache",
    "CatalogReading",
    "Column",
    "Connection",
    "Cursor",
    "ForeignKey",
    "Query",
    "RefusalJudge",
    "SwallowedError",
    "Table",
    "Timeouts",
    "UniqueKey",
    "apply_settings",
    "bisect",
    "blocks_others",
    "connect",
    "connect_both",
    "decode_stored_document",
    "describe_swallowing",
    "error_text",
    "execute_and_commit",
    "execute_autocommit",
    "execute_batch",
    "execute_completely",
    "execute_in_savepoint",
    "execute_with_database_settings",
    "execute_with_optional",
    "explain",
    "explained",
    "fetch_batch",
    "interrupt_use",
    "is_refusal",
    "is_slow",
    "load",
    "may_concern_rows",
    "one_row",
    "python_codec",
    "read_copy",
    "read_tables",
    "schema_and_name",
    "send_batch",
    "server_encoding",
    "server_timezone",
    "settings_query",
    "strip_row_content",
    "transaction",
    "use_stored_encoding",
    "write",
]
