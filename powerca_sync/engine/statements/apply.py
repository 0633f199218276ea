"""Statements that carry out a planned merge."""

from psycopg import sql

from powerca_sync.engine.catalog import ForeignKey
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.statements.fragments import ACTIONS, AND, COMMA, STAGING, content_text, is_ours
from powerca_sync.tables import CREATED, DESKTOP, OWNER, STAMPS, UPDATED


def lock_deletes(mapping: TableMapping) -> sql.Composed:
    """Lock the rows to be deleted, so that nobody can make another row depend on them any more."""
    return sql.SQL("""\
SELECT FROM {target} AS t JOIN {actions} AS a ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'delete' FOR UPDATE OF t""").format(target=mapping.target.identifier, actions=ACTIONS)


def keep_referenced(mapping: TableMapping, key: ForeignKey) -> sql.Composed:
    """Take out of the plan each delete of a row that another row names through `key`, whatever its ON DELETE says.

    A row that is itself to be deleted stands in nobody's way.
    """
    conditions = [
        sql.SQL("{} = {}").format(sql.Identifier("c", column), sql.Identifier("t", parent))
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
    """Make single actions quick to find."""
    return sql.SQL("CREATE INDEX IF NOT EXISTS powerca_actions_by_number ON {} (action, n); ANALYZE {}").format(
        ACTIONS, ACTIONS
    )


def delete(mapping: TableMapping, first: int, last: int) -> sql.Composed:
    """Carry out deletes `first` to `last`."""
    return sql.SQL("DELETE FROM {target} AS t USING {actions} AS a WHERE {planned} AND {is_ours}").format(
        target=mapping.target.identifier,
        actions=ACTIONS,
        planned=_as_planned(mapping, "delete", first, last),
        is_ours=is_ours(mapping, "t"),
    )


def updated_values(mapping: TableMapping) -> dict[str, sql.Composable]:
    """What an update writes into each column that it sets, over the staged row `s`."""
    values: dict[str, sql.Composable] = {column.name: sql.Identifier("s", column.name) for column in mapping.content}
    if mapping.has_owner:
        values[OWNER] = sql.Literal(DESKTOP)
    if mapping.stamp(UPDATED):
        values[UPDATED] = sql.SQL("now()")
    return values


def inserted_values(mapping: TableMapping) -> dict[str, sql.Composable]:
    """What an insert writes into each column that it names, over the staged row `s`."""
    staged = {column.name for column in mapping.staged}
    values: dict[str, sql.Composable] = {
        name: sql.Identifier("s", name) for name in (column.name for column in mapping.staged) if name not in STAMPS
    }
    if mapping.has_owner:
        values[OWNER] = sql.Literal(DESKTOP)
    for name in (CREATED, UPDATED):
        if mapping.stamp(name):
            own = sql.SQL("coalesce({}, now())").format(sql.Identifier("s", name))
            values[name] = own if name in staged else sql.SQL("now()")
    return values | {name: sql.Literal(value) for name, value in mapping.spec.constants.items()}


def update(mapping: TableMapping, first: int, last: int) -> sql.Composed:
    """Carry out updates `first` to `last`; a row without an owner becomes the desktop's."""
    return _update(mapping, among=ACTIONS, where=_as_planned(mapping, "update", first, last))


def update_moved(mapping: TableMapping) -> sql.Composed:
    """Carry out the updates whose row somebody has written since the plan without touching what is compared.

    A tick, for example. Rows that the merge has updated already are of other content, or the desktop's by now.
    """
    moved = sql.SQL("""\
WITH moved AS MATERIALIZED (
    SELECT a.staged, a.before, a.relation, currtid2(a.relation::regclass::text, a.existing) AS existing
    FROM {actions} AS a
    WHERE a.action = 'update'
        AND NOT EXISTS (SELECT FROM {target} AS t WHERE t.ctid = a.existing AND t.tableoid = a.relation)
)
""").format(actions=ACTIONS, target=mapping.target.identifier)
    still_to_do = sql.SQL("{in_place} AND NOT ({owner} IS NOT DISTINCT FROM 'D' AND {content} = {staged})").format(
        in_place=_in_its_place(mapping),
        owner=mapping.owner("t"),
        content=content_text(mapping, "t"),
        staged=content_text(mapping, "s"),
    )
    return moved + _update(mapping, among=sql.Identifier("moved"), where=still_to_do)


def _update(mapping: TableMapping, *, among: sql.Identifier, where: sql.Composed) -> sql.Composed:
    return sql.SQL("""\
UPDATE {target} AS t SET {values}
FROM {among} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE {where} AND ({owner} = 'D' OR {owner} IS NULL) AND {in_office}""").format(
        target=mapping.target.identifier,
        values=COMMA.join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in updated_values(mapping).items()
        ),
        among=among,
        staging=STAGING,
        where=where,
        owner=mapping.owner("t"),
        in_office=mapping.in_office("t"),
    )


def insert(mapping: TableMapping, first: int, last: int) -> sql.Composed:
    """Carry out inserts `first` to `last`, filling owner, stamps and constants."""
    values = inserted_values(mapping)
    return sql.SQL("""\
INSERT INTO {target} ({names})
SELECT {values}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE {range}""").format(
        target=mapping.target.identifier,
        names=COMMA.join(sql.Identifier(name) for name in values),
        values=COMMA.join(values.values()),
        actions=ACTIONS,
        staging=STAGING,
        range=_range("insert", first, last),
    )


def _range(action: str, first: int, last: int) -> sql.Composed:
    return sql.SQL("a.action = {} AND a.n BETWEEN {} AND {}").format(action, first, last)


def _as_planned(mapping: TableMapping, action: str, first: int, last: int) -> sql.Composed:
    """The planned row, still in its place and with the content that it had then."""
    return AND.join([_range(action, first, last), _in_its_place(mapping)])


def _in_its_place(mapping: TableMapping) -> sql.Composed:
    return sql.SQL("t.ctid = a.existing AND t.tableoid = a.relation AND {content} = a.before").format(
        content=content_text(mapping, "t")
    )


def mark_refused(action: str, n: int, message: str) -> sql.Composed:
    """Take one action out of the plan with the database's words."""
    return sql.SQL("UPDATE {} SET action = 'refused', message = {} WHERE (action, n) = ({}, {})").format(
        ACTIONS, message, action, n
    )


def faulty_actions(action: str, *, reason: str, mapping: TableMapping) -> sql.Composed:
    """The staged rows of the actions of one kind, in the form that `staging.reject` takes."""
    value = COMMA.join(sql.Identifier("s", name) for name in mapping.spec.key) if mapping.spec.key else sql.SQL("NULL")
    return sql.SQL("""\
SELECT a.staged AS place, {reason} AS reason, {column}::text AS column_name, concat_ws(', ', {value}) AS value,
    NULL AS parent, a.message
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = {action}""").format(
        reason=sql.Literal(reason),
        column=sql.Literal(", ".join(mapping.spec.key) or None),
        value=value,
        actions=ACTIONS,
        staging=STAGING,
        action=sql.Literal(action),
    )
