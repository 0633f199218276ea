"""Call a function of the office in one transaction on the desktop.

The function runs with the role's rights and, as triggers do, with the database's own settings and search path. Until
COMMIT nothing of it lasts, so that a failed call may be repeated. A connection that is lost during COMMIT leaves the
outcome unknown: such an error is not retryable.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
from psycopg import sql

from powerca_sync.engine.functions.lookup import find_fault, missing_grants, read_function
from powerca_sync.engine.postgres import (
    SAVE_OWN_SETTINGS,
    USE_DATABASE_SETTINGS,
    USE_OWN_SETTINGS,
    Connection,
    Cursor,
    Timeouts,
    error_text,
    explained,
    send_batch,
    transaction,
)
from powerca_sync.engine.reverse import ledger
from powerca_sync.engine.state import locks
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.plain_text import counted, one_line_logger
from powerca_sync.settings import DesktopFunction

logger = one_line_logger(__name__)

Result = TypeVar("Result")

#: Returned rows, and characters of each value, that are kept.
MOST_ROWS: Final = 10
LONGEST_VALUE: Final = 200


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FunctionResult:
    """The result of a call that was committed."""

    #: `schema.name`.
    function: str
    seconds: float
    #: Number of rows that the function returned.
    rows: int
    #: Names of the returned columns.
    columns: tuple[str, ...]
    #: The first rows, as text.
    first: tuple[tuple[str | None, ...], ...]
    #: Phone rows that were inserted since the last successful booking; 0 for a refresh.
    booked: int = 0

    @property
    def returned(self) -> str:
        """The first rows in one line: a single value as it is, otherwise `column=value`; `nothing` for void."""
        lines = []
        for row in self.first:
            values = ["NULL" if value is None else value for value in row]
            named = [f"{name}={value}" for name, value in zip(self.columns, values, strict=True)]
            lines.append(", ".join(values if len(values) == 1 else named))
        more = f" ... ({counted(self.rows, 'row')})" if self.rows > len(lines) else ""
        return "; ".join(lines) + more or "nothing"


def call_refresh(connection: Connection, function: DesktopFunction, *, timeouts: Timeouts) -> FunctionResult:
    """Call the function that brings the desktop's tables up to date, and commit; returns what it returned.

    `timeouts` are those of a run; the function's own replaces that of a statement. Raises a `SyncError` if the call
    failed; nothing of it lasts then, unless the message says otherwise.
    """
    return _carry_out(connection, function, timeouts, lambda cursor: _call(cursor, function))


def call_booking(connection: Connection, function: DesktopFunction, *, timeouts: Timeouts) -> FunctionResult | None:
    """Call the function that books phone rows, and commit; None, without a call, if there are no rows to book.

    Rows to book are those that reverse runs have inserted since the last successful call. They are counted in the
    transaction that inserts them, and the count is reset in that of the call. Raises as `call_refresh`.
    """
    with explained("looking for the ledger at the desktop"):
        if not ledger.is_prepared(connection):
            return None

    def book(cursor: Cursor) -> FunctionResult | None:
        # Rows that are inserted from here on may not be seen by the function: the next run books again.
        unbooked = ledger.read_unbooked(cursor)
        if not unbooked:
            return None
        result = dataclasses.replace(_call(cursor, function), booked=sum(unbooked.values()))
        ledger.record_booked(cursor, unbooked)
        return result

    return _carry_out(connection, function, timeouts, book)


def _carry_out(
    connection: Connection, function: DesktopFunction, timeouts: Timeouts, work: Callable[[Cursor], Result]
) -> Result:
    """Returns the result of `work`, which may call the function, in a transaction on the desktop."""
    limits = dataclasses.replace(timeouts, statement=function.timeout)
    ended = False
    with explained(f"calling `{function}` on the desktop"):
        try:
            with transaction(connection, timezone="UTC", timeouts=limits, calls_functions=True) as cursor:
                lock = locks.try_acquire(f"call {function}")
                locks.acquire(cursor, lock, f"`{function}` is being called", wait=timeouts.table)
                _check(cursor, function)
                result = work(cursor)
                ended = True
        except psycopg.OperationalError as exc:
            if not (ended and connection.closed):
                raise
            raise SyncError(
                f"Calling `{function}` on the desktop: the connection was lost during COMMIT ({error_text(exc)}), so "
                "that it is unknown whether the function has taken effect. It is not repeated in this run; look at the "
                "desktop's tables."
            ) from exc
    return result


def _check(cursor: Cursor, function: DesktopFunction) -> None:
    """Raises `ConfigurationError` if the function cannot be called."""
    facts, role = read_function(cursor, function), cursor.connection.info.user
    if fault := find_fault(function, facts):
        raise ConfigurationError(f"{fault} Create it there, or correct the setting.")
    if grants := missing_grants(function, facts, role):
        statements = " ".join(f"{grant.as_string(cursor)};" for grant in grants)
        raise ConfigurationError(
            f"User {role} may not call `{function}` on the desktop. Ask its owner or an administrator of the desktop's "
            f"database to run: {statements}"
        )


def _call(cursor: Cursor, function: DesktopFunction) -> FunctionResult:
    # Without its column list, a volatile function is executed to its end whatever the limit.
    call = sql.SQL("SELECT pg_catalog.count(*) OVER (), returned.* FROM {}() AS returned LIMIT {}").format(
        sql.Identifier(function.schema, function.name), MOST_ROWS
    )
    began = time.monotonic()
    send_batch(cursor, [SAVE_OWN_SETTINGS, USE_DATABASE_SETTINGS, (call, None), USE_OWN_SETTINGS])
    cursor.nextset()
    cursor.nextset()
    result = cursor.pgresult
    assert result is not None, "the call returns rows"
    columns = tuple(column.name for column in cursor.description or ())[1:]
    # The text of the server: the driver's conversions may fail, for example for dates before Christ.
    rows = [[result.get_value(row, place) for place in range(len(columns) + 1)] for row in range(result.ntuples)]
    returned = FunctionResult(
        function=str(function),
        seconds=round(time.monotonic() - began, 3),
        rows=int(rows[0][0] or 0) if rows else 0,
        columns=columns,
        first=tuple(tuple(map(_text, row[1:])) for row in rows),
    )
    logger.info("`%s` returned %s (%.2f s).", function, returned.returned, returned.seconds)
    return returned


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = value.decode(errors="replace")
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
