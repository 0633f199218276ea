"""Statements that show a planned merge: what changes, from what to what, and what the table would hold afterwards."""

from collections.abc import Iterable

from psycopg import sql

from powerca_sync.engine.forward import inserted_values, updated_values
from powerca_sync.engine.mapping import (
    ACTIONS,
    COMMA,
    ECHOED,
    HELD,
    LEDGER,
    MISSING,
    REJECTED,
    STAGING,
    UNSETTLED,
    TableMapping,
    row_text,
    shown,
)
from powerca_sync.engine.postgres import Column
from powerca_sync.specs import DESKTOP, OWNER


def planned(place: int) -> sql.Identifier:
    """Where the rows of a table are that a plan has gone through before: one place for each table."""
    return sql.Identifier("pg_temp", f"powerca_planned_{place}")


def create_planned(mapping: TableMapping, place: int, columns: Iterable[str]) -> sql.Composed:
    """A table with these columns of all rows that the target table would have, those of other offices included.

    What only the target makes when a row is written, a default for example, is NULL here.
    """
    names = tuple(columns)
    updated, inserted = updated_values(mapping), inserted_values(mapping)
    existing = {name: sql.Identifier("t", name) for name in names}
    return sql.SQL("""\
CREATE TEMP TABLE {planned} ON COMMIT DROP AS
SELECT {existing}
FROM {target} AS t
WHERE NOT EXISTS (
    SELECT FROM {actions} AS a
    WHERE a.action IN ('update', 'delete') AND a.existing = t.ctid AND a.relation = t.tableoid
)
UNION ALL
SELECT {updated}
FROM {target} AS t
JOIN {actions} AS a ON a.existing = t.ctid AND a.relation = t.tableoid
JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'update'
UNION ALL
SELECT {inserted}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert'""").format(
        planned=planned(place),
        existing=COMMA.join(existing.values()),
        updated=COMMA.join(updated.get(name, existing[name]) for name in names),
        inserted=COMMA.join(inserted.get(name, sql.SQL("NULL")) for name in names),
        target=mapping.target.identifier,
        actions=ACTIONS,
        staging=STAGING,
    )


def create_quarantined(place: int) -> sql.Composed:
    """Keep the rows that the table of this place would quarantine."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT key, image FROM {}").format(
        _quarantined(place), REJECTED
    )


def quarantined(place: int | None) -> sql.Composed:
    """A query for these rows; without a place, for none."""
    if place is None:
        return sql.SQL("SELECT NULL::jsonb AS key, NULL::jsonb AS image WHERE FALSE").format()
    return sql.SQL("SELECT key, image FROM {}").format(_quarantined(place))


def _quarantined(place: int) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"powerca_quarantined_{place}")


def drop_working_tables() -> sql.Composed:
    """Make room for the next table's."""
    tables = (STAGING, LEDGER, REJECTED, HELD, ECHOED, MISSING, ACTIONS, UNSETTLED)
    return sql.SQL("DROP TABLE IF EXISTS {}").format(COMMA.join(tables))


def count_taken_over(mapping: TableMapping) -> sql.Composed:
    """Counts the unowned rows that would become desktop-owned."""
    return sql.SQL("""\
SELECT count(*)
FROM {actions} AS a JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'update' AND {owner} IS NULL""").format(
        actions=ACTIONS, target=mapping.target.identifier, owner=mapping.owner("t")
    )


def count_changes(mapping: TableMapping) -> sql.Composed:
    """For each column of `compared_columns`, in order: in how many of the rows to be updated it changes."""
    counts = (sql.SQL("count(*) FILTER (WHERE {})").format(_differs(mapping, column)) for column in compared(mapping))
    return sql.SQL("SELECT {counts}\n{updates}").format(
        counts=sql.SQL(",\n    ").join(counts), updates=_updates(mapping)
    )


