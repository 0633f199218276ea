"""Apply actions that the target refuses one by one and accepts together.

Rows that exchange values under a unique or exclusion constraint are refused in any order, because PostgreSQL checks a
constraint that is not deferrable at each row: they first get interim values, then their own. Rows of one table that
reference each other are inserted by one statement, because PostgreSQL checks foreign keys at its end.
"""

import dataclasses
from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from powerca_sync.engine.forward import apply_sql, exchange_sql
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Column, Cursor, SwallowedError, bisect, load, may_concern_rows, write

#: SQLSTATEs of violated unique and exclusion constraints, and of violated foreign keys.
TAKEN, NO_PARENT = ("23505", "23P01"), ("23503",)
#: SQLSTATEs of refusals that depend on other rows of the plan.
DEPENDENCY_VIOLATIONS = (*TAKEN, *NO_PARENT)
#: In a chain of rows that block each other, each round frees one.
_MOST_ROUNDS = 50

#: Schema and name of an index or a constraint, as reported by an error.
_Rule = tuple[str | None, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The target's refusal of a row."""

    #: The database's message.
    words: str
    sqlstate: str
    #: The violated constraint or unique index.
    rule: _Rule


#: Refusals by number of the action.
Refused = dict[int, Refusal]


def write_planned(
    cursor: Cursor,
    mapping: TableMapping,
    statement: Callable[[TableMapping, sql.Composed], sql.Composed],
    which: sql.Composed,
) -> int:
    """Apply some planned actions by `statement`; rows to update or delete are confirmed first. Returns rows written."""
    before = None
    if statement is not apply_sql.insert:
        action = "delete" if statement is apply_sql.delete else "update"
        before = apply_sql.confirm(mapping, action, which)
    return write(cursor, statement(mapping, which), before=before, after=apply_sql.note_write())


def isolate(
    run: Callable[[int, int], int],
    first: int,
    last: int,
    *,
    most: int,
    check: Callable[[psycopg.Error | SwallowedError, int], None] | None = None,
) -> tuple[int, Refused]:
    """Apply the actions `first` to `last` by `run`, in halves where it is refused, down to single ones.

    Returns (rows written, refused); stops as soon as more than `most` are refused. `run` returns the rows written, and
    leaves the transaction as it was if it raises. `check` takes each error and the rows written so far, and raises the
    error if it does not concern single rows.
    """
    written, refused = 0, Refused()

    def run_range(first: int, last: int) -> None:
        nonlocal written
        written += run(first, last)

    def check_error(exc: psycopg.Error | SwallowedError) -> None:
        if check:
            check(exc, written)
        elif isinstance(exc, psycopg.Error) and not may_concern_rows(exc):
            raise exc

    for n, _, exc in bisect(run_range, first, last, refusals=(psycopg.Error, SwallowedError), check=check_error):
        refused[n] = _refusal(exc)
        if len(refused) > most:
            break
    return written, refused


def _refusal(exc: psycopg.Error | SwallowedError) -> Refusal:
    if isinstance(exc, SwallowedError):
        return Refusal(words=str(exc), sqlstate="", rule=(None, None))
    return Refusal(
        words=exc.diag.message_primary or str(exc),
        sqlstate=exc.sqlstate or "",
        rule=(exc.diag.schema_name, exc.diag.constraint_name),
    )


def exchange_values(cursor: Cursor, mapping: TableMapping, refused: Refused) -> tuple[int, Refused]:
    """Apply the refused updates whose values are taken by each other only.

    Returns (rows written, updates that are still refused).
    """
    blocking = {n: refusal for n, refusal in refused.items() if refusal.sqlstate in TAKEN}
    left = {n: refusal for n, refusal in refused.items() if n not in blocking}
    columns: dict[_Rule, list[Column]] = {}
    for _ in range(_MOST_ROUNDS):
        for rule in {refusal.rule for refusal in blocking.values()} - columns.keys():
            columns[rule] = _interim_columns(cursor, mapping, rule)
        stuck = {n: refusal for n, refusal in blocking.items() if not columns[refusal.rule]}
        left |= {n: _without_interim_value(refusal, len(stuck)) for n, refusal in stuck.items()}
        blocking = {n: refusal for n, refusal in blocking.items() if n not in stuck}
        if len(blocking) < 2:
            break
        cursor.execute("SAVEPOINT powerca_exchange")
        blocked = Refused()
        if all(_vacate(cursor, mapping, sorted(blocking), candidates) for candidates in columns.values()):
            written, blocked = _update(cursor, mapping, sorted(blocking))
            if not blocked:
                cursor.execute("RELEASE SAVEPOINT powerca_exchange")
                return written, left
        cursor.execute("ROLLBACK TO SAVEPOINT powerca_exchange; RELEASE SAVEPOINT powerca_exchange")
        if others := {n: one for n, one in blocked.items() if one.sqlstate in TAKEN and one.rule not in columns}:
            # Their values are exchanged under another constraint as well.
            blocking |= others
        else:
            left |= blocked
            blocking = {n: refusal for n, refusal in blocking.items() if n not in blocked}
    return 0, left | blocking


def _interim_columns(cursor: Cursor, mapping: TableMapping, rule: _Rule) -> list[Column]:
    """Returns the columns of a constraint that can have an interim value, nullable ones first."""
    schema, name = rule
    cursor.execute(load(__package__, "rule_columns.sql"), {"schema": schema, "name": name})
    names = [name for (name,) in cursor.fetchall()]
    written = {column.name: column for column in mapping.content if column.name != mapping.spec.office}
    found = [written[name] for name in names if name in written and exchange_sql.has_interim(written[name])]
    return sorted(found, key=lambda column: not column.nullable)


def _vacate(cursor: Cursor, mapping: TableMapping, numbers: Sequence[int], candidates: list[Column]) -> bool:
    """Set an interim value in the first of `candidates` that the target accepts; removes refused ones from the list."""
    while candidates:
        try:
            write(
                cursor,
                exchange_sql.vacate(mapping, numbers, candidates[0]),
                before=apply_sql.confirm(mapping, "update", apply_sql.among(numbers)),
                after=exchange_sql.remember_vacated(mapping, numbers),
            )
        except psycopg.Error as exc:
            if not may_concern_rows(exc):
                raise
            del candidates[0]
        else:
            return True
    return False


def _update(cursor: Cursor, mapping: TableMapping, numbers: Sequence[int]) -> tuple[int, Refused]:
    def run(first: int, last: int) -> int:
        which = apply_sql.among(numbers[first : last + 1])
        return write_planned(cursor, mapping, apply_sql.update, which)

    written, refused = isolate(run, 0, len(numbers) - 1, most=len(numbers))
    return written, {numbers[place]: refusal for place, refusal in refused.items()}


def _without_interim_value(refusal: Refusal, rows: int) -> Refusal:
    if rows < 2:
        return refusal
    return dataclasses.replace(
        refusal,
        words=f"{refusal.words}; {rows} of its rows exchange values, and no column can have an interim value. "
        "Make the constraint DEFERRABLE on the target",
    )


def insert_together(cursor: Cursor, mapping: TableMapping, refused: Refused) -> tuple[int, Refused]:
    """Apply the refused inserts whose parents are among them.

    Returns (rows inserted, inserts that are still refused).
    """
    own = (mapping.target.schema, mapping.target.name)
    keys = [key for key in mapping.target.references if key.parent == own]
    numbers = [n for n, refusal in refused.items() if refusal.sqlstate in NO_PARENT] if keys else []
    found = 1
    while numbers and found:
        found = 0
        for key in keys:
            cursor.execute(exchange_sql.without_parent(mapping, key, numbers))
            lacking = {n for (n,) in cursor.fetchall()}
            numbers = [n for n in numbers if n not in lacking]
            found += len(lacking)
    if not numbers:
        return 0, refused
    try:
        written = write_planned(cursor, mapping, apply_sql.insert, apply_sql.among(numbers))
    except psycopg.Error as exc:
        if not may_concern_rows(exc):
            raise
        return 0, refused
    return written, {n: refusal for n, refusal in refused.items() if n not in numbers}
