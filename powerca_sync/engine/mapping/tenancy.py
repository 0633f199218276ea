"""Scope rows by office: the organisations of the desktop, and the references from a row to its organisation."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from powerca_sync.engine.mapping.conversion import equal, equality
from powerca_sync.engine.postgres import Cursor, Table, error_text
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import PHONE, Reference, TableSpec, spec_named


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """One desktop installation and its organisations."""

    #: The desktop's system identifier and database name.
    identity: str
    #: Keys of its organisations as text. None: the tables are not split by office.
    orgs: tuple[str, ...] | None
    #: The desktop's table of organisations.
    table: str = ""
    #: The desktop lacks the table of organisations, or its key.
    unlisted: bool = False
    #: No other desktop is registered in the mobile database.
    alone: bool = True

    @property
    def claims(self) -> tuple[str, ...]:
        """Returns the keys to register: organisations, `WITHOUT_ORGANISATIONS`, or none if tables are not split."""
        return (WITHOUT_ORGANISATIONS,) if self.unlisted else self.orgs or ()


#: The key that registers a desktop without a table of organisations; no organisation has it.
WITHOUT_ORGANISATIONS = "*"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Builds the conditions for mobile rows of this office."""

    office: Office
    specs: Sequence[TableSpec]
    #: Facts about the target's tables, by mobile name.
    tables: Mapping[str, Table]
    #: In a dry run: tables, as (schema, name), and the virtual tables to read instead.
    planned: Mapping[tuple[str, str], sql.Identifier] = dataclasses.field(default_factory=dict)
    #: By mobile name: a query for key and image of the table's quarantined rows, as far as they are known.
    quarantined: Mapping[str, sql.Composable] = dataclasses.field(default_factory=dict)

    def holds(self, spec: TableSpec, alias: str) -> sql.Composable:
        """A condition on `alias`, a row of the table of `spec`: it belongs to this office.

        A row without a known office belongs to the only registered desktop; if there are several, to none of them.
        """
        if self.office.orgs is None or spec.office is None:
            return sql.SQL("TRUE")
        upward = office_reference(spec, self.specs)
        if upward is None:
            column = spec.key[0] if spec.defines_offices else spec.office
            known = self.tables[spec.mobile].column(column) if spec.mobile in self.tables else None
            return sql.SQL("{} {} ANY ({})").format(
                sql.Identifier(alias, column), equality(known), array_literal(self.office.orgs)
            )
        above = f"{alias}_up"
        parent = spec_named(self.specs, upward.parent)
        table = self.table(upward.parent)
        condition = "EXISTS (SELECT FROM {parent} AS {above} WHERE {link} AND {holds})"
        if self.office.alone:
            condition = "NOT EXISTS (SELECT FROM {parent} AS {above} WHERE {link} AND NOT {holds})"
        return sql.SQL(condition).format(
            parent=self.rows(table.schema, table.name),
            above=sql.Identifier(above),
            link=self.link(spec, upward, alias, above),
            holds=self.holds(parent, above),
        )

    def link(self, spec: TableSpec, reference: Reference, alias: str, above: str) -> sql.Composed:
        """A condition: the row `alias` of the table of `spec` references the parent's row `above`."""
        return equal(
            sql.Identifier(above, reference.names),
            self.table(reference.parent).required(reference.names),
            sql.Identifier(alias, reference.column),
            self.table(spec.mobile).required(reference.column),
        )

    def organisation(self, spec: TableSpec, alias: str) -> sql.Composable:
        """The organisation, as text, of `alias`, a row of the table of `spec`; NULL if it is unknown."""
        if self.office.orgs is None or spec.office is None:
            return sql.SQL("NULL::text")
        upward = office_reference(spec, self.specs)
        if upward is None:
            return sql.SQL("{}::text").format(
                sql.Identifier(alias, spec.key[0] if spec.defines_offices else spec.office)
            )
        above = f"{alias}_up"
        table = self.table(upward.parent)
        return sql.SQL("(SELECT min({organisation}) FROM {parent} AS {above} WHERE {link})").format(
            organisation=self.organisation(spec_named(self.specs, upward.parent), above),
            parent=self.rows(table.schema, table.name),
            above=sql.Identifier(above),
            link=self.link(spec, upward, alias, above),
        )

    def may_hold(self, spec: TableSpec, alias: str) -> sql.Composed:
        """A condition on `alias`: it belongs to this office, or to no known one."""
        return sql.SQL("({}) IS NOT FALSE").format(self.holds(spec, alias))

    def rows(self, schema: str, name: str) -> sql.Identifier:
        """Returns the relation from which to read the rows of a parent table."""
        return self.planned.get((schema, name), sql.Identifier(schema, name))

    def table(self, mobile: str) -> Table:
        """Returns a target table; raises `SchemaMismatchError` if it does not exist."""
        if mobile not in self.tables:
            raise SchemaMismatchError(
                f"Table `{mobile}` does not exist on mobile. Create it there, or take its spec out."
            )
        return self.tables[mobile]


