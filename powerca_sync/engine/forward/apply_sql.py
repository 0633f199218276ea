"""Statements that apply a merge plan."""

from collections.abc import Iterable

from psycopg import sql

from powerca_sync.engine.mapping import (
    ACTIONS,
    AND,
    COMMA,
    STAGING,
    TableMapping,
    content_text,
    equality,
    is_ours,
    now_in,
)
from powerca_sync.engine.postgres import ForeignKey
from powerca_sync.specs import CREATED, DESKTOP, OWNER, STAMPS, UPDATED


def lock_deletes(mapping: TableMapping) -> sql.Composed:
    """Lock the rows to delete, so that no other session can insert a row that references them."""
    return sql.SQL("""\
SELECT FROM {target} AS t JOIN {actions} AS a ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'delete' FOR UPDATE OF t""").format(target=mapping.target.identifier, actions=ACTIONS)


def keep_referenced(mapping: TableMapping, key: ForeignKey) -> sql.Composed:
    """Remove the deletes from the plan whose row is referenced through `key`, whatever its ON DELETE action is.

    References by rows that are deleted as well do not count.
    """
    conditions = [
        sql.SQL("{} {} {}").format(
            sql.Identifier("c", column), equality(mapping.target.column(parent)), sql.Identifier("t", parent)
        )
        for column, parent in zip(key.columns, key.parent_columns, strict=True)
    ]
    if key.child == key.parent:
        going = sql.SQL("SELECT FROM {} AS d WHERE (d.action, d.existing, d.relation) = ('delete', c.ctid, c.tableoid)")
        conditions.append(sql.SQL("NOT EXISTS ({})").format(going.format(ACTIONS)))
    return sql.SQL("""\
UPDATE {actions} AS a SET action = 'referenced'
FROM {target} AS t
WHERE a.action = 'delete' AND t.ctid = a.existing AND t.tableoid = a.relation
    AND EXISTS (SELECT FROM {child} AS c WHERE {conditions})""").format(
        actions=ACTIONS,
        target=mapping.target.identifier,
        child=mapping.scope.rows(*key.child),
        conditions=AND.join(conditions),
    )


def index_actions() -> sql.Composed:
    """Index the actions by number, for statements that apply single ones."""
    return sql.SQL("CREATE INDEX IF NOT EXISTS powerca_actions_by_number ON {} (action, n); ANALYZE {}").format(
        ACTIONS, ACTIONS
    )


def in_range(first: int, last: int) -> sql.Composed:
    """Returns a condition on actions `a` of one kind: their numbers are from `first` to `last`."""
    return sql.SQL("a.n BETWEEN {} AND {}").format(first, last)


def among(numbers: Iterable[int]) -> sql.Composed:
    """Returns a condition on actions `a` of one kind: they have these numbers."""
    return sql.SQL("a.n = ANY ({}::bigint[])").format(list(numbers))


def confirm(mapping: TableMapping, action: str, which: sql.Composed) -> sql.Composed:
    """Record the version of each row of these deletes or updates that is as it was planned and may be written.

    The statement that writes the row then compares the version only, and works under any settings of the session.
    """
    may_be_written = is_ours(mapping, "t") if action == "delete" else may_be_updated(mapping)
    return sql.SQL("""\
UPDATE {actions} AS a SET version = t.xmin
FROM {target} AS t
WHERE a.action = {action} AND {which} AND {in_its_place} AND {may_be_written}""").format(
        actions=ACTIONS,
        target=mapping.target.identifier,
        action=sql.Literal(action),
        which=which,
        in_its_place=in_its_place(mapping),
        may_be_written=may_be_written,
    )


#: A condition on the target row `t`: it is the version of action `a` that was confirmed.
CONFIRMED = sql.SQL("t.ctid = a.existing AND t.tableoid = a.relation AND t.xmin = a.version")


def delete(mapping: TableMapping, which: sql.Composed) -> sql.Composed:
    """Delete the confirmed rows of some deletes."""
    return sql.SQL("""\
DELETE FROM {target} AS t USING {actions} AS a
WHERE a.action = 'delete' AND {which} AND {confirmed}""").format(
        target=mapping.target.identifier, actions=ACTIONS, which=which, confirmed=CONFIRMED
    )


def updated_values(mapping: TableMapping) -> dict[str, sql.Composable]:
    """Returns column to value for an update from the staged row `s`."""
    values: dict[str, sql.Composable] = {column.name: sql.Identifier("s", column.name) for column in mapping.content}
    if mapping.has_owner:
        values[OWNER] = sql.Literal(DESKTOP)
    if mapping.stamp(UPDATED):
        values[UPDATED] = now_in(mapping.target.required(UPDATED))
    return values


def inserted_values(mapping: TableMapping) -> dict[str, sql.Composable]:
    """Returns column to value for an insert of the staged row `s`."""
    staged = {column.name for column in mapping.staged}
    values: dict[str, sql.Composable] = {
        name: sql.Identifier("s", name) for name in (column.name for column in mapping.staged) if name not in STAMPS
    }
    if mapping.has_owner:
        values[OWNER] = sql.Literal(DESKTOP)
    for name in (CREATED, UPDATED):
        if mapping.stamp(name):
            now = now_in(mapping.target.required(name))
            own = sql.SQL("coalesce({}, {})").format(sql.Identifier("s", name), now)
            values[name] = own if name in staged else now
    return values | {name: sql.Literal(value) for name, value in mapping.spec.constants.items()}


