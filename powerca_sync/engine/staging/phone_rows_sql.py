"""Statements that say who the phones' rows are: what they are known by, and whether any of them has changed.

The temporary table `phones` has their identities.
"""

from collections.abc import Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, ExtraColumn, TableMapping, row_sizes
from powerca_sync.engine.postgres import Column, Table
from powerca_sync.tables import CREATED, OWNER, PHONE

PHONES = sql.Identifier("pg_temp", "powerca_phones")
#: Staging columns: who a phone's row is.
KEY, HASH, BORN, OCCURRENCE = "phone:key", "phone:hash", "phone:born", "phone:occurrence"


#: How values whose text depends on the session's time zone are written without it.
_FREE_OF_ZONES: Mapping[str, LiteralString] = {
    "timestamptz": "{} AT TIME ZONE 'UTC'",
    "_timestamptz": "array_send({})",
    "tstzrange": "range_send({})",
    "tstzmultirange": "multirange_send({})",
}


def content_hash(source: Table, columns: Sequence[str], limit: int) -> sql.Composed:
    """The hash of a phone row's content `s`, the same in any time zone; of rows over the limit, that of their size."""
    wanted = [source.required(name) for name in columns]
    values = [
        sql.SQL(_FREE_OF_ZONES.get(column.base, "{}")).format(sql.Identifier("s", column.name)) for column in wanted
    ]
    return sql.SQL("md5({})").format(row_sizes.row_text("s", wanted, limit, values))


def identity(source: Table, columns: Sequence[str], limit: int) -> sql.Composable:
    """By what a phone row `s` is known: its primary key as text, or the hash of its content."""
    return primary_key(source, "s") if source.primary_key else content_hash(source, columns, limit)


def has_identity(
    mapping: TableMapping, belongs: sql.Composable, columns: Sequence[str], keys: Sequence[str]
) -> sql.Composed:
    """A condition on the source's row `s`: it is one of the office's phone rows with these identities."""
    return sql.SQL("{} AND {} = ANY ({}::text[])").format(
        is_phones(belongs), identity(mapping.source, columns, mapping.spec.max_row_bytes), list(keys)
    )


def primary_key(source: Table, alias: str) -> sql.Composable:
    """The primary key of a mobile row as text, as the ledger has it."""
    values = [sql.Identifier(alias, name) for name in source.primary_key]
    return key_text(values, plain=all(source.required(name).category == "N" for name in source.primary_key))


def key_text(values: Sequence[sql.Composable], *, plain: bool) -> sql.Composable:
    """The text of a primary key made of these values, as the ledger has it; `plain` if they are all numbers."""
    text = sql.SQL("{}::text" if len(values) == 1 else "ROW({})::text").format(COMMA.join(values))
    if plain:
        return text
    # Whatever the target's encoding, it can hold this; and so can an index.
    return sql.SQL(
        "CASE WHEN octet_length({text}) = length({text}) AND length({text}) <= 100 THEN {text} ELSE md5({text}) END"
    ).format(text=text)


def content_form(source: Table, columns: Sequence[str]) -> str:
    """How columns are declared, as far as the text of their values depends on it."""
    return ", ".join(f"{name} {declared_form(source.required(name))}" for name in columns)


def key_form(source: Table) -> str:
    """The same of the primary key; empty without one."""
    return content_form(source, source.primary_key)


def declared_form(column: Column) -> str:
    """How a column is declared, as far as the text of its values depends on it."""
    alike = {"varchar": "text", "int2": "integer", "int4": "integer", "int8": "integer"}
    return alike.get(column.base, column.type)


def extra_columns(source: Table, columns: Sequence[str], limit: int) -> tuple[ExtraColumn, ...]:
    """What staging holds of a phone row beside its columns. Equal rows without a primary key are numbered."""
    key = identity(source, columns, limit)
    occurrence = sql.SQL("row_number() OVER (PARTITION BY {})").format(key)
    return (
        ExtraColumn(name=KEY, type="text", source_expression=key, identifies=True),
        ExtraColumn(name=HASH, type="text", source_expression=content_hash(source, columns, limit), identifies=True),
        ExtraColumn(name=BORN, type="text", source_expression=born(source, "s")),
        ExtraColumn(name=OCCURRENCE, type="bigint", source_expression=occurrence, identifies=True),
    )


def born(source: Table, alias: str) -> sql.Composable:
    """When a mobile row was made, as it says itself, as the ledger has it."""
    created = source.column(CREATED)
    if created is None:
        return sql.SQL("NULL::text")
    zone = " AT TIME ZONE 'UTC'" if created.base == "timestamptz" else ""
    return sql.SQL("({}{})::text").format(sql.Identifier(alias, CREATED), sql.SQL(zone))


def is_phones(belongs: sql.Composable) -> sql.Composed:
    """A condition on the source's row `s`: a phone made it, and it is this office's."""
    return sql.SQL("{}::text = {} AND {}").format(sql.Identifier("s", OWNER), PHONE, belongs)


def handed_over(source: Table, belongs: sql.Composable, keys: Sequence[str]) -> sql.Composed:
    """The office's rows with one of these primary keys that are not phones' rows, as (primary key, when made)."""
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


def digest(table: Table, belongs: sql.Composable, limit: int) -> sql.Composed:
    """Answers (phones' rows of this office, those of nobody, a text that changes when any of them does).

    Of whole rows, and of the size of those over the limit; in the time zone UTC it is the same at any time.
    """
    return sql.SQL("""\
SELECT count(*) FILTER (WHERE p.belongs) AS ours, count(*) FILTER (WHERE p.belongs IS NULL) AS unassigned,
    count(*) || ':' || coalesce(sum(hashtextextended(p.row, 0)), 0) AS digest
FROM (SELECT {belongs} AS belongs, {row} AS row FROM {table} AS s WHERE {owner}::text = {phone}) AS p
WHERE p.belongs IS NOT FALSE""").format(
        belongs=belongs,
        row=row_sizes.row_text("s", table.columns, limit),
        table=table.identifier,
        owner=sql.Identifier("s", OWNER),
        phone=PHONE,
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
    """COPY who each phone row is: as the ledger knows it, key, hash, the hash it had at the last pull, when made.

    Rows are known by their former key where it can be computed, else by the hash of their former content, if at all.
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
        is_phones=is_phones(belongs),
    )


def create_phones() -> sql.Composed:
    """For the identities, as `copy_out_identities` gives them."""
    return sql.SQL("CREATE TEMP TABLE {} (known text, key text, hash text, was text, born text) ON COMMIT DROP").format(
        PHONES
    )


def copy_in_phones() -> sql.Composed:
    """COPY the identities."""
    return sql.SQL("COPY {} (known, key, hash, was, born) FROM STDIN").format(PHONES)
