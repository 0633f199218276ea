"""Which rows are this office's: the organisations of the desktop, and the way from a row to its organisation."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from powerca_sync.engine.mapping.conversion import equal, equality
from powerca_sync.engine.postgres import Cursor, Table, error_text, read_tables, schema_and_name
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import Reference, TableSpec, spec_named


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """One desktop installation and its organisations."""

    #: The desktop's system identifier and database: who it is, wherever it is reached.
    identity: str
    #: Keys of its organisations, in text form. None: the tables are not split by office.
    orgs: tuple[str, ...] | None
    #: The desktop's table that has them.
    table: str = ""
    #: Whether specs say what an office is, and the desktop lacks that table or its key: organisations are unknown.
    unlisted: bool = False
    #: Whether no other desktop is registered in the mobile database.
    alone: bool = True

    @property
    def claims(self) -> tuple[str, ...]:
        """What this desktop is registered by: its organisations, or `WITHOUT_ORGANISATIONS`; nothing if not split."""
        return (WITHOUT_ORGANISATIONS,) if self.unlisted else self.orgs or ()


#: Registers a desktop that has no table of organisations; no organisation has this key.
WITHOUT_ORGANISATIONS = "*"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What it takes to say in SQL whether a mobile row is this office's."""

    office: Office
    specs: Sequence[TableSpec]
    #: Facts about the target's tables, by mobile name.
    tables: Mapping[str, Table]
    #: Tables, as (schema, name), whose rows are read elsewhere, because they are not yet what a planned run makes them.
    planned: Mapping[tuple[str, str], sql.Identifier] = dataclasses.field(default_factory=dict)

    def holds(self, spec: TableSpec, alias: str) -> sql.Composable:
        """A condition on `alias`, a row of the table of `spec`: it belongs to this office.

        A row whose reference names no row of known office belongs to the only registered desktop; to none of several.
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
            link=equal(
                sql.Identifier(above, upward.names),
                table.required(upward.names),
                sql.Identifier(alias, upward.column),
                self.table(spec.mobile).required(upward.column),
            ),
            holds=self.holds(parent, above),
        )

    def rows(self, schema: str, name: str) -> sql.Identifier:
        """Where to read the rows of another table than the one that is synced."""
        return self.planned.get((schema, name), sql.Identifier(schema, name))

    def table(self, mobile: str) -> Table:
        """Facts about a target table; `SchemaMismatchError` if it does not exist."""
        if mobile not in self.tables:
            raise SchemaMismatchError(
                f"Table `{mobile}` does not exist on mobile. Create it there, or take its spec out."
            )
        return self.tables[mobile]


def read_office(source: Cursor, specs: Sequence[TableSpec], identity: str) -> Office:
    """Returns whose organisations the source (known by `identity`) has; None where no spec says what an office is.

    `specs` are resolved. Without the table of organisations, or its key, the office is `unlisted`.
    """
    spec = _defining_offices(specs)
    if spec is None:
        return Office(identity=identity, orgs=None)
    tables = read_tables(source, [spec.desktop])
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
    """The same office with its organisations in the target's text form.

    Raises `SchemaMismatchError` for an organisation that cannot be a key there.
    """
    if office.orgs is None:
        return office
    with explain_cast_errors(specs):
        cursor.execute(organisations_query(office, specs, tables))
    return dataclasses.replace(office, orgs=tuple(org for (org,) in cursor.fetchall()))


def organisations_query(office: Office, specs: Sequence[TableSpec], tables: Mapping[str, Table]) -> sql.Composed:
    """A query for the organisations in the target's text form: `01` and `1` are one if they are numbers there."""
    spec = _defining_offices(specs)
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
    """Raises `SchemaMismatchError` where `organisations_query` finds one that cannot be a key at the target."""
    try:
        yield
    except psycopg.DataError as exc:
        spec = _defining_offices(specs)
        where = spec and f"{spec.mobile}.{spec.key[0]}"
        raise SchemaMismatchError(
            f"An organisation of the source does not fit `{where}` at the target: "
            f"{error_text(exc)}. Nothing was read. Correct it at the source, or the column's type."
        ) from exc


def _defining_offices(specs: Sequence[TableSpec]) -> TableSpec | None:
    return next((spec for spec in specs if spec.defines_offices), None)


def office_reference(spec: TableSpec, specs: Sequence[TableSpec]) -> Reference | None:
    """The reference that leads to a row's office, or None where the office column holds the office's key itself."""
    if spec.defines_offices:
        return None
    for reference in spec.references:
        if reference.column == spec.office and not spec_named(specs, reference.parent).defines_offices:
            return reference
    return None


def office_condition(spec: TableSpec, specs: Sequence[TableSpec], office: Office, alias: str) -> sql.Composable:
    """A condition on `alias`, a phone's row: true where it is this office's, false where another's, else NULL.

    A row that leads to no organisation belongs to the office of whoever made it; if that is not known either, to the
    only registered desktop. `spec` and `specs` are resolved. Links are compared as text, because phones' rows are few.
    """
    if office.orgs is None or spec.office is None:
        return sql.SQL("TRUE")
    verdicts = [_verdict(spec, specs, office, alias)]
    if spec.made_by is not None:
        maker = next(one for one in spec.references if one.column == spec.made_by)
        verdicts.append(_above(maker, specs, office, alias))
    if office.alone:
        verdicts.append(sql.SQL("TRUE"))
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join(verdicts))


def _verdict(spec: TableSpec, specs: Sequence[TableSpec], office: Office, alias: str) -> sql.Composable:
    assert office.orgs is not None
    upward = office_reference(spec, specs)
    if upward is not None:
        return _above(upward, specs, office, alias)
    column = spec.key[0] if spec.defines_offices else spec.office
    if column is None:
        return sql.SQL("NULL::boolean")
    return sql.SQL("{} = ANY ({})").format(sql.Identifier(alias, column), array_literal(office.orgs))


def _above(reference: Reference, specs: Sequence[TableSpec], office: Office, alias: str) -> sql.Composed:
    above = f"{alias}_up"
    return sql.SQL("(SELECT bool_or({verdict}) FROM {parent} AS {above} WHERE {there}::text = {own}::text)").format(
        verdict=_verdict(spec_named(specs, reference.parent), specs, office, above),
        parent=sql.Identifier(*schema_and_name(reference.parent)),
        above=sql.Identifier(above),
        there=sql.Identifier(above, reference.names),
        own=sql.Identifier(alias, reference.column),
    )


def array_literal(values: Sequence[str]) -> sql.Literal:
    """An array of unknown type, so that it takes the type of the column it is compared with."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return sql.Literal("{" + ",".join(quoted) + "}")
