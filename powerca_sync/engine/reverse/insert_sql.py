"""Statements that bring new phone rows to the target: what it has already, what is in their way, and the inserts."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import (
    ACTIONS,
    AND,
    COMMA,
    ENTRIES,
    REJECTED,
    STAGING,
    TableMapping,
    image_of,
    now_in,
    row_text,
    same_key,
    shown_image_of,
)
from powerca_sync.engine.reverse.carry_over_sql import CONTENTS
from powerca_sync.engine.reverse.ledger_sql import CLASSIFICATION, compared_columns
from powerca_sync.engine.reverse.lookalikes_sql import DESKTOP_ROWS, OWNED, PAIRS
from powerca_sync.engine.staging import BORN, HASH, KEY, OCCURRENCE, PHONES
from powerca_sync.tables import STAMPS

PULLED = sql.Identifier("powerca_sync", "pulled")
#: What a plan would enter into the ledger, whose sequence it may not move.
WOULD_BE_PULLED = sql.Identifier("pg_temp", "powerca_pulled")


def keep_new() -> sql.Composed:
    """Drop what came along with the new ones: equal rows that are there already."""
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
    """Enter staged rows into the ledger that the target has already, with the same content, and drop them.

    Where `keys` are given, only rows that have one of them whole: a key says that it is the same record. The rows
    affected are those adopted.
    """
    columns = compared_columns(mapping)
    which: sql.Composable = sql.SQL("TRUE")
    if keys is not None:
        which = sql.SQL(" OR ").join(
            sql.SQL("({})").format(
                AND.join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", name)) for name in key)
            )
            for key in keys
        )
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
        which=which,
        into=into,
        content=row_text(mapping, "t", columns),
        image=image_of(mapping.target.columns, "t"),
        desktop_key=_key_of(mapping, "t"),
        target=mapping.target.identifier,
        unexplained=_unexplained("t"),
        table=mapping.spec.mobile,
        run=sql.Literal(run_id),
    )


def create_would_be_pulled() -> sql.Composed:
    """A table like the ledger, with a sequence of its own."""
    return sql.SQL("""\
CREATE TEMP TABLE {} (
    id bigint GENERATED ALWAYS AS IDENTITY, table_name text, mobile_key text, occurrence bigint, desktop_key jsonb,
    image jsonb, content_hash text, born text, run_id text
) ON COMMIT DROP""").format(WOULD_BE_PULLED)


def sample_inserts(mapping: TableMapping, most: int) -> sql.Composed:
    """The first rows to be inserted: key, NULL, and what would be there afterwards; sensitive columns left out."""
    shown = tuple(column for column in mapping.staged if column.name not in mapping.spec.sensitive)
    return sql.SQL("""\
SELECT {key}, NULL, {after}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert' ORDER BY a.n LIMIT {most}""").format(
        key=_key_of(mapping, "s"), after=shown_image_of(shown, "s"), actions=ACTIONS, staging=STAGING, most=most
    )


def drop_working_tables() -> sql.Composed:
    """Make room for the next table's: what pulls need besides the tables of every run."""
    return sql.SQL("DROP TABLE IF EXISTS {}").format(
        COMMA.join((PHONES, CLASSIFICATION, CONTENTS, ENTRIES, WOULD_BE_PULLED, OWNED, PAIRS, DESKTOP_ROWS))
    )


def _unexplained(alias: str) -> sql.Composed:
    """A condition on the target's row `alias`: it is no pulled row, as far as the ledger knows."""
    return sql.SQL(
        "NOT EXISTS (SELECT FROM {entries} AS e WHERE (e.relation, e.place) = ({alias}.tableoid, {alias}.ctid))"
    ).format(entries=ENTRIES, alias=sql.Identifier(alias))


def conflicting(mapping: TableMapping, key: Sequence[str]) -> sql.Composed:
    """Staged rows whose key the target has in a row of its own, in the form that `quarantine.reject` takes."""
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
    """Put the target's row beside each conflicting one."""
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