def update(mapping: TableMapping, which: sql.Composed) -> sql.Composed:
    """Update the confirmed rows of some updates; an unowned row becomes desktop-owned."""
    return sql.SQL("""\
UPDATE {target} AS t SET {values}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'update' AND {which} AND {confirmed}""").format(
        target=mapping.target.identifier,
        values=COMMA.join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in updated_values(mapping).items()
        ),
        actions=ACTIONS,
        staging=STAGING,
        which=which,
        confirmed=CONFIRMED,
    )


def confirm_moved(mapping: TableMapping) -> sql.Composed:
    """Confirm the updates whose row others wrote since the plan without changing its compared content.

    Excludes rows that the merge has updated: these are desktop-owned and equal the staged row. Returns the numbers.
    """
    return sql.SQL("""\
WITH moved AS MATERIALIZED (
    SELECT a.n, a.staged, a.before, a.relation, currtid2(a.relation::regclass::text, a.existing) AS existing
    FROM {actions} AS a
    WHERE a.action = 'update'
        AND NOT EXISTS (SELECT FROM {target} AS t WHERE t.ctid = a.existing AND t.tableoid = a.relation)
), found AS (
    SELECT a.n, a.existing, t.xmin AS version
    FROM moved AS a JOIN {staging} AS s ON s.ctid = a.staged JOIN {target} AS t ON {in_place}
    WHERE NOT ({owner} IS NOT DISTINCT FROM 'D' AND {content} = {staged}) AND {may_be_updated}
)
UPDATE {actions} AS a SET existing = f.existing, version = f.version
FROM found AS f
WHERE a.action = 'update' AND a.n = f.n
RETURNING a.n""").format(
        actions=ACTIONS,
        target=mapping.target.identifier,
        staging=STAGING,
        in_place=in_its_place(mapping),
        owner=mapping.owner("t"),
        content=content_text(mapping, "t"),
        staged=content_text(mapping, "s"),
        may_be_updated=may_be_updated(mapping),
    )


def may_be_updated(mapping: TableMapping) -> sql.Composed:
    """Returns a condition on the target row `t`: it is desktop-owned or unowned, and of this office."""
    return sql.SQL("({owner} = 'D' OR {owner} IS NULL) AND {in_office}").format(
        owner=mapping.owner("t"), in_office=mapping.in_office("t")
    )


def insert(mapping: TableMapping, which: sql.Composed) -> sql.Composed:
    """Insert the staged rows of some inserts, with owner, stamps and constants."""
    rows = sql.SQL("{actions} AS a JOIN {staging} AS s ON s.ctid = a.staged\nWHERE a.action = 'insert' AND {which}")
    return _insert_from(mapping, rows.format(actions=ACTIONS, staging=STAGING, which=which))


def insert_all(mapping: TableMapping) -> sql.Composed:
    """Insert every staged row, with owner, stamps and constants."""
    return _insert_from(mapping, sql.SQL("{} AS s").format(STAGING))


def _insert_from(mapping: TableMapping, rows: sql.Composed) -> sql.Composed:
    values = inserted_values(mapping)
    return sql.SQL("""\
INSERT INTO {target} ({names})
SELECT {values}
FROM {rows}""").format(
        target=mapping.target.identifier,
        names=COMMA.join(sql.Identifier(name) for name in values),
        values=COMMA.join(values.values()),
        rows=rows,
    )


def in_its_place(mapping: TableMapping) -> sql.Composed:
    """Returns a condition on the target row `t`: it is the row of action `a`, with the content that was planned for."""
    return sql.SQL("t.ctid = a.existing AND t.tableoid = a.relation AND {content} = a.before").format(
        content=content_text(mapping, "t")
    )


def note_write() -> sql.Composed:
    """Record that the current subtransaction wrote rows: `xmin` of the record is that of the rows."""
    return sql.SQL("INSERT INTO {} (action) VALUES ('written')").format(ACTIONS)


def mark_refused(action: str, n: int, message: str) -> sql.Composed:
    """Remove one action from the plan as refused, with the database's message."""
    return sql.SQL("UPDATE {} SET action = 'refused', message = {} WHERE (action, n) = ({}, {})").format(
        ACTIONS, message, action, n
    )


def mark_swallowed(mapping: TableMapping, action: str, message: str) -> sql.Composed:
    """Remove the actions from the plan as refused whose row is unchanged, with a message."""
    return sql.SQL("""\
UPDATE {actions} AS a SET action = 'refused', message = {message}
FROM {target} AS t
WHERE a.action = {action} AND {in_its_place}""").format(
        actions=ACTIONS,
        message=sql.Literal(message),
        target=mapping.target.identifier,
        action=sql.Literal(action),
        in_its_place=in_its_place(mapping),
    )


def faulty_actions(action: str, *, reason: str, mapping: TableMapping) -> sql.Composed:
    """Select the staged rows of the actions of one kind, in the form that `quarantine_sql.reject` takes.

    The parent of a collision is the organisation that has the key.
    """
    organisation: sql.Composable = sql.SQL("NULL::text")
    if action == "collision":
        organisation = sql.SQL("(SELECT {} FROM {} AS t WHERE t.ctid = a.existing AND t.tableoid = a.relation)").format(
            mapping.scope.organisation(mapping.spec, "t"), mapping.target.identifier
        )
    value = (
        COMMA.join(sql.Identifier("s", name) for name in mapping.key_names) if mapping.key_names else sql.SQL("NULL")
    )
    return sql.SQL("""\
SELECT a.staged AS place, {reason} AS reason, {column}::text AS column_name, concat_ws(', ', {value}) AS value,
    {organisation} AS parent, a.message
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = {action}""").format(
        reason=sql.Literal(reason),
        column=sql.Literal(", ".join(mapping.key_names) or None),
        value=value,
        organisation=organisation,
        actions=ACTIONS,
        staging=STAGING,
        action=sql.Literal(action),
    )
