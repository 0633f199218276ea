"""PostgreSQL itself: connections, transactions, catalogs, encodings and the meaning of errors.

Knows neither specs nor offices. Every transaction has the settings of `database`; every fact about a table comes from
`catalog`; every error of a server is classified in `database_errors` and `refusals`.
"""

from powerca_sync.engine.postgres.catalog import (
    PARTITIONED,
    PLAIN,
    Column,
    ForeignKey,
    Table,
    UniqueKey,
    answered_tables,
    asked_tables,
    read_tables,
    schema_and_name,
)
from powerca_sync.engine.postgres.database import (
    Connection,
    Cursor,
    Question,
    Timeouts,
    answers,
    ask,
    ask_alone,
    ask_as_theirs,
    ask_in_savepoint,
    attempt,
    configure,
    connect,
    encoding_of,
    one_row,
    setting,
    timezone_of,
    transaction,
    write,
)
from powerca_sync.engine.postgres.database_errors import (
    explain,
    explained,
    is_refusal,
    may_concern_rows,
    plain_words_only,
    words_of,
)
from powerca_sync.engine.postgres.encoding import document_as_stored, python_codec, speak_as_stored
from powerca_sync.engine.postgres.refusals import Judge, SwallowedError, execute_completely, swallowed_words
from powerca_sync.engine.postgres.sql_files import load

__all__ = [
    "PARTITIONED",
    "PLAIN",
    "Column",
    "Connection",
    "Cursor",
    "ForeignKey",
    "Judge",
    "Question",
    "SwallowedError",
    "Table",
    "Timeouts",
    "UniqueKey",
    "answered_tables",
    "answers",
    "ask",
    "ask_alone",
    "ask_as_theirs",
    "ask_in_savepoint",
    "asked_tables",
    "attempt",
    "configure",
    "connect",
    "document_as_stored",
    "encoding_of",
    "execute_completely",
    "explain",
    "explained",
    "is_refusal",
    "load",
    "may_concern_rows",
    "one_row",
    "plain_words_only",
    "python_codec",
    "read_tables",
    "schema_and_name",
    "setting",
    "speak_as_stored",
    "swallowed_words",
    "timezone_of",
    "transaction",
    "words_of",
    "write",
]