def read_office(source: Cursor, specs: Sequence[TableSpec], identity: str, tables: Mapping[str, Table]) -> Office:
    """Returns the office of the source and its organisations.

    `specs` are resolved; `tables` are the source's by name, that of the organisations among them if it exists. The
    organisations are None if no spec defines them; the office is `unlisted` if the source lacks their table or its key.
    """
    spec = defining_offices(specs)
    if spec is None:
        return Office(identity=identity, orgs=None)
    if spec.desktop not in tables or tables[spec.desktop].column(spec.key[0]) is None:
        return Office(identity=identity, orgs=None, table=spec.desktop, unlisted=True)
    table = tables[spec.desktop]
    key = sql.Identifier(spec.key[0])
    number = table.required(spec.key[0]).base == "numeric"
    source.execute(
        sql.SQL("SELECT DISTINCT {value}::text FROM {table} WHERE {key} IS NOT NULL ORDER BY 1").format(
            value=sql.SQL("trim_scale({})").format(key) if number else key, table=table.identifier, key=key
        )
    )
    return Office(identity=identity, orgs=tuple(org for (org,) in source.fetchall()), table=spec.desktop)


def cast_organisations(
    cursor: Cursor, office: Office, specs: Sequence[TableSpec], tables: Mapping[str, Table]
) -> Office:
    """Returns the office with its organisations cast to the target's type.

    Raises `SchemaMismatchError` for an organisation that the type does not accept.
    """
    if office.orgs is None:
        return office
    with explain_cast_errors(specs):
        cursor.execute(organisations_query(office, specs, tables))
    return dataclasses.replace(office, orgs=tuple(org for (org,) in cursor.fetchall()))


def organisations_query(office: Office, specs: Sequence[TableSpec], tables: Mapping[str, Table]) -> sql.Composed:
    """A query that casts the organisations to the target's type: `01` and `1` are equal numbers."""
    spec = defining_offices(specs)
    there = tables.get(spec.mobile) if spec else None
    if spec is None or office.orgs is None or there is None or there.column(spec.key[0]) is None:
        return sql.SQL("SELECT o FROM unnest({}::text[]) AS o ORDER BY 1").format(list(office.claims))
    column = there.required(spec.key[0])
    return sql.SQL("SELECT DISTINCT o::{}::text FROM unnest({}::text[]) AS o ORDER BY 1").format(
        sql.SQL(column.type),  # format_type() quotes it
        list(office.orgs),
    )


@contextlib.contextmanager
def explain_cast_errors(specs: Sequence[TableSpec]) -> Iterator[None]:
    """Raise `SchemaMismatchError` if `organisations_query` fails for an organisation."""
    try:
        yield
    except psycopg.DataError as exc:
        spec = defining_offices(specs)
        where = spec and f"{spec.mobile}.{spec.key[0]}"
        raise SchemaMismatchError(
            f"An organisation of the source does not fit `{where}` at the target: "
            f"{error_text(exc)}. Nothing was read. Correct it at the source, or the column's type."
        ) from exc


def defining_offices(specs: Sequence[TableSpec]) -> TableSpec | None:
    """Returns the spec of the table of organisations; None without one."""
    return next((spec for spec in specs if spec.defines_offices), None)


def spec_of_table(name: tuple[str, str], specs: Sequence[TableSpec], tables: Mapping[str, Table]) -> TableSpec | None:
    """Returns the spec of the target table of that schema and name; None if it is not synced."""
    known = ((spec, tables[spec.mobile]) for spec in specs if spec.mobile in tables)
    return next((spec for spec, table in known if (table.schema, table.name) == name), None)


