"""Statements that find look-alikes: new phone rows that may have a copy at the target without a ledger entry.

Temporary tables: `owned` has the source's desktop-owned rows of the same keys, in the target's form; `pairs` pairs each
look-alike with the target's row; `desktop_rows` keeps the content of these rows.
"""

from collections.abc import Callable, Collection, Sequence

from psycopg import sql

from powerca_sync.engine.mapping import (
    AND,
    COMMA,
    ENTRIES,
    REJECTED,
    STAGING,
    TableMapping,
    comparable,
    image_of,
    row_sizes,
    shown_image_of,
)
from powerca_sync.engine.reverse.ledger_sql import compared_columns
from powerca_sync.engine.staging import BORN, HASH, KEY, OCCURRENCE
from powerca_sync.specs import DESKTOP, OWNER

OWNED = sql.Identifier("pg_temp", "powerca_owned")
PAIRS = sql.Identifier("pg_temp", "powerca_pairs")
DESKTOP_ROWS = sql.Identifier("pg_temp", "powerca_desktop_rows")
#: Takes the alias of a row; returns the text by which rows are paired.
Text = Callable[[str], sql.Composable]


def create_owned() -> sql.Composed:
    """A table like staging."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT * FROM {} WITH NO DATA").format(OWNED, STAGING)


def owned_of_same_keys(mapping: TableMapping, belongs: sql.Composable, phones: sql.Composable) -> sql.Composed:
    """A condition on the source's row `s`: it is the office's, owned by the desktop, with the key of a row of `phones`.

    `belongs` and `phones` are conditions on the source's row `s` too. A row of another office explains none of this
    desktop's rows.
    """
    names = mapping.key_names or tuple(column.name for column in mapping.synced)
    limit = mapping.spec.max_row_bytes
    values = row_sizes.row_text("s", [mapping.source.required(name) for name in names], limit)
    return sql.SQL(
        "{owner}::text = {desktop} AND {belongs} AND {values} IN (SELECT {values} FROM {table} AS s WHERE {phones})"
    ).format(
        belongs=belongs,
        owner=sql.Identifier("s", OWNER),
        desktop=DESKTOP,
        values=values,
        table=mapping.source.identifier,
        phones=phones,
    )


def content_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The content of a row; computed columns have the value that forward sync would give them."""
    columns = compared_columns(mapping)
    values = [_value(mapping, alias, column.name) for column in columns]
    limit = row_sizes.AT_TARGET * mapping.spec.max_row_bytes
    return sql.SQL('{} COLLATE "C"').format(row_sizes.row_text(alias, columns, limit, values))


def columns_text(mapping: TableMapping, names: Sequence[str], alias: str) -> sql.Composed:
    """The text of some columns of a row; NULL if one of them is NULL."""
    whole = AND.join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(alias, name)) for name in names)
    return sql.SQL("CASE WHEN {} THEN {} END").format(whole, columns_text_or_null(mapping, names, alias))


def columns_text_or_null(mapping: TableMapping, names: Sequence[str], alias: str) -> sql.Composable:
    """The text of some columns of a row, NULLs included; numbers have no trailing zeros."""
    columns = [mapping.target.required(name) for name in names]
    values = [
        sql.SQL("trim_scale({})" if column.base == "numeric" else "{}").format(sql.Identifier(alias, column.name))
        for column in columns
    ]
    return row_sizes.row_text(alias, columns, row_sizes.AT_TARGET * mapping.spec.max_row_bytes, values)


def _value(mapping: TableMapping, alias: str, name: str) -> sql.Composable:
    for expression in mapping.spec.expressions:
        if expression.column == name:
            return sql.SQL("(SELECT {} FROM (SELECT {}.*) AS d)").format(
                sql.SQL(expression.forward), sql.Identifier(alias)
            )
    return comparable(sql.Identifier(alias, name), mapping.target.required(name))


def find_pairs(
    mapping: TableMapping, text: Text, *, among: sql.Composable, ignored: Collection[str], alike: bool
) -> sql.Composed:
    """Pair staged rows with unexplained rows of the target that have the same `text`.

    A ledger entry explains a row of the target, and so does a desktop-owned row of the source: of n of these with one
    text, n rows of the target are explained. `among` is a condition on the target's row `t`. With `alike`, at least
    half of the other columns, except those `ignored`, must be equal.
    """
    names = [c.name for c in compared_columns(mapping) if c.name not in {*mapping.key_names, *ignored}]
    equal = [
        sql.SQL("({} IS NOT DISTINCT FROM {})::int").format(_value(mapping, "s", name), _value(mapping, "t", name))
        for name in names
    ]
    similar: sql.Composable = sql.SQL("TRUE")
    if alike and equal:
        similar = sql.SQL("2 * ({}) >= {}").format(sql.SQL(" + ").join(equal), sql.Literal(len(equal)))
    return sql.SQL("""\
DROP TABLE IF EXISTS {pairs};
CREATE TEMP TABLE {pairs} ON COMMIT DROP AS
WITH staged AS MATERIALIZED (
    SELECT s.place, s.text, row_number() OVER (PARTITION BY s.text ORDER BY s.content, s.place) AS n
    FROM (SELECT s.ctid AS place, {staged_text} AS text, {staged_content} AS content FROM {staging} AS s) AS s
    WHERE s.text IS NOT NULL
), owned AS MATERIALIZED (
    SELECT {owned_text} AS text, {owned_content} AS content FROM {owned} AS o
), present AS MATERIALIZED (
    SELECT t.tableoid AS relation, t.ctid AS place, {text} AS text, {content} AS content
    FROM {target} AS t
    WHERE {among} AND EXISTS (SELECT FROM staged AS s WHERE s.text = {text})
        AND NOT EXISTS (SELECT FROM {entries} AS e WHERE (e.relation, e.place) = (t.tableoid, t.ctid))
), ranked AS (
    -- Rows explained by a desktop-owned row of the source come first.
    SELECT p.*, row_number() OVER (PARTITION BY p.text ORDER BY o.content IS NULL, p.content, p.relation, p.place) AS n
    FROM present AS p
    LEFT JOIN (SELECT DISTINCT o.content FROM owned AS o) AS o ON o.content = p.content
), explained AS (
    SELECT o.text, count(*) AS rows FROM owned AS o GROUP BY o.text
)
SELECT f.place AS staged, r.relation, r.place
FROM staged AS f
JOIN ranked AS r ON r.text = f.text
LEFT JOIN explained AS e ON e.text = r.text
JOIN {staging} AS s ON s.ctid = f.place
JOIN {target} AS t ON (t.tableoid, t.ctid) = (r.relation, r.place)
WHERE r.n - coalesce(e.rows, 0) = f.n AND {similar}""").format(
        pairs=PAIRS,
        staging=STAGING,
        owned=OWNED,
        entries=ENTRIES,
        target=mapping.target.identifier,
        staged_text=text("s"),
        staged_content=content_text(mapping, "s"),
        owned_text=text("o"),
        owned_content=content_text(mapping, "o"),
        text=text("t"),
        content=content_text(mapping, "t"),
        among=among,
        similar=similar,
    )


