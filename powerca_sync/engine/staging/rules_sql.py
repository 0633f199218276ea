"""Lookups in staging, and the rules that a staged row must not break."""

import dataclasses
from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import (
    AND,
    COMMA,
    REJECTED,
    STAGING,
    TableMapping,
    equal,
    equality,
    same_key,
    spec_of_table,
)
from powerca_sync.engine.postgres import Column, ForeignKey, schema_and_name
from powerca_sync.engine.staging.references_sql import is_of_another_office
from powerca_sync.specs import DESKTOP, OWNER, STAMPS, Lookup, Reference, spec_named


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule of the target or the spec, and the condition under which a staged row breaks it."""

    #: Short and stable: `reference`, `circle`, `deferred`, `not_null`, `altered`, `check`, `null_key`, `lookup`,
    #: `office`.
    reason: str
    #: Condition on the staged row `s` under which it breaks the rule.
    faulty: sql.Composable
    column: str | None = None
    #: The table without a matching row, or the violated constraint.
    parent: str | None = None
    #: A join that `faulty` needs.
    join: sql.Composable | None = None
    #: Selects the values of the parent's quarantined rows, as text; for these the reason is `quarantined_parent`.
    quarantined: sql.Composable | None = None
    #: A condition on the judged row: another office has the missing row; then the reason is `foreign_parent`.
    foreign: sql.Composable | None = None


#: Reason: the row references a row that is itself quarantined.
QUARANTINED_PARENT = "quarantined_parent"
#: Reason: the row references a row of another office.
FOREIGN_PARENT = "foreign_parent"
#: Reasons of rows with a dangling reference.
DANGLING = ("reference", QUARANTINED_PARENT, FOREIGN_PARENT, "circle")

#: Categories of types with the aggregate `min`: numbers, text, dates and times, intervals.
_HAVING_MIN = frozenset({"N", "S", "D", "T"})


def lookup_query(mapping: TableMapping, lookup: Lookup, alias: str) -> tuple[sql.Composed, sql.Composed]:
    """Returns a query for (match, value, ambiguous), and the condition that its row `a` matches the row `alias`.

    Of several values, desktop-owned rows win, then the lowest value.
    """
    scope = mapping.scope
    table = scope.table(lookup.table)
    match = table.required(lookup.match)
    value = sql.Identifier("p", table.required(lookup.answer).name)
    owned: sql.Composable = sql.SQL("TRUE")
    if table.column(OWNER):
        owned = sql.SQL("{}::text = {}").format(sql.Identifier("p", OWNER), DESKTOP)
    lowest, highest = (sql.SQL("{}({})").format(sql.SQL(name), value) for name in ("min", "max"))
    if table.required(lookup.answer).category not in _HAVING_MIN:
        # Types without `min`, such as uuid, boolean and jsonb, are ordered by their text.
        value_text = sql.SQL('{}::text COLLATE "C"').format(value)
        lowest = sql.SQL("min({})").format(value_text)
        highest = sql.SQL("max({})").format(value_text)
    found = sql.SQL("""\
    SELECT {match} AS match,
        coalesce({lowest} FILTER (WHERE {owned}), {lowest}) AS value, {lowest} IS DISTINCT FROM {highest} AS ambiguous
    FROM {table} AS p
    WHERE {in_office} AND {value} IS NOT NULL AND {match} IS NOT NULL
    GROUP BY {match}""").format(
        match=sql.Identifier("p", lookup.match),
        value=value,
        lowest=lowest,
        highest=highest,
        owned=owned,
        table=scope.rows(table.schema, table.name),
        in_office=scope.holds(spec_named(scope.specs, lookup.table), "p"),
    )
    same = equal(
        sql.Identifier(alias, lookup.match),
        mapping.target.required(lookup.match),
        sql.Identifier("a", "match"),
        match,
    )
    return found, same


def fill_lookup(mapping: TableMapping, lookup: Lookup) -> sql.Composed:
    """Fill a column from another table of the same office. Returns (rows filled, of them those with several values)."""
    found, same = lookup_query(mapping, lookup, "s")
    answer: sql.Composable = sql.SQL("a.value")
    if mapping.scope.table(lookup.table).required(lookup.answer).category not in _HAVING_MIN:
        # The type without its length: a cast to a length truncates without an error.
        answer = sql.SQL("a.value::{}").format(sql.SQL(mapping.target.required(lookup.column).base))
    return sql.SQL("""\