def office_reference(spec: TableSpec, specs: Sequence[TableSpec]) -> Reference | None:
    """Returns the reference to a row's office; None if the office column has the organisation's key itself."""
    if spec.defines_offices:
        return None
    for reference in spec.references:
        if reference.column == spec.office and not spec_named(specs, reference.parent).defines_offices:
            return reference
    return None


def office_condition(spec: TableSpec, scope: Scope, alias: str) -> sql.Composable:
    """A condition on the phone row `alias`: true for this office, false for another, NULL if the office is unknown.

    A row without an organisation belongs to the office of its author; if that is unknown, to the only registered
    desktop. The specs are resolved.
    """
    if scope.office.orgs is None or spec.office is None:
        return sql.SQL("TRUE")
    conditions = [_own_condition(spec, scope, alias)]
    if spec.made_by is not None:
        author = next(one for one in spec.references if one.column == spec.made_by)
        conditions.append(_parent_condition(spec, author, scope, alias))
    if scope.office.alone:
        conditions.append(sql.SQL("TRUE"))
    return sql.SQL("{} AND coalesce({})").format(named_office(spec, scope, alias), sql.SQL(", ").join(conditions))


def belongs(spec: TableSpec, scope: Scope, alias: str, owner: sql.Composable) -> sql.Composable:
    """A condition on the mobile row `alias`, whose owner is `owner`: it counts as this office's, whoever counts.

    Phone rows by `office_condition`, as reverse sync reads them; others by `Scope.holds`. Indexes on the column of the
    office serve both.
    """
    if scope.office.orgs is None or spec.office is None:
        return sql.SQL("TRUE")
    if spec.made_by is None and office_reference(spec, scope.specs) is not None:
        # Both say the same, and only a condition without OR can use an index on the reference.
        return scope.holds(spec, alias)
    return sql.SQL("({owner} IS DISTINCT FROM {phone} AND {holds} OR {owner} = {phone} AND {phones})").format(
        owner=owner, phone=PHONE, holds=scope.holds(spec, alias), phones=office_condition(spec, scope, alias)
    )


def named_office(spec: TableSpec, scope: Scope, alias: str) -> sql.Composable:
    """A condition on the phone row `alias`: its own column names this office or none.

    An index on the column serves it.
    """
    if scope.office.orgs is None or spec.office is None or office_reference(spec, scope.specs) is not None:
        return sql.SQL("TRUE")
    column = sql.Identifier(alias, spec.key[0] if spec.defines_offices else spec.office)
    return sql.SQL("({column} = ANY ({orgs}) OR {column} IS NULL)").format(
        column=column, orgs=array_literal(scope.office.orgs)
    )


def _own_condition(spec: TableSpec, scope: Scope, alias: str) -> sql.Composable:
    assert scope.office.orgs is not None
    upward = office_reference(spec, scope.specs)
    if upward is not None:
        return _parent_condition(spec, upward, scope, alias)
    column = spec.key[0] if spec.defines_offices else spec.office
    if column is None:
        return sql.SQL("NULL::boolean")
    return sql.SQL("{} = ANY ({})").format(sql.Identifier(alias, column), array_literal(scope.office.orgs))


def _parent_condition(spec: TableSpec, reference: Reference, scope: Scope, alias: str) -> sql.Composed:
    """The condition that the parent satisfies; NULL without a parent, or if parents of several offices match."""
    above = f"{alias}_up"
    return sql.SQL("""\
(SELECT CASE WHEN bool_and(({condition}) IS TRUE) THEN TRUE WHEN bool_and(({condition}) IS FALSE) THEN FALSE END
    FROM {parent} AS {above} WHERE {link})""").format(
        condition=_own_condition(spec_named(scope.specs, reference.parent), scope, above),
        parent=scope.table(reference.parent).identifier,
        above=sql.Identifier(above),
        link=scope.link(spec, reference, alias, above),
    )


def array_literal(values: Sequence[str]) -> sql.Literal:
    """An array literal of unknown type, which takes the type of the column that it is compared with."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return sql.Literal("{" + ",".join(quoted) + "}")
