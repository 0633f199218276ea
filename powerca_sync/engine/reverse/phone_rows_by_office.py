"""Count and digest the phone rows of all offices of a mobile database in one statement, instead of one for each office.

The digests are those that each office's own reverse run records (`pending`), so that they can be compared.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.mapping import Office, Scope, office_reference, resolve
from powerca_sync.engine.postgres import Connection, Cursor, Timeouts, explained, read_tables, transaction
from powerca_sync.engine.staging import phone_rows_sql
from powerca_sync.engine.state.preparation import has_claims
from powerca_sync.specs import OWNER, Reference, TableSpec, spec_named

#: Phone rows, the sum of their hashes, and that of their inverted hashes.
_Group = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PhoneRows:
    """Phone rows of one table and one office."""

    rows: int
    #: As the last reverse run of the office has recorded it, if it has seen these rows.
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PhoneRowsByOffice:
    """The phone rows of a mobile database."""

    #: By desktop identity and mobile name; offices without phone rows of a table are in it too.
    offices: Mapping[str, Mapping[str, PhoneRows]]
    #: By mobile name: rows whose office is unknown, without zeros.
    unassigned: Mapping[str, int]


def read_phone_rows_by_office(mobile: Connection, specs: Sequence[TableSpec], *, seconds: float) -> PhoneRowsByOffice:
    """Returns the phone rows of the registered offices; leaves out tables that mobile lacks. Only reads.

    A row belongs to the office that `office_condition` gives it. Each statement may take `seconds`.
    """
    timeouts = Timeouts(statement=seconds, lock=seconds)
    with (
        explained("looking for new phone rows"),
        transaction(mobile, timezone="UTC", timeouts=timeouts, snapshot=True) as cursor,
    ):
        if not has_claims(cursor):
            return PhoneRowsByOffice(offices={}, unassigned={})
        tables = read_tables(cursor, [spec.mobile for spec in specs])
        resolution = resolve(specs, sources=None, targets=tables)
        scope = Scope(office=Office(identity="", orgs=()), specs=resolution.specs, tables=tables)
        wanted = [
            spec_named(resolution.specs, spec.mobile)
            for spec in specs
            if spec.reverse and spec.mobile in tables and tables[spec.mobile].column(OWNER)
        ]
        if not wanted:
            return PhoneRowsByOffice(offices={}, unassigned={})
        cursor.execute("SELECT DISTINCT o.office FROM powerca_sync.office AS o ORDER BY 1")
        return _read(cursor, wanted, scope, [identity for (identity,) in cursor.fetchall()])


def _read(cursor: Cursor, specs: Sequence[TableSpec], scope: Scope, identities: Sequence[str]) -> PhoneRowsByOffice:
    statements = [
        sql.SQL("SELECT {} AS name, d.* FROM ({}) AS d").format(spec.mobile, count_by_office(spec, scope))
        for spec in specs
    ]
    cursor.execute(sql.SQL("\nUNION ALL\n").join(statements))
    groups: dict[str, dict[str | None, _Group]] = defaultdict(dict)
    forms = {}
    for name, holder, rows, total, inverted, form in cursor.fetchall():
        forms[name] = form
        if rows:
            groups[name][holder] = (rows, int(total), int(inverted))
    alone = len(identities) == 1
    unassigned = {} if alone else {name: found[None][0] for name, found in groups.items() if None in found}
    offices = {
        identity: {name: _of_office(groups[name], identity, form, alone=alone) for name, form in forms.items()}
        for identity in identities
    }
    return PhoneRowsByOffice(offices=offices, unassigned=unassigned)


def _of_office(groups: Mapping[str | None, _Group], identity: str, form: str, *, alone: bool) -> PhoneRows:
    """Adds the rows of unknown office, which are part of each office's digest; the only office owns them."""
    own, own_total, _ = groups.get(identity, (0, 0, 0))
    unknown, unknown_total, inverted = groups.get(None, (0, 0, 0))
    count = own + unknown
    total = own_total + (unknown_total if alone else inverted)
    digest = f"{count}:{total}:{form}" if count else f"0:{form}"
    return PhoneRows(rows=count if alone else own, digest=digest)


def count_by_office(spec: TableSpec, scope: Scope) -> sql.Composed:
    """Select (office or NULL, phone rows, sum of their hashes, sum of the inverted hashes, form of the columns).

    The office is NULL where it is unknown, and empty where nobody has claimed the organisation. There is always a line.
    """
    table = scope.table(spec.mobile)
    return sql.SQL("""\
SELECT p.holder, count(p.hash) AS rows, sum(p.hash) AS total, sum(~p.hash) AS inverted, {form} AS form
FROM (
    SELECT {holder} AS holder, {row_hash} AS hash
    FROM {table} AS s
    WHERE {phones}
    UNION ALL
    SELECT NULL, NULL
) AS p
GROUP BY p.holder""").format(
        form=phone_rows_sql.columns_form(table),
        holder=_holder(spec, scope, "s"),
        row_hash=phone_rows_sql.row_hash(table, spec.max_row_bytes),
        table=table.identifier,
        phones=phone_rows_sql.made_by_phone(table),
    )


def _holder(spec: TableSpec, scope: Scope, alias: str) -> sql.Composable:
    """The office of the phone row `alias`: that of its organisation, else that of its author."""
    if spec.office is None:
        return sql.SQL("NULL::text")
    holders = [_own_holder(spec, scope, alias)]
    if spec.made_by is not None:
        author = next(one for one in spec.references if one.column == spec.made_by)
        holders.append(_parents_holder(spec, author, scope, alias))
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join(holders))


def _own_holder(spec: TableSpec, scope: Scope, alias: str) -> sql.Composable:
    upward = office_reference(spec, scope.specs)
    if upward is not None:
        return _parents_holder(spec, upward, scope, alias)
    column = spec.key[0] if spec.defines_offices else spec.office
    if column is None:
        return sql.SQL("NULL::text")
    return sql.SQL("""\
CASE WHEN {organisation} IS NOT NULL THEN
    coalesce((SELECT o.office FROM powerca_sync.office AS o WHERE o.org_id = {organisation}::text), '') END""").format(
        organisation=sql.Identifier(alias, column)
    )


def _parents_holder(spec: TableSpec, reference: Reference, scope: Scope, alias: str) -> sql.Composed:
    """The office of the parent; NULL without a parent, or if parents of several offices match."""
    above = f"{alias}_up"
    return sql.SQL("""\
(SELECT CASE WHEN min(h.holder) = max(h.holder) AND count(h.holder) = count(*) THEN min(h.holder) END
    FROM (SELECT {holder} AS holder FROM {parent} AS {above} WHERE {link}) AS h)""").format(
        holder=_own_holder(spec_named(scope.specs, reference.parent), scope, above),
        parent=scope.table(reference.parent).identifier,
        above=sql.Identifier(above),
        link=scope.link(spec, reference, alias, above),
    )
