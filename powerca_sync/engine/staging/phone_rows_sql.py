"""Statements about the identity of phone rows, and whether any of them has changed.

A phone row is identified by its mobile primary key, or without one by the hash of its content. The temporary table
`PHONES` has the identities.
"""

from collections.abc import Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, ExtraColumn, TableMapping, row_sizes
from powerca_sync.engine.postgres import PLAIN, Column, Table
from powerca_sync.specs import CREATED, OWNER, PHONE

PHONES = sql.Identifier("pg_temp", "powerca_phones")
#: Staging columns with the identity of a phone row.
KEY, HASH, BORN, OCCURRENCE = "phone:key", "phone:hash", "phone:born", "phone:occurrence"


#: Type to an expression that does not depend on the session's time zone, for types whose text does.
_FREE_OF_ZONES: Mapping[str, LiteralString] = {
    "timestamptz": "{} AT TIME ZONE 'UTC'",
    "_timestamptz": "array_send({})",
    "tstzrange": "range_send({})",
    "tstzmultirange": "multirange_send({})",
}


def content_hash(source: Table, columns: Sequence[str], limit: int) -> sql.Composed:
    """Returns the hash of a phone row `s`, the same in any time zone; of rows over `limit`, the hash of their size."""
    wanted = [source.required(name) for name in columns]
    values = [
        sql.SQL(_FREE_OF_ZONES.get(column.base, "{}")).format(sql.Identifier("s", column.name)) for column in wanted
    ]
    return sql.SQL("md5({})").format(row_sizes.row_text("s", wanted, limit, values))


def identity(source: Table, columns: Sequence[str], limit: int) -> sql.Composable:
    """Returns the identity of a phone row `s`: its primary key as text, or the hash of its content."""
    return primary_key(source, "s") if source.primary_key else content_hash(source, columns, limit)


def has_identity(
    mapping: TableMapping, belongs: sql.Composable, columns: Sequence[str], keys: Sequence[str]
) -> sql.Composed:
    """Returns a condition on the source's row `s`: it is the office's phone row with one of the identities `keys`."""
    return sql.SQL("{} AND {} = ANY ({}::text[])").format(
        is_phones(mapping.source, belongs),
        identity(mapping.source, columns, mapping.spec.max_row_bytes),
        list(keys),
    )


def primary_key(source: Table, alias: str) -> sql.Composable:
    """Returns the primary key of a mobile row as the text that the ledger stores."""
    values = [sql.Identifier(alias, name) for name in source.primary_key]
    return key_text(values, plain=all(source.required(name).category == "N" for name in source.primary_key))


def key_text(values: Sequence[sql.Composable], *, plain: bool) -> sql.Composable:
    """Returns the text that the ledger stores of a primary key with these values; `plain` if all are numbers."""
    text = sql.SQL("{}::text" if len(values) == 1 else "ROW({})::text").format(COMMA.join(values))
    if plain:
        return text
    # Any encoding of the target can store this text, and so can an index.
    return sql.SQL(
        "CASE WHEN octet_length({text}) = length({text}) AND length({text}) <= 100 THEN {text} ELSE md5({text}) END"
    ).format(text=text)


def content_form(source: Table, columns: Sequence[str]) -> str:
    """Returns the declarations of columns, as far as the text of their values depends on them."""
    return ", ".join(f"{name} {declared_form(source.required(name))}" for name in columns)


def key_form(source: Table) -> str:
    """Returns `content_form` of the primary key; empty without one."""
    return content_form(source, source.primary_key)


def declared_form(column: Column) -> str:
    """Returns the declaration of a column, as far as the text of its values depends on it."""
    alike = {"varchar": "text", "int2": "integer", "int4": "integer", "int8": "integer"}
    return alike.get(column.base, column.type)


def extra_columns(source: Table, columns: Sequence[str], limit: int) -> tuple[ExtraColumn, ...]:
    """Returns the extra staging columns of phone rows. Equal rows without a primary key are numbered."""
    key = identity(source, columns, limit)
    occurrence = sql.SQL("row_number() OVER (PARTITION BY {})").format(key)
    return (
        ExtraColumn(name=KEY, type="text", source_expression=key, identifies=True),
        ExtraColumn(name=HASH, type="text", source_expression=content_hash(source, columns, limit), identifies=True),
        ExtraColumn(name=BORN, type="text", source_expression=born(source, "s")),
        ExtraColumn(name=OCCURRENCE, type="bigint", source_expression=occurrence, identifies=True),
    )


def born(source: Table, alias: str) -> sql.Composable:
    """Returns the creation stamp of a mobile row as the text that the ledger stores."""
    created = source.column(CREATED)
    if created is None:
        return sql.SQL("NULL::text")
    zone = " AT TIME ZONE 'UTC'" if created.base == "timestamptz" else ""
    return sql.SQL("({}{})::text").format(sql.Identifier(alias, CREATED), sql.SQL(zone))