def number_inserts() -> sql.Composed:
    """Plan to insert each staged row, in the order of the phones' keys. Answers how many."""
    return sql.SQL("""\
WITH planned AS (
    INSERT INTO {actions} (action, n, staged)
    SELECT 'insert', row_number() OVER (ORDER BY length({key}), {key}, {occurrence}), s.ctid FROM {staging} AS s
    RETURNING 1
)
SELECT count(*) FROM planned""").format(
        actions=ACTIONS, staging=STAGING, key=sql.Identifier("s", KEY), occurrence=sql.Identifier("s", OCCURRENCE)
    )


def count_quarantined() -> sql.SQL:
    """How many phone rows of a table are in the target's quarantine."""
    return sql.SQL("SELECT count(*) FROM powerca_sync.quarantine AS q WHERE q.table_name = %s")


def insert(mapping: TableMapping, first: int, last: int) -> sql.Composed:
    """Insert staged rows `first` to `last`, and note where they are; the rows affected are those inserted.

    The places come back in the order in which the rows went in; where one is missing, that order says nothing.
    """
    names = COMMA.join(sql.Identifier(column.name) for column in mapping.staged)
    values = COMMA.join(
        sql.SQL("coalesce({}, {})").format(sql.Identifier("s", column.name), now_in(column))
        if column.name in STAMPS and not column.nullable
        else sql.Identifier("s", column.name)
        for column in mapping.staged
    )
    return sql.SQL("""\
WITH landed AS (
    INSERT INTO {target} AS t ({names})
    SELECT {values}
    FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
    WHERE a.action = 'insert' AND a.n BETWEEN {first} AND {last}
    ORDER BY a.n
    RETURNING t.tableoid AS relation, t.ctid AS place
), numbered AS (
    SELECT l.relation, l.place, pg_catalog.row_number() OVER () + {first} - 1 AS n FROM landed AS l
)
UPDATE {actions} AS a SET relation = l.relation, existing = l.place
FROM numbered AS l
WHERE a.action = 'insert' AND a.n = l.n""").format(
        target=mapping.target.identifier,
        names=names,
        values=values,
        actions=ACTIONS,
        staging=STAGING,
        first=first,
        last=last,
    )


def enter(mapping: TableMapping, first: int, last: int, run_id: str | None) -> sql.Composed:
    """Enter staged rows `first` to `last`, which are inserted, into the ledger as the target has them.

    Answers how many of them the target changed as it took them. Those that a trigger has changed after that are
    entered as they were sent, and `refresh_after_triggers` corrects their entries.
    """
    columns = compared_columns(mapping)
    return sql.SQL("""\
WITH known AS (
    SELECT {phone_key} AS mobile_key, {hash} AS hash, {born} AS born, {occurrence} AS occurrence,
        CASE WHEN t.ctid IS NULL THEN {sent_image} ELSE {image} END AS image,
        CASE WHEN t.ctid IS NULL THEN {sent_key} ELSE {key} END AS desktop_key,
        t.ctid IS NOT NULL AND {content} <> {staged_content} AS is_altered
    FROM {actions} AS a
    JOIN {staging} AS s ON s.ctid = a.staged
    LEFT JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action = 'insert' AND a.n BETWEEN {first} AND {last}
), entered AS (
    INSERT INTO powerca_sync.pulled
        (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT {table}, k.mobile_key, k.occurrence, k.desktop_key, k.image, k.hash, k.born, {run} FROM known AS k
)
SELECT count(*) FILTER (WHERE k.is_altered) FROM known AS k""").format(
        target=mapping.target.identifier,
        actions=ACTIONS,
        staging=STAGING,
        first=first,
        last=last,
        image=image_of(mapping.target.columns, "t"),
        sent_image=image_of(mapping.staged, "s"),
        key=_key_of(mapping, "t"),
        sent_key=_key_of(mapping, "s"),
        content=row_text(mapping, "t", columns),
        phone_key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        born=sql.Identifier("s", BORN),
        occurrence=sql.Identifier("s", OCCURRENCE),
        staged_content=row_text(mapping, "s", columns),
        table=mapping.spec.mobile,
        run=sql.Literal(run_id),
    )


