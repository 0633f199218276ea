"""Statements that adopt staged phone rows which the target has already, and find those whose key another row has."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import (
    AND,
    COMMA,
    ENTRIES,
    REJECTED,
    STAGING,
    TableMapping,
    image_of,
    row_text,
    same_key,
    shown_image_of,
)
from powerca_sync.engine.reverse.insert_sql import PULLED, desktop_key
from powerca_sync.engine.reverse.ledger_sql import CLASSIFICATION, compared_columns
from powerca_sync.engine.staging import BORN, HASH, KEY, OCCURRENCE


def keep_new() -> sql.Composed:
    """Delete from staging the rows that are not new: copies with the identity of a new row."""
    return sql.SQL("""\
DELETE FROM {staging} AS s WHERE NOT EXISTS (
    SELECT FROM {classification} AS f WHERE f.verdict = 'new' AND (f.key, f.occurrence) = ({key}, {occurrence})
);
DELETE FROM {rejected} AS r WHERE NOT EXISTS (
    SELECT FROM {classification} AS f
    WHERE f.verdict = 'new' AND (f.key, f.occurrence) = (r.key ->> {key_name}, (r.key ->> {occurrence_name})::bigint)
);
ALTER TABLE {rejected} ADD theirs jsonb, ADD form text""").format(
        staging=STAGING,
        rejected=REJECTED,
        classification=CLASSIFICATION,
        key=sql.Identifier("s", KEY),
        occurrence=sql.Identifier("s", OCCURRENCE),
        key_name=KEY,
        occurrence_name=OCCURRENCE,
    )


def adopt(
    mapping: TableMapping,
    keys: Sequence[tuple[str, ...]] | None,
    run_id: str | None,
    *,
    into: sql.Identifier = PULLED,
) -> sql.Composed:
    """Move staged rows that the target has already, with the same content, from staging to the ledger.

    With `keys`, only rows in which one of the keys has no NULL: a key shows that it is the same record. The rows
    affected are those adopted.
    """
    columns = compared_columns(mapping)
    return sql.SQL("""\
WITH staged AS MATERIALIZED (
    SELECT s.ctid AS place, {key} AS key, {hash} AS hash, {born} AS born, {occurrence} AS occurrence,
        {staged_content} AS content, row_number() OVER (PARTITION BY {staged_content} ORDER BY s.ctid) AS copy
    FROM {staging} AS s
    WHERE {which}
), present AS MATERIALIZED (
    SELECT t.tableoid AS relation, t.ctid AS place, {content} AS content, {image} AS image,
        {desktop_key} AS desktop_key,
        row_number() OVER (PARTITION BY {content} ORDER BY t.tableoid, t.ctid) AS copy
    FROM {target} AS t
    WHERE {content} IN (SELECT s.content FROM staged AS s) AND {unexplained}
), entered AS (
    INSERT INTO {into}
        (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT {table}, s.key, s.occurrence, p.desktop_key, p.image, s.hash, s.born, {run}
    FROM staged AS s JOIN present AS p USING (content, copy)
    RETURNING id, mobile_key, content_hash, occurrence
), explained AS (
    INSERT INTO {entries} (id, gone, relation, place)
    SELECT e.id, FALSE, p.relation, p.place
    FROM entered AS e
    JOIN staged AS s ON (s.key, s.hash, s.occurrence) = (e.mobile_key, e.content_hash, e.occurrence)
    JOIN present AS p USING (content, copy)
)
DELETE FROM {staging} AS s USING entered AS e
WHERE ({key}, {hash}, {occurrence}) = (e.mobile_key, e.content_hash, e.occurrence)""").format(
        key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        born=sql.Identifier("s", BORN),
        occurrence=sql.Identifier("s", OCCURRENCE),
        staged_content=row_text(mapping, "s", columns),
        staging=STAGING,
        entries=ENTRIES,
        which=_has_a_key(keys),
        into=into,
        content=row_text(mapping, "t", columns),
        image=image_of(mapping.target.columns, "t"),
        desktop_key=desktop_key(mapping, "t"),
        target=mapping.target.identifier,
        unexplained=_unexplained("t"),
        table=mapping.table,
        run=sql.Literal(run_id),
    )


def _has_a_key(keys: Sequence[tuple[str, ...]] | None) -> sql.Composable:
    """Returns a condition on the staged row `s`: one of the keys has no NULL; true for every row without `keys`."""
    if keys is None:
        return sql.SQL("TRUE")
    return sql.SQL(" OR ").join(
        sql.SQL("({})").format(AND.join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", name)) for name in key))
        for key in keys
    )


def _unexplained(alias: str) -> sql.Composed:
    """A condition on the target's row `alias`: no ledger entry explains it."""
    return sql.SQL(
        "NOT EXISTS (SELECT FROM {entries} AS e WHERE (e.relation, e.place) = ({alias}.tableoid, {alias}.ctid))"
    ).format(entries=ENTRIES, alias=sql.Identifier(alias))


def conflicting(mapping: TableMapping, key: Sequence[str]) -> sql.Composed:
    """Staged rows whose key an unexplained row of the target has, in the form that `quarantine_sql.reject` takes."""
    return sql.SQL("""\
SELECT s.ctid AS place, 'conflict' AS reason, {columns} AS column_name, concat_ws(', ', {values}) AS value,
    NULL AS parent, NULL AS message
FROM {staging} AS s
WHERE EXISTS (SELECT FROM {target} AS t WHERE {same} AND {unexplained})""").format(
        columns=", ".join(key),
        values=COMMA.join(sql.Identifier("s", name) for name in key),
        staging=STAGING,
        target=mapping.target.identifier,
        same=same_key(mapping, "t", "s", key),
        unexplained=_unexplained("t"),
    )


def attach_desktop_row(mapping: TableMapping, key: Sequence[str]) -> sql.Composed:
    """Store the target's row with each conflicting row."""
    shown = tuple(column for column in mapping.target.columns if column.name not in mapping.spec.sensitive)
    same = AND.join(sql.SQL("{}::text = r.image ->> {}").format(sql.Identifier("t", name), name) for name in key)
    return sql.SQL("""\
UPDATE {rejected} AS r SET theirs = (
    SELECT {image} FROM {target} AS t WHERE {same} AND {unexplained} ORDER BY t.tableoid, t.ctid LIMIT 1
)
WHERE r.reason = 'conflict' AND r.theirs IS NULL AND r.column_name = {columns}""").format(
        rejected=REJECTED,
        image=shown_image_of(shown, "t"),
        target=mapping.target.identifier,
        same=same,
        unexplained=_unexplained("t"),
        columns=", ".join(key),
    )


def sample_conflicts() -> sql.Composed:
    """The first conflicts: (key, phone row, target row as bytes, which may be invalid in the database's encoding)."""
    return sql.SQL("""\
SELECT r.key - ARRAY[{key}, {hash}, {occurrence}], r.image, convert_to(r.theirs::text, getdatabaseencoding())
FROM {rejected} AS r WHERE r.reason IN ('conflict', 'lookalike') ORDER BY r.key ->> {key} LIMIT 20""").format(
        key=KEY, hash=HASH, occurrence=OCCURRENCE, rejected=REJECTED
    )
