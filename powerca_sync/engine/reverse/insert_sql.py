"""Statements that insert new phone rows into the target, record them in the ledger, and advance sequences."""

from psycopg import sql

from powerca_sync.engine.mapping import (
    ACTIONS,
    COMMA,
    ENTRIES,
    STAGING,
    TableMapping,
    image_of,
    now_in,
    row_text,
    shown_image_of,
)
from powerca_sync.engine.reverse.carry_over_sql import CONTENTS
from powerca_sync.engine.reverse.ledger_sql import CLASSIFICATION, compared_columns
from powerca_sync.engine.reverse.lookalikes_sql import DESKTOP_ROWS, OWNED, PAIRS
from powerca_sync.engine.staging import BORN, HASH, KEY, OCCURRENCE, PHONES
from powerca_sync.specs import STAMPS

PULLED = sql.Identifier("powerca_sync", "pulled")
#: Takes the ledger entries of a dry run, so that it does not advance the ledger's sequence.
WOULD_BE_PULLED = sql.Identifier("pg_temp", "powerca_pulled")


def create_would_be_pulled() -> sql.Composed:
    """Create a temporary table like the ledger, with its own sequence."""
    return sql.SQL("""\
CREATE TEMP TABLE {} (
    id bigint GENERATED ALWAYS AS IDENTITY, table_name text, mobile_key text, occurrence bigint, desktop_key jsonb,
    image jsonb, content_hash text, born text, run_id text
) ON COMMIT DROP""").format(WOULD_BE_PULLED)


def sample_inserts(mapping: TableMapping, most: int) -> sql.Composed:
    """The first rows to be inserted: (key, NULL, row afterwards), without sensitive columns."""
    shown = tuple(column for column in mapping.staged if column.name not in mapping.spec.sensitive)
    return sql.SQL("""\
SELECT {key}, NULL, {after}
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert' ORDER BY a.n LIMIT {most}""").format(
        key=desktop_key(mapping, "s"), after=shown_image_of(shown, "s"), actions=ACTIONS, staging=STAGING, most=most
    )


def drop_working_tables() -> sql.Composed:
    """Drop the temporary tables that only reverse runs use, so that the next table can create them."""
    return sql.SQL("DROP TABLE IF EXISTS {}").format(
        COMMA.join((PHONES, CLASSIFICATION, CONTENTS, ENTRIES, WOULD_BE_PULLED, OWNED, PAIRS, DESKTOP_ROWS))
    )


def number_inserts() -> sql.Composed:
    """Plan one insert for each staged row, in the order of the phones' keys; returns the number of rows."""
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
    """Count the quarantined phone rows of a table."""
    return sql.SQL("SELECT count(*) FROM powerca_sync.quarantine AS q WHERE q.table_name = %s")


def insert(mapping: TableMapping, first: int, last: int) -> sql.Composed:
    """Insert staged rows `first` to `last` and store their places; the rows affected are those inserted.

    Places are returned in the order of insertion. If a row is missing, the order is meaningless.
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
    """Create ledger entries for the inserted rows `first` to `last`, with the target's content.

    Returns the number of rows that the target changed on insert. Rows that an AFTER trigger has changed get an entry
    with the content that was sent; `refresh_after_triggers` corrects it.
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
        key=desktop_key(mapping, "t"),
        sent_key=desktop_key(mapping, "s"),
        content=row_text(mapping, "t", columns),
        phone_key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        born=sql.Identifier("s", BORN),
        occurrence=sql.Identifier("s", OCCURRENCE),
        staged_content=row_text(mapping, "s", columns),
        table=mapping.table,
        run=sql.Literal(run_id),
    )


def refresh_after_triggers(mapping: TableMapping) -> sql.Composed:
    """Update the ledger entries of rows that triggers changed after their insert; returns how many differ."""
    columns = compared_columns(mapping)
    return sql.SQL("""WITH moved AS MATERIALIZED (
    -- currtid2 returns the row's last version; RETURNING does not see updates by AFTER triggers.
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
        table=mapping.table,
        image=image_of(mapping.target.columns, "t"),
        key=desktop_key(mapping, "t"),
        phone_key=sql.Identifier("s", KEY),
        hash=sql.Identifier("s", HASH),
        occurrence=sql.Identifier("s", OCCURRENCE),
        content=row_text(mapping, "t", columns),
        staged_content=row_text(mapping, "s", columns),
    )


def desktop_key(mapping: TableMapping, alias: str) -> sql.Composed:
    """The key of the target's row, or of a staged row, as jsonb."""
    return image_of([mapping.target.required(name) for name in mapping.key_names], alias)


def highest(column: str, limit: int) -> sql.Composed:
    """The highest inserted number of a column up to `limit`, and the highest above it."""
    return sql.SQL("""\
SELECT max({value}) FILTER (WHERE {value} <= {limit}), max({value}) FILTER (WHERE {value} > {limit})
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert'""").format(
        value=sql.Identifier("s", column), limit=sql.Literal(limit), actions=ACTIONS, staging=STAGING
    )


def advance(sequence: sql.Identifier, value: int, start: int) -> sql.Composed:
    """Advance a sequence to a value, never back; returns one row if it moved.

    A sequence that was not used yet may have any position (RESTART), so that its next value is fetched.
    """
    name = sql.Literal(sequence.as_string(None))
    return sql.SQL("""\
SELECT setval({name}::regclass, greatest(coalesce(s.last, nextval({name}::regclass)), {value}))
FROM (SELECT pg_sequence_last_value({name}::regclass) AS last) AS s
WHERE coalesce(s.last, {before}) < {value}""").format(
        name=name, value=sql.Literal(value), before=sql.Literal(start - 1)
    )