def adopt_pairs(mapping: TableMapping, run_id: str | None, *, into: sql.Identifier) -> sql.Composed:
    """Move paired rows from staging to the ledger, with the target's content; the rows affected are those adopted."""
    return sql.SQL("""\
WITH entered AS (
    INSERT INTO {into} (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT {table}, {key}, {occurrence}, {desktop_key}, {image}, {hash}, {born}, {run}
    FROM {pairs} AS p
    JOIN {staging} AS s ON s.ctid = p.staged
    JOIN {target} AS t ON (t.tableoid, t.ctid) = (p.relation, p.place)
    RETURNING id, mobile_key, content_hash, occurrence
), explained AS (
    INSERT INTO {entries} (id, gone, relation, place)
    SELECT e.id, FALSE, p.relation, p.place
    FROM entered AS e
    JOIN {staging} AS s ON ({key}, {hash}, {occurrence}) = (e.mobile_key, e.content_hash, e.occurrence)
    JOIN {pairs} AS p ON p.staged = s.ctid
)
DELETE FROM {staging} AS s USING {pairs} AS p WHERE s.ctid = p.staged""").format(
        into=into,
        table=mapping.table,
        pairs=PAIRS,
        staging=STAGING,
        entries=ENTRIES,
        target=mapping.target.identifier,
        key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        born=sql.Identifier("s", BORN),
        occurrence=sql.Identifier("s", OCCURRENCE),
        desktop_key=image_of([mapping.target.required(name) for name in mapping.key_names], "t"),
        image=image_of(mapping.target.columns, "t"),
        run=sql.Literal(run_id),
    )


def keep_desktop_rows(mapping: TableMapping) -> sql.Composed:
    """Store the target's content of each pair, without sensitive columns."""
    shown = tuple(column for column in mapping.target.columns if column.name not in mapping.spec.sensitive)
    return sql.SQL("""\
DROP TABLE IF EXISTS {desktop_rows};
CREATE TEMP TABLE {desktop_rows} ON COMMIT DROP AS
SELECT {key} AS key, {hash} AS hash, {occurrence} AS occurrence, {image} AS image
FROM {pairs} AS p
JOIN {staging} AS s ON s.ctid = p.staged
JOIN {target} AS t ON (t.tableoid, t.ctid) = (p.relation, p.place)""").format(
        desktop_rows=DESKTOP_ROWS,
        pairs=PAIRS,
        staging=STAGING,
        target=mapping.target.identifier,
        key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        occurrence=sql.Identifier("s", OCCURRENCE),
        image=shown_image_of(shown, "t"),
    )


def paired_rows(mapping: TableMapping) -> sql.Composed:
    """The paired rows, in the form that `quarantine_sql.reject` takes."""
    key = mapping.key_names
    value: sql.Composable = sql.SQL("NULL")
    if key:
        value = sql.SQL("concat_ws(', ', {})").format(COMMA.join(sql.Identifier("s", name) for name in key))
    return sql.SQL("""\
SELECT p.staged AS place, 'lookalike' AS reason, {columns} AS column_name, {value} AS value, NULL AS parent,
    NULL AS message
FROM {pairs} AS p JOIN {staging} AS s ON s.ctid = p.staged""").format(
        columns=", ".join(key) or None, value=value, pairs=PAIRS, staging=STAGING
    )


def attach_desktop_row() -> sql.Composed:
    """Store the target's content with each look-alike."""
    return sql.SQL("""\
UPDATE {rejected} AS r SET theirs = t.image
FROM {desktop_rows} AS t
WHERE r.reason = 'lookalike' AND r.theirs IS NULL
    AND (t.key, t.hash, t.occurrence::text) = (r.key ->> {key}, r.key ->> {hash}, r.key ->> {occurrence})""").format(
        rejected=REJECTED, desktop_rows=DESKTOP_ROWS, key=KEY, hash=HASH, occurrence=OCCURRENCE
    )