def sample_inserts(mapping: TableMapping, most: int) -> sql.Composed:
    """The first rows to be inserted: key, NULL, and what would be there afterwards."""
    return sql.SQL("""\
SELECT {key}, NULL, {after}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert' ORDER BY a.n LIMIT {most}""").format(
        key=_image(mapping, "s", mapping.key),
        after=_image(mapping, "s", mapping.staged),
        actions=ACTIONS,
        staging=STAGING,
        most=most,
    )


def sample_updates(mapping: TableMapping, most: int) -> sql.Composed:
    """The first rows to be updated: key, and what is there and would be, of the columns that change."""
    columns = compared(mapping)
    changed = sql.SQL("ARRAY[{}]").format(
        COMMA.join(sql.SQL("CASE WHEN {} THEN {} END").format(_differs(mapping, c), c.name) for c in columns)
    )
    return sql.SQL("""\
SELECT {key}, {before}, {after}
{updates} ORDER BY a.n LIMIT {most}""").format(
        key=_image(mapping, "t", _identifying(mapping)),
        before=_only(_image(mapping, "t", columns), changed),
        after=_only(_image(mapping, "s", columns), changed),
        updates=_updates(mapping),
        most=most,
    )


def sample_deletes(mapping: TableMapping, most: int) -> sql.Composed:
    """The first rows to be deleted: key, what is there, and NULL."""
    return sql.SQL("""\
SELECT {key}, {before}, NULL
FROM {actions} AS a JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'delete' ORDER BY a.n LIMIT {most}""").format(
        key=_image(mapping, "t", _identifying(mapping)),
        before=_image(mapping, "t", mapping.staged),
        actions=ACTIONS,
        target=mapping.target.identifier,
        most=most,
    )


def _updates(mapping: TableMapping) -> sql.Composed:
    return sql.SQL("""\
FROM {actions} AS a
JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'update'""").format(actions=ACTIONS, target=mapping.target.identifier, staging=STAGING)


def _identifying(mapping: TableMapping) -> tuple[Column, ...]:
    """The columns by which a person finds a row of the target again."""
    names = dict.fromkeys((*mapping.target.primary_key, *mapping.key_names))
    return tuple(mapping.target.required(name) for name in names)


def compared(mapping: TableMapping) -> tuple[Column, ...]:
    """The columns that an update may change: those by which rows are compared, and the owner of a row without one."""
    owner = (mapping.target.required(OWNER),) if mapping.has_owner else ()
    return (*mapping.content, *owner)


def _differs(mapping: TableMapping, column: Column) -> sql.Composed:
    """Returns a condition: the rows `t` and `s` differ in the column, in the form that the merge compares."""
    if column.name == OWNER:
        return sql.SQL(" IS DISTINCT FROM ").join(_value(mapping, alias, column) for alias in ("t", "s"))
    return sql.SQL(" IS DISTINCT FROM ").join(row_text(mapping, alias, [column]) for alias in ("t", "s"))


def _value(mapping: TableMapping, alias: str, column: Column) -> sql.Composable:
    """A column of the target row `t` or of the staged row `s`, which becomes the desktop's, as text for people."""
    if alias == "s" and column.name == OWNER:
        return sql.SQL("{}::text").format(sql.Literal(DESKTOP))
    return shown(alias, column)


def _only(image: sql.Composed, names: sql.Composed) -> sql.Composed:
    return sql.SQL(
        "(SELECT coalesce(jsonb_object_agg(e.key, e.value), '{{}}') FROM jsonb_each({}) AS e WHERE e.key = ANY ({}))"
    ).format(image, names)


def _image(mapping: TableMapping, alias: str, columns: Iterable[Column]) -> sql.Composed:
    """Columns of a row as jsonb, each value in its text form; sensitive ones masked."""
    wanted = tuple(columns)
    values = []
    for column in wanted:
        value = _value(mapping, alias, column)
        if column.name in mapping.spec.sensitive:
            value = sql.SQL("CASE WHEN {} IS NOT NULL THEN '***' END").format(value)
        values.append(value)
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in wanted], COMMA.join(values)
    )
