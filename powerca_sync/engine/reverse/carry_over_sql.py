"""Statements that pair ledger entries with phone rows whose identity has changed its form.

The temporary table `contents` has the phone rows without an entry, in the target's form.
"""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import AND, COMMA, TableMapping, from_image
from powerca_sync.engine.postgres import Column
from powerca_sync.engine.reverse.ledger_sql import CLASSIFICATION
from powerca_sync.engine.staging import KEY, OCCURRENCE

CONTENTS = sql.Identifier("pg_temp", "powerca_contents")


def drop_contents() -> sql.SQL:
    """Drop `contents`, so that it can be created again."""
    return sql.SQL("DROP TABLE IF EXISTS pg_temp.powerca_contents")


def count_loose_entries(table: str) -> sql.Composed:
    """Count the entries without a phone row, except those that are marked as gone."""
    return sql.SQL("SELECT count(*) FROM powerca_sync.pulled AS l WHERE {}").format(_is_loose("l", table, gone=False))


def pair(mapping: TableMapping, columns: Sequence[Column], *, gone: bool) -> sql.Composed:
    """Pair phone rows with entries of equal `columns`, nth copy with nth copy; the rows affected are the phone rows.

    With `gone`, entries marked as gone are used too, after the others.
    """
    return sql.SQL("""\
WITH image AS MATERIALIZED (
    SELECT e.id, e.content, row_number() OVER (PARTITION BY e.content ORDER BY e.gone, e.id) AS n
    FROM (
        SELECT l."e:id" AS id, l."e:gone" AS gone, {image_content} AS content
        FROM (
            SELECT l.id AS "e:id", l.gone_at IS NOT NULL AS "e:gone", {images}
            FROM powerca_sync.pulled AS l
            WHERE {is_loose}
        ) AS l
    ) AS e
    WHERE e.content IS NOT NULL
), phone AS MATERIALIZED (
    SELECT c.{key} AS key, c.{occurrence} AS occurrence, {content} AS content,
        row_number() OVER (PARTITION BY {content} ORDER BY c.{key}, c.{occurrence}) AS n
    FROM {contents} AS c
    JOIN {classification} AS f ON (f.key, f.occurrence) = (c.{key}, c.{occurrence}) AND f.verdict = 'new'
)
UPDATE {classification} AS f SET verdict = 'there', entry = i.id
FROM phone AS p JOIN image AS i USING (content, n)
WHERE (f.key, f.occurrence) = (p.key, p.occurrence)""").format(
        image_content=_text("l", columns),
        images=COMMA.join(
            sql.SQL("{} AS {}").format(from_image("l", column), sql.Identifier(column.name))
            for column in mapping.target.columns
        ),
        is_loose=_is_loose("l", mapping.table, gone=gone),
        key=sql.Identifier(KEY),
        occurrence=sql.Identifier(OCCURRENCE),
        content=_text("c", columns),
        contents=CONTENTS,
        classification=CLASSIFICATION,
    )


def count_doubtful(mapping: TableMapping, columns: Sequence[Column]) -> sql.Composed:
    """Count the phone rows without an entry that share `columns` with an entry that has no phone row."""
    return sql.SQL("""\
WITH image AS MATERIALIZED (
    SELECT {image_content} AS content
    FROM (SELECT {images} FROM powerca_sync.pulled AS l WHERE {is_loose}) AS l
)
SELECT count(*)
FROM {contents} AS c
JOIN {classification} AS f ON (f.key, f.occurrence) = (c.{key}, c.{occurrence}) AND f.verdict = 'new'
WHERE EXISTS (SELECT FROM image AS i WHERE i.content = {content})""").format(
        image_content=_text("l", columns),
        images=COMMA.join(
            sql.SQL("{} AS {}").format(from_image("l", column), sql.Identifier(column.name))
            for column in mapping.target.columns
        ),
        is_loose=_is_loose("l", mapping.table, gone=False),
        contents=CONTENTS,
        classification=CLASSIFICATION,
        key=sql.Identifier(KEY),
        occurrence=sql.Identifier(OCCURRENCE),
        content=_text("c", columns),
    )


def _is_loose(alias: str, table: str, *, gone: bool) -> sql.Composed:
    conditions = [
        sql.SQL("{}.table_name = {}").format(sql.Identifier(alias), table),
        sql.SQL("NOT EXISTS (SELECT FROM {} AS f WHERE f.entry = {}.id)").format(CLASSIFICATION, sql.Identifier(alias)),
    ]
    if not gone:
        conditions.append(sql.SQL("{}.gone_at IS NULL").format(sql.Identifier(alias)))
    return AND.join(conditions)


def _text(alias: str, columns: Sequence[Column]) -> sql.Composed:
    """The columns' values as one text; numbers have no trailing zeros, texts no trailing spaces."""
    forms = {"numeric": "trim_scale({})", "text": "rtrim({}, ' ')", "varchar": "rtrim({}, ' ')"}
    values = (sql.SQL(forms.get(column.base, "{}")).format(sql.Identifier(alias, column.name)) for column in columns)
    return sql.SQL('ROW({})::text COLLATE "C"').format(COMMA.join(values))