def is_phones(source: Table, belongs: sql.Composable) -> sql.Composed:
    """Returns a condition on the source's row `s`: it is a phone row of this office."""
    return sql.SQL("{} AND {}").format(made_by_phone(source), belongs)


def made_by_phone(source: Table) -> sql.Composed:
    """Returns a condition on the row `s`: a phone made it. Partial indexes serve it in either spelling."""
    owner, column = sql.Identifier("s", OWNER), source.column(OWNER)
    as_text = sql.SQL("{}::text = {}").format(owner, PHONE)
    if column is None or column.base != "bpchar":
        return as_text
    return sql.SQL("{} = {} AND {}").format(owner, PHONE, as_text)


def handed_over(source: Table, belongs: sql.Composable, keys: Sequence[str]) -> sql.Composed:
    """Select (primary key, creation stamp) of the office's rows with one of the primary keys that are no phone rows."""
    return sql.SQL("""\
SELECT {key}, {born}
FROM {table} AS s
WHERE {owner}::text IS DISTINCT FROM {phone} AND {belongs} AND {key} = ANY ({keys}::text[])""").format(
        key=primary_key(source, "s"),
        born=born(source, "s"),
        table=source.identifier,
        owner=sql.Identifier("s", OWNER),
        phone=PHONE,
        belongs=belongs,
        keys=list(keys),
    )


def has_row_versions(table: Table) -> bool:
    """Returns whether each write changes a row version; a partition may be a foreign table, whose rows have none."""
    return table.kind == PLAIN and not table.has_children


def version_hash(alias: str) -> sql.Composed:
    """A 64-bit hash of the version of a row: its place, and the transaction that wrote it.

    Any write changes it, and it does not read the row's values. A place is used again by a later transaction only, so
    that a version never returns; a table that is rewritten has other places.
    """
    row = sql.Identifier(alias)
    return sql.SQL("hashtidextended({row}.ctid, {row}.xmin::text::bigint)").format(row=row)


def row_hash(table: Table, limit: int) -> sql.Composable:
    """A 64-bit hash of the version of the row `s`, or of its content if the table has no versions of its own."""
    if has_row_versions(table):
        return version_hash("s")
    return sql.SQL("hashtextextended({}, 0)").format(row_sizes.row_text("s", table.columns, limit))


def columns_form(table: Table) -> sql.Composed:
    """A hash of the declarations of all columns, the last part of a digest."""
    return sql.SQL("md5({})").format(content_form(table, [column.name for column in table.columns]))


def digest(table: Table, belongs: sql.Composable, named: sql.Composable, limit: int) -> sql.Composed:
    """Select (phone rows of this office, phone rows whose office is unknown, a digest of both).

    `belongs` and `named` are `office_condition` and `named_office`; the latter spares reading other offices' rows.
    The digest is of row versions, or of whole rows if the table has no versions of its own: of the size of rows over
    `limit`, and stable in the time zone UTC. It also changes with the columns, and when the office of a row becomes
    known.
    """
    return sql.SQL("""\
SELECT count(*) FILTER (WHERE p.belongs) AS ours, count(*) FILTER (WHERE p.belongs IS NULL) AS unassigned,
    concat_ws(':', count(*), sum(CASE WHEN p.belongs IS NULL THEN ~p.hash ELSE p.hash END), {form}) AS digest
FROM (SELECT {belongs} AS belongs, {row_hash} AS hash FROM {table} AS s WHERE {phones} AND {named}) AS p
WHERE p.belongs IS NOT FALSE""").format(
        belongs=belongs,
        row_hash=row_hash(table, limit),
        form=columns_form(table),
        table=table.identifier,
        phones=made_by_phone(table),
        named=named,
    )


def copy_out_identities(
    source: Table,
    columns: Sequence[str],
    belongs: sql.Composable,
    limit: int,
    *,
    former_key: sql.Composable | None,
    former_content: sql.Composable | None,
) -> sql.Composed:
    """COPY the identities of phone rows: identity in the ledger, key, hash, former hash, creation stamp.

    The identity in the ledger is the former key if it can be computed, else the hash of the former content if it can be
    computed, else NULL.
    """
    known = former_key or former_content or sql.SQL("NULL")
    return sql.SQL("""\
COPY (
    SELECT {known}, {key}, {hash}, {was}, {born}
    FROM {table} AS s
    WHERE {is_phones}
) TO STDOUT""").format(
        known=known,
        key=identity(source, columns, limit),
        hash=content_hash(source, columns, limit),
        was=former_content or sql.SQL("NULL"),
        born=born(source, "s"),
        table=source.identifier,
        is_phones=is_phones(source, belongs),
    )


def create_phones() -> sql.Composed:
    """Create the table of identities, with the columns of `copy_out_identities`."""
    return sql.SQL("CREATE TEMP TABLE {} (known text, key text, hash text, was text, born text) ON COMMIT DROP").format(
        PHONES
    )


def copy_in_phones() -> sql.Composed:
    """COPY the identities into `PHONES`."""
    return sql.SQL("COPY {} (known, key, hash, was, born) FROM STDIN").format(PHONES)
