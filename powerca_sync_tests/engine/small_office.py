"""The office's tables with few rows, generated from the specs with every column that a spec names."""

from collections.abc import Iterable, Iterator
from typing import Literal

from powerca_sync.engine.postgres.database import Connection
from powerca_sync.specs import Strategy, TableSpec
from powerca_sync.tables import TABLES

Where = Literal["desktop", "mobile", "both", "renamed"]
#: Rows of each table in either database, and the number of the one that a phone created.
ROWS, PHONE_ROW = 3, 100


def named_columns(spec: TableSpec) -> tuple[str, ...]:
    """Returns every column of the table that the specs name, in both databases, each once."""
    names = [*spec.key, *(one.column for one in spec.references), *sorted(spec.mobile_owned), *sorted(spec.sensitive)]
    names += [one.match for one in spec.lookups] + [one.column for one in spec.expressions]
    names += [one.names for other in TABLES for one in other.references if one.parent == spec.mobile]
    looked_up = {one.column for one in spec.lookups}
    return tuple(name for name in dict.fromkeys(names) if name not in looked_up)


def children(spec: TableSpec) -> tuple[TableSpec, ...]:
    """Returns the tables that reference this one or look up values in it."""
    return tuple(one for one in TABLES if spec.mobile in one.depends_on)


def make(desktop: Connection, mobile: Connection, specs: Iterable[TableSpec] = TABLES) -> None:
    """Creates the tables anew: `ROWS` rows in both databases whose label has changed on the desktop, and a phone row,
    except for organisations. The state of earlier runs is deleted.
    """
    for connection, on_mobile in ((desktop, False), (mobile, True)):
        statements = [statement for spec in specs for statement in _table(spec, on_mobile=on_mobile)]
        connection.execute("; ".join(["DROP SCHEMA IF EXISTS powerca_sync CASCADE", *statements]))  # type: ignore[call-overload]


def _table(spec: TableSpec, *, on_mobile: bool) -> Iterator[str]:
    name = spec.mobile if on_mobile else spec.desktop
    body = ", ".join(f'"{column}" {kind}' for column, kind in _columns(spec, on_mobile=on_mobile))
    yield f"DROP TABLE IF EXISTS {name}"
    yield f"CREATE TABLE {name} ({body})"
    numbers = [*range(1, ROWS + 1)]
    if on_mobile and not spec.defines_offices:
        numbers.append(PHONE_ROW)
    rows = []
    for number in numbers:
        values = {column: _value(spec, column, number) for column in named_columns(spec)}
        values["label"] = f"'phone {number}'" if number == PHONE_ROW else f"'{'old' if on_mobile else 'new'}'"
        if on_mobile:
            values["source"] = "'M'" if number == PHONE_ROW else "'D'"
            values |= {one.column: "1" for one in spec.lookups}
        rows.append(f"({', '.join(values.values())})")
    names = ", ".join(f'"{column}"' for column in values)
    yield f"INSERT INTO {name} ({names}) VALUES {', '.join(rows)}"


def drop_column(desktop: Connection, mobile: Connection, spec: TableSpec, column: str, where: Where) -> None:
    """Drops a column in one database or both, or renames it in both."""
    for connection, name, side in ((desktop, spec.desktop, "desktop"), (mobile, spec.mobile, "mobile")):
        if where == "renamed":
            connection.execute(f'ALTER TABLE {name} RENAME COLUMN "{column}" TO "other_{column}"')  # type: ignore[call-overload]
        elif where in (side, "both"):
            connection.execute(f'ALTER TABLE {name} DROP COLUMN "{column}"')  # type: ignore[call-overload]


def drop_table(desktop: Connection, mobile: Connection, spec: TableSpec, where: Where) -> None:
    """Drops a table in one database or both."""
    for connection, name, side in ((desktop, spec.desktop, "desktop"), (mobile, spec.mobile, "mobile")):
        if where in (side, "both"):
            connection.execute(f"DROP TABLE {name}")  # type: ignore[call-overload]


def _columns(spec: TableSpec, *, on_mobile: bool) -> Iterator[tuple[str, str]]:
    if on_mobile and spec.strategy is Strategy.DELETE_INSERT:
        yield "row_id", "bigserial PRIMARY KEY"
    computed = {one.column for one in spec.expressions}
    for name in named_columns(spec):
        if name in computed:
            yield name, "time" if on_mobile else "timestamp"
        elif name == "date":
            yield name, "date"
        elif name in ("checklistdesc", "app_pw"):
            yield name, "text"
        else:
            is_key = on_mobile and spec.strategy is Strategy.UPSERT and spec.key == (name,)
            yield name, "int PRIMARY KEY" if is_key else "int"
    yield "label", "text"
    if on_mobile:
        yield from ((one.column, "int") for one in spec.lookups)
        yield "source", "char(1) DEFAULT 'M'"
        yield "created_at", "timestamptz DEFAULT now()"
        yield "updated_at", "timestamptz DEFAULT now()"


def _value(spec: TableSpec, column: str, number: int) -> str:
    if column in {one.column for one in spec.expressions}:
        return f"timestamp '2025-06-0{number % 9 + 1} 10:0{number % 10}'"
    if column == "date":
        return f"date '2025-06-0{number % 9 + 1}'"
    if column in ("checklistdesc", "app_pw"):
        return f"'text {number}'"
    is_own_number = spec.key[-1] == column or spec.key == (column,)
    return str(number if is_own_number else 1)