def refresh_after_triggers(mapping: TableMapping) -> sql.Composed:
    """Bring the ledger's entries up to date of rows that triggers changed once they had landed.

    Answers how many of them are not as they were sent.
    """
    columns = compared_columns(mapping)
    return sql.SQL("""WITH moved AS MATERIALIZED (
    -- The row's last version, through however many updates: the insert itself does not see what follows it.
    SELECT a.staged, a.relation, currtid2(a.relation::regclass::text, a.existing) AS place
    FROM {actions} AS a
    WHERE a.action = 'insert' AND a.existing IS NOT NULL
        AND NOT EXISTS (SELECT FROM {target} AS t WHERE (t.tableoid, t.ctid) = (a.relation, a.existing))
), changed AS (
    UPDATE powerca_sync.pulled AS l SET image = {image}, desktop_key = {key}
    FROM moved AS m
    JOIN {staging} AS s ON s.ctid = m.staged
    JOIN {target} AS t ON (t.tableoid, t.ctid) = (m.relation, m.place)
    WHERE l.table_name = {table} AND l.gone_at IS NULL
        AND (l.mobile_key, l.content_hash, l.occurrence) = ({phone_key}, {hash}, {occurrence})
    RETURNING {content} <> {staged_content} AS is_altered
)
SELECT count(*) FILTER (WHERE c.is_altered) FROM changed AS c""").format(
        actions=ACTIONS,
        staging=STAGING,
        target=mapping.target.identifier,
        table=mapping.spec.mobile,
        image=image_of(mapping.target.columns, "t"),
        key=_key_of(mapping, "t"),
        phone_key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        occurrence=sql.Identifier("s", OCCURRENCE),
        content=row_text(mapping, "t", columns),
        staged_content=row_text(mapping, "s", columns),
    )


def _key_of(mapping: TableMapping, alias: str) -> sql.Composed:
    return image_of([mapping.target.required(name) for name in mapping.spec.key], alias)


def highest(column: str, limit: int) -> sql.Composed:
    """The highest number up to `limit`, and the highest beyond it, that was inserted into a column."""
    return sql.SQL("""\
SELECT max({value}) FILTER (WHERE {value} <= {limit}), max({value}) FILTER (WHERE {value} > {limit})
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert'""").format(
        value=sql.Identifier("s", column), limit=sql.Literal(limit), actions=ACTIONS, staging=STAGING
    )


def advance(sequence: sql.Identifier, value: int, start: int) -> sql.Composed:
    """Move a sequence forward to a value, never back. Answers one row if it moved.

    One that gave no value yet may stand anywhere (RESTART); with no right to read it, its next value tells.
    """
    name = sql.Literal(sequence.as_string(None))
    return sql.SQL("""\
SELECT setval({name}::regclass, greatest(coalesce(s.last, nextval({name}::regclass)), {value}))
FROM (SELECT pg_sequence_last_value({name}::regclass) AS last) AS s
WHERE coalesce(s.last, {before}) < {value}""").format(
        name=name, value=sql.Literal(value), before=sql.Literal(start - 1)
    )


def sample_conflicts() -> sql.Composed:
    """The first conflicts: (key, the phone's row, the bytes of the target's row, which may mean nothing)."""
    return sql.SQL("""\
SELECT r.key - ARRAY[{key}, {hash}, {occurrence}], r.image, convert_to(r.theirs::text, getdatabaseencoding())
FROM {rejected} AS r WHERE r.reason IN ('conflict', 'lookalike') ORDER BY r.key ->> {key} LIMIT 20""").format(
        key=KEY, hash=HASH, occurrence=OCCURRENCE, rejected=REJECTED
    )
