"""Statements that tell the versions of target rows that others wrote from those that the sync wrote or has seen.

A version is known by the transaction that wrote it: `xmin`, which has 32 of the 64 bits of its id.
"""

from psycopg import sql

from powerca_sync.engine.mapping import ACTIONS, AND, STAGING, TableMapping, same_key, shown_image_of
from powerca_sync.engine.state import MOST_VERSIONS, TargetMark

#: Keys of foreign rows that are named.
SAMPLES = 5
INTEGERS = ("int2", "int4", "int8")


def latest(last: sql.Composable, xmin: sql.Composable) -> sql.Composed:
    """The latest 64-bit transaction id, up to `last`, that has these 32 bits."""
    return sql.SQL("greatest({last} - mod({last} - {xmin} + 4294967296, 4294967296), 0)").format(last=last, xmin=xmin)


def earliest(first: sql.Composable, xmin: sql.Composable) -> sql.Composed:
    """The earliest 64-bit transaction id, from `first` on, that has these 32 bits."""
    return sql.SQL("({first} + mod({xmin} - mod({first}, 4294967296) + 4294967296, 4294967296))").format(
        first=first, xmin=xmin
    )


_XMIN = sql.SQL("t.xmin::text::bigint")
#: The transaction that wrote the row `t`: one that has ended, or this one and its subtransactions.
_ENDED = latest(sql.SQL("(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)"), _XMIN)
_OURS = earliest(sql.SQL("(SELECT pg_current_xact_id_if_assigned()::text::bigint)"), _XMIN)
#: A condition on the target row `t`: this transaction wrote it.
#:
#: A row that we see and whose transaction is still in progress is our own. Only rows that are not older than this
#: transaction are asked for that.
WRITTEN_HERE = sql.SQL(
    "CASE WHEN age(t.xmin) <= age(pg_current_xact_id_if_assigned()::xid)"
    " THEN pg_xact_status({}::text::xid8) = 'in progress' ELSE FALSE END"
).format(_OURS)


def is_foreign(mark: TargetMark | None) -> sql.Composable:
    """A condition on the target row `t`: others wrote this version since the mark, or it is recorded as theirs.

    What is older than all that the mark speaks of is not looked at any further, frozen rows among it.
    """
    if mark is None:
        return sql.SQL("FALSE")
    return sql.SQL("""\
CASE WHEN age(t.xmin) <= age({oldest}::xid8::xid) THEN
        {recorded}
        OR ({version} <> ALL ({own}::bigint[])
            AND NOT pg_visible_in_snapshot({version}::text::xid8, {snapshot}::pg_snapshot))
    ELSE FALSE END""").format(
        oldest=sql.Literal(str(mark.oldest)),
        recorded=_is_recorded(mark),
        version=_ENDED,
        snapshot=sql.Literal(mark.snapshot),
        own=list(mark.own),
    )


def is_changed(mapping: TableMapping, mark: TargetMark | None) -> sql.Composable:
    """A condition on a foreign target row `t` that is not recorded as such: it was there before, and was changed since.

    Its primary key tells, where that counts upwards and is not the desktop's key.
    """
    if mark is None or mark.highest is None or (key := _counted_key(mapping)) is None:
        return sql.SQL("FALSE")
    return sql.SQL("({key} <= {highest} AND NOT {recorded})").format(
        key=sql.Identifier("t", key), highest=mark.highest, recorded=_is_recorded(mark)
    )


def _is_recorded(mark: TargetMark) -> sql.Composable:
    if not mark.foreign:
        return sql.SQL("FALSE")
    return sql.SQL("{} = ANY ({}::bigint[])").format(_ENDED, list(mark.foreign))


def _counted_key(mapping: TableMapping) -> str | None:
    match mapping.target.primary_key:
        case (name,) if name not in mapping.key_names and mapping.target.required(name).base in INTEGERS:
            return name
    return None


def note_foreign(mapping: TableMapping, foreign: sql.Composable, changed: sql.Composable) -> sql.Composed:
    """Note the author of each foreign row that staging has no row for; of the changed ones only where they would go."""
    return sql.SQL("""\
UPDATE {actions} AS a SET author = {version}
FROM {target} AS t
WHERE (a.action = 'delete' OR (a.action IN ('held', 'ambiguous') AND NOT {changed}))
    AND t.ctid = a.existing AND t.tableoid = a.relation
    AND {foreign}""").format(
        actions=ACTIONS, version=_ENDED, changed=changed, target=mapping.target.identifier, foreign=foreign
    )