WITH answer AS (
{found}
), filled AS (
    UPDATE {staging} AS s SET {column} = {answer} FROM answer AS a WHERE {same} RETURNING a.ambiguous
)
SELECT count(*), count(*) FILTER (WHERE ambiguous) FROM filled""").format(
        found=found,
        staging=STAGING,
        column=sql.Identifier(lookup.column),
        answer=answer,
        same=same,
    )


def count_missed(lookup: Lookup) -> sql.Composed:
    """Count the staged rows with a match column for which no value was found."""
    return sql.SQL("SELECT count(*) FROM {} AS s WHERE {} IS NOT NULL AND {} IS NULL").format(
        STAGING, sql.Identifier("s", lookup.match), sql.Identifier("s", lookup.column)
    )


def _is_null(column: Column) -> sql.Composed:
    # IS NULL is true for a composite value whose fields are all NULL.
    is_null = "{} IS NOT DISTINCT FROM NULL" if column.category == "C" else "{} IS NULL"
    return sql.SQL(is_null).format(sql.Identifier("s", column.name))


def rules(mapping: TableMapping) -> list[Rule]:
    """Returns the rules for staged rows, in the order in which they give the reason for quarantine."""
    found = []
    if mapping.pairs_by_key:
        found += [Rule(reason="null_key", column=column.name, faulty=_is_null(column)) for column in mapping.key]
    for column in mapping.synced:
        if column.lossless_check is not None and column.source_text is not None:
            unchanged = sql.SQL(column.lossless_check).format(
                value=sql.Identifier("s", column.name), text=sql.Identifier("s", column.source_text)
            )
            found.append(Rule(reason="altered", column=column.name, faulty=sql.SQL("({}) IS FALSE").format(unchanged)))
    looked_up = {lookup.column: lookup.table for lookup in mapping.lookups}
    # Mobile-owned columns are not written by updates, so that they must not quarantine a row.
    left_to_the_target = {*STAMPS, *mapping.mobile_owned}
    found += [
        Rule(
            reason="lookup" if column.name in looked_up else "not_null",
            column=column.name,
            parent=looked_up.get(column.name),
            faulty=_is_null(column),
        )
        for column in mapping.staged
        if not column.nullable and column.name not in left_to_the_target
    ]
    staged = {column.name for column in mapping.staged} - left_to_the_target
    found += [
        Rule(
            reason="check",
            column=", ".join(sorted(check.columns)) or None,
            parent=check.name,
            faulty=sql.SQL("({}) IS FALSE").format(sql.SQL(check.expression)),
        )
        for check in mapping.target.checks
        if check.columns <= staged
    ]
    declared = mapping.checked_references()
    found += [_declared(mapping, reference, place) for place, reference in enumerate(declared)]
    certain = {(r.column, schema_and_name(r.parent), r.names) for r in declared if not r.zero_is_none}
    found += [
        _enforced(mapping, key, place)
        for place, key in enumerate(mapping.enforced_references(), start=len(declared))
        if not (len(key.columns) == 1 and (key.columns[0], key.parent, key.parent_columns[0]) in certain)
    ]
    found.append(
        Rule(
            reason="office",
            column=mapping.spec.office,
            faulty=sql.SQL("({}) IS NOT TRUE").format(mapping.in_office("s")),
        )
    )
    return found


def _declared(mapping: TableMapping, reference: Reference, place: int) -> Rule:
    """Returns the rule for a reference of the spec: the parent must have a matching row of this office."""
    scope = mapping.scope
    table = scope.table(reference.parent)
    in_office = scope.holds(spec_named(scope.specs, reference.parent), "p")
    own = sql.Identifier("s", reference.column)
    parent_value = sql.Identifier("p", reference.names)
    rows = sql.SQL("SELECT {} AS value FROM {} AS p WHERE {}").format(
        parent_value, scope.rows(table.schema, table.name), in_office
    )
    if reference.parent == mapping.table and _is_staged(mapping, [reference.names]):
        rows = sql.SQL("{} UNION ALL SELECT {} FROM {} AS p").format(rows, parent_value, STAGING)
    alias = f"ref:{place}"
    found = sql.Identifier(alias, f"{alias}:0")
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT r.value AS {name} FROM ({rows}) AS r) AS {alias} ON {same}").format(
        name=sql.Identifier(f"{alias}:0"),
        rows=rows,
        alias=sql.Identifier(alias),
        same=equal(found, table.required(reference.names), own, mapping.target.required(reference.column)),
    )
    faulty = sql.SQL("{own} IS NOT NULL AND {found} IS NULL").format(own=own, found=found)
    if reference.zero_is_none:
        number = mapping.target.required(reference.column).category == "N"
        zero = sql.SQL("{} <> 0" if number else "btrim({}::text) <> '0'").format(own)
        faulty = sql.SQL("{} AND {}").format(faulty, zero)
    return Rule(
        reason="reference",
        column=reference.column,
        parent=reference.parent,
        faulty=faulty,
        join=join,
        quarantined=_quarantined(mapping, reference),
        foreign=is_of_another_office(mapping, table, [(reference.column, reference.names)]),
    )


def _quarantined(mapping: TableMapping, reference: Reference) -> sql.Composable | None:
    rows = mapping.scope.quarantined.get(reference.parent)
    if reference.parent == mapping.table:
        rows = sql.SQL("SELECT key, image FROM {}").format(REJECTED)
    if rows is None:
        return None
    return sql.SQL("SELECT coalesce(q.image ->> {name}, q.key ->> {name}) FROM ({rows}) AS q").format(
        name=reference.names, rows=rows
    )


def deferrable(mapping: TableMapping) -> list[tuple[Rule, Column]]:
    """Returns the rules for new rows that are first inserted with NULL, and the column to set to NULL.

    Their parent is missing and its table references this one in turn, so that neither could be inserted first.
    """
    is_new = sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE {})").format(
        mapping.target.identifier, same_key(mapping, "t", "s")
    )
    found = []
    for place, (key, column) in enumerate(mapping.deferrable_columns()):
        rule = _enforced(mapping, key, place)
        faulty = AND.join([rule.faulty, is_new])
        found.append((dataclasses.replace(rule, reason="deferred", faulty=faulty), column))
    return found


def _enforced(mapping: TableMapping, key: ForeignKey, place: int) -> Rule:
    """Returns the rule for a foreign key of the target: the parent must have a matching row.

    If other offices share the parent, and its spec tells the office of its rows, it must be one of this office. All
    rows of a desktop are of one office.
    """
    scope = mapping.scope
    is_shared = mapping.is_forward and not scope.office.alone
    parent = spec_of_table(key.parent, scope.specs, scope.tables) if is_shared else None
    alias = f"ref:{place}"
    names = [f"{alias}:{n}" for n in range(len(key.columns))]
    parent_values = COMMA.join(
        sql.SQL("{} AS {}").format(sql.Identifier("p", column), sql.Identifier(name))
        for column, name in zip(key.parent_columns, names, strict=True)
    )
    rows, foreign = sql.SQL("SELECT {} FROM {} AS p").format(parent_values, scope.rows(*key.parent)), None
    if parent is not None:
        pairs = list(zip(key.columns, key.parent_columns, strict=True))
        foreign = is_of_another_office(mapping, scope.table(parent.mobile), pairs)
        rows = sql.SQL("{} WHERE {}").format(rows, scope.holds(parent, "p"))
    if key.parent == (mapping.target.schema, mapping.target.name) and _is_staged(mapping, key.parent_columns):
        rows = sql.SQL("{} UNION ALL SELECT {} FROM {} AS p").format(rows, parent_values, STAGING)
    own = [sql.Identifier("s", column) for column in key.columns]
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT * FROM ({rows}) AS r) AS {alias} ON {same}").format(
        rows=rows,
        alias=sql.Identifier(alias),
        same=AND.join(
            sql.SQL("{} {} {}").format(
                sql.Identifier(alias, name), equality(mapping.target.required(column)), sql.Identifier("s", column)
            )
            for name, column in zip(names, key.columns, strict=True)
        ),
    )
    conditions = [sql.SQL("{} IS NOT NULL").format(column) for column in own]
    conditions.append(sql.SQL("{} IS NULL").format(sql.Identifier(alias, names[0])))
    is_closed = key.circle == "closed" and not any(mapping.target.required(name).nullable for name in key.columns)
    return Rule(
        reason="circle" if is_closed else "reference",
        column=", ".join(key.columns),
        parent=key.parent[1],
        faulty=AND.join(conditions),
        join=join,
        foreign=foreign,
    )


def _is_staged(mapping: TableMapping, names: Sequence[str]) -> bool:
    return {column.name for column in mapping.staged}.issuperset(names)