def keep_foreign(mapping: TableMapping, changed: sql.Composable) -> sql.Composed:
    """Take the deletes of foreign rows out of the plan, but for those that are in the way of a desktop row.

    Of `changed` ones only if more would go than the guard lets pass, whatever the table's size.
    """
    staged = {column.name for column in mapping.staged}
    free = [
        sql.SQL("""NOT EXISTS (
        SELECT FROM {actions} AS w JOIN {staging} AS s ON s.ctid = w.staged
        WHERE w.action IN ('insert', 'update') AND {same}
    )""").format(actions=ACTIONS, staging=STAGING, same=same_key(mapping, "s", "t", unique.columns))
        for unique in mapping.target.unique_keys
        if staged.issuperset(unique.columns)
    ]
    return sql.SQL("""\
WITH foreign_rows AS MATERIALIZED (
    SELECT a.n, {changed} AS changed, {free} AS free
    FROM {actions} AS a JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action = 'delete' AND a.author IS NOT NULL
)
UPDATE {actions} AS a SET action = 'foreign'
FROM foreign_rows AS f
WHERE a.action = 'delete' AND a.n = f.n AND f.free
    AND (NOT f.changed OR (SELECT count(*) FROM foreign_rows AS c WHERE c.changed) > {most})""").format(
        changed=changed,
        free=AND.join([*free, sql.SQL("TRUE")]),
        actions=ACTIONS,
        target=mapping.target.identifier,
        most=mapping.spec.mass_delete_rows,
    )


def count_foreign_deletes() -> sql.Composed:
    """Count the foreign rows that are deleted."""
    return sql.SQL("SELECT count(*) FROM {} AS a WHERE a.action = 'delete' AND a.author IS NOT NULL").format(ACTIONS)


def foreign_authors() -> sql.Composed:
    """The transactions that wrote the foreign rows that stay; one more than `MOST_VERSIONS` if there are more."""
    return sql.SQL("""\
SELECT ARRAY(
    SELECT DISTINCT a.author FROM {} AS a WHERE a.author IS NOT NULL AND a.action <> 'delete' ORDER BY 1 LIMIT {}
)""").format(ACTIONS, MOST_VERSIONS + 1)


def count_writes(mapping: TableMapping) -> sql.Composed:
    """Count the rows of the target table, its partitions and its children that this session has written.

    Reads the server's statistics, which include writes by triggers and writes that were rolled back to a savepoint.
    They are reset when the session is idle, so that only differences within one transaction are meaningful.
    """
    return sql.SQL("""\
WITH RECURSIVE parts AS (
    SELECT {oid}::oid AS part
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN parts AS p ON p.part = i.inhparent
)
SELECT sum(
    pg_stat_get_xact_tuples_inserted(p.part)
    + pg_stat_get_xact_tuples_updated(p.part)
    + pg_stat_get_xact_tuples_deleted(p.part)
)::bigint
FROM parts AS p""").format(oid=mapping.target.oid)


def known_versions(mapping: TableMapping, before: TargetMark | None, *, writes: int) -> sql.Composed:
    """The transaction and the subtransactions by which this run wrote rows, and the highest primary key that is known.

    If the session has done `writes` to the table, these are the merge's (`apply_sql.note_write`); otherwise triggers
    have written too, and all of the table's rows are looked at. Without a mark of `before`, all primary keys are known.
    """
    name = _counted_key(mapping)
    key = sql.Identifier("t", name) if name else sql.SQL("NULL::bigint")
    highest = before and before.highest
    target = sql.SQL("{} AS t").format(mapping.target.identifier)
    written = sql.SQL("{} WHERE {} AND {}").format(target, mapping.in_office("t"), WRITTEN_HERE)
    # An index on the primary key serves the condition.
    newer = sql.SQL("TRUE") if highest is None else sql.SQL("{} > {}").format(key, highest)
    return sql.SQL("""\
SELECT
    CASE ({counted}) WHEN {writes} THEN ARRAY(SELECT DISTINCT {version} FROM {actions} AS t WHERE t.action = 'written')
        ELSE ARRAY(SELECT DISTINCT {version} FROM {written}) END,
    greatest({highest}, (SELECT max({key}) FROM {keys}))""").format(
        counted=count_writes(mapping),
        writes=writes,
        version=_OURS,
        actions=ACTIONS,
        written=written,
        highest=sql.Literal(highest),
        key=key,
        keys=target if before is None else sql.SQL("{} AND {}").format(written, newer),
    )


def foreign_keys(mapping: TableMapping) -> sql.Composed:
    """The first foreign rows that are kept, by mobile primary key and key, as jsonb; sensitive columns are left out."""
    names = dict.fromkeys((*mapping.target.primary_key, *mapping.key_names))
    columns = [mapping.target.required(name) for name in names if name not in mapping.spec.sensitive]
    return sql.SQL("""\
SELECT {key}
FROM {actions} AS a JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'foreign' ORDER BY a.relation, a.existing LIMIT {most}""").format(
        key=shown_image_of(columns, "t"), actions=ACTIONS, target=mapping.target.identifier, most=SAMPLES
    )
