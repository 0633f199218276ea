"""Statements for the rows in staging: how they land there, and which of them are set aside before the merge."""

import dataclasses
from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.catalog import Column, ForeignKey, UniqueKey
from powerca_sync.engine.conversion import equal
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.statements.extract import FROM_PHONE, staged_names
from powerca_sync.tables import DESKTOP, OWNER, STAMPS, Lookup, Reference, Strategy, spec_named

STAGING = sql.Identifier("pg_temp", "powerca_staging")
LEDGER = sql.Identifier("pg_temp", "powerca_ledger")
REJECTED = sql.Identifier("pg_temp", "powerca_rejected")
HELD = sql.Identifier("pg_temp", "powerca_held")
ECHOED = sql.Identifier("pg_temp", "powerca_echoed")
COMMA = sql.SQL(", ")
AND = sql.SQL(" AND ")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A reason for which a staged row goes to quarantine."""

    #: Short and stable: `reference`, `not_null`, `altered`, `check`, `null_key`, `lookup`, `office`.
    reason: str
    #: Condition over the staged row `s`; true where the row is at fault.
    faulty: sql.Composable
    column: str | None = None
    #: The table that lacks the row spoken of, or the constraint that is violated.
    parent: str | None = None
    #: A join that `faulty` needs.
    join: sql.Composable | None = None


def create_staging(mapping: TableMapping) -> sql.Composed:
    """Bare tables with the target's types. Not LIKE ... INCLUDING ALL, which would burn the target's sequences."""
    values: list[sql.Composable] = [sql.Identifier("t", column.name) for column in mapping.staged]
    values += [sql.SQL("NULL::text AS {}").format(sql.Identifier(c.raw)) for c in mapping.synced if c.raw]
    if mapping.source_has_owner:
        values.append(sql.SQL("NULL::boolean AS {}").format(sql.Identifier(FROM_PHONE)))
    key = [sql.Identifier("t", name) for name in mapping.spec.key]
    return sql.SQL("""\
CREATE TEMP TABLE {staging} ON COMMIT DROP AS
SELECT {values} FROM {target} AS t WITH NO DATA;
CREATE TEMP TABLE {held} ON COMMIT DROP AS
SELECT {key} FROM {target} AS t WITH NO DATA;
CREATE TEMP TABLE {rejected} (
    reason text NOT NULL, column_name text, value text, parent text, message text, key jsonb, image jsonb
) ON COMMIT DROP;
CREATE TEMP TABLE {echoed} (content text COLLATE "C") ON COMMIT DROP""").format(
        staging=STAGING,
        echoed=ECHOED,
        values=COMMA.join(values),
        target=mapping.target.identifier,
        held=HELD,
        key=COMMA.join(key),
        rejected=REJECTED,
    )


def create_ledger() -> sql.Composed:
    """A table like staging."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT * FROM {} WITH NO DATA").format(LEDGER, STAGING)


def copy_in(mapping: TableMapping, into: sql.Identifier = STAGING) -> sql.Composed:
    """COPY rows, as `extract.copy_out` gives them, into staging."""
    names = COMMA.join(sql.Identifier(name) for name in staged_names(mapping))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(into, names)


def copy_in_held(mapping: TableMapping) -> sql.Composed:
    """COPY the key of a row that does not fit, so that its last good version is kept."""
    names = COMMA.join(sql.Identifier(name) for name in mapping.spec.key)
    return sql.SQL("COPY {} ({}) FROM STDIN").format(HELD, names)


def insert_rejected() -> sql.Composed:
    """A row that staging itself refused: reason, message, key and image."""
    return sql.SQL("INSERT INTO {} (reason, message, key, image) VALUES ('refused', %s, %s, %s)").format(REJECTED)


def set_aside_echo(mapping: TableMapping) -> sql.Composed:
    """Remove what came from phones: rows equal to a ledger image, then the office's edits of pulled rows, then rows
    whose own `source` names the phones.

    Answers (echo, edited, first edited keys). Images and rows pair as multisets: a second equal row is the office's
    own. A row is an edit if it has the key of an image whose copy is not there any more, as long as the office's own
    rows of that key on the target do not explain it: unchanged ones and edits of those come first. The contents of
    echo are remembered, for the phone rows that they stand for.
    """
    pulled = tuple(c.column for c in mapping.synced if c.name not in STAMPS)
    own = tuple(column for column in pulled if column.name not in mapping.spec.mobile_owned)
    nothing: sql.Composable = sql.SQL("FALSE")
    whole = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("l", name)) for name in mapping.spec.key]
    return sql.SQL("""\
WITH image AS MATERIALIZED (
    SELECT {ledger_content} AS content, {ledger_key} AS key, {ledger_key_whole} AS whole,
        row_number() OVER (PARTITION BY {ledger_content}) AS copy
    FROM {ledger} AS l
), staged AS MATERIALIZED (
    SELECT s.ctid AS place, {content} AS content, {own} AS own, {key} AS key, {from_phone} AS from_phone,
        row_number() OVER (PARTITION BY {content} ORDER BY s.ctid) AS copy
    FROM {staging} AS s
    WHERE {content} IN (SELECT i.content FROM image AS i) OR {key} IN (SELECT i.key FROM image AS i) OR {from_phone}
), echo AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy)
), gone AS (
    SELECT i.key, row_number() OVER (PARTITION BY i.key) AS ordinal
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (i.content, i.copy))
), left_over AS (
    SELECT s.place, s.key, s.own, row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM staged AS s
    WHERE s.place NOT IN (SELECT e.place FROM echo AS e)
), owned AS (
    SELECT {target_key} AS key, {target_own} AS own, row_number() OVER (PARTITION BY {target_own}) AS copy
    FROM {target} AS t
    WHERE {owner} = 'D' AND {in_office} AND {target_key} IN (SELECT g.key FROM gone AS g)
), changed AS (
    SELECT l.place, l.key, row_number() OVER (PARTITION BY l.key ORDER BY l.own, l.place) AS ordinal
    FROM left_over AS l
    WHERE NOT EXISTS (SELECT FROM owned AS o WHERE (o.own, o.copy) = (l.own, l.copy))
), own_changes AS (
    SELECT o.key, count(*) AS rows
    FROM owned AS o
    WHERE NOT EXISTS (SELECT FROM left_over AS l WHERE (o.own, o.copy) = (l.own, l.copy))
    GROUP BY o.key
), edited AS (
    SELECT c.place, c.key
    FROM changed AS c
    LEFT JOIN own_changes AS o USING (key)
    JOIN gone AS g ON g.key = c.key AND g.ordinal = c.ordinal - coalesce(o.rows, 0)
), removed AS (
    DELETE FROM {staging} AS s
    WHERE s.ctid IN (SELECT e.place FROM echo AS e UNION ALL SELECT e.place FROM edited AS e) OR {from_phone}
    RETURNING s.ctid AS place, {compared} AS content
), echoed AS (
    INSERT INTO {echoed} (content)
    SELECT r.content FROM removed AS r WHERE r.place NOT IN (SELECT e.place FROM edited AS e)
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM echoed),
    (SELECT count(*) FROM edited),
    (SELECT array_agg(few.key) FROM (SELECT e.key FROM edited AS e ORDER BY e.key LIMIT 20) AS few)""").format(
        ledger=LEDGER,
        staging=STAGING,
        echoed=ECHOED,
        target=mapping.target.identifier,
        content=_text(mapping, "s", pulled),
        compared=_text(mapping, "s", mapping.content),
        ledger_content=_text(mapping, "l", pulled),
        own=_text(mapping, "s", own),
        target_own=_text(mapping, "t", own),
        key=key_text(mapping, "s"),
        ledger_key=key_text(mapping, "l"),
        target_key=key_text(mapping, "t"),
        ledger_key_whole=AND.join(whole) if whole else nothing,
        owner=mapping.owner("t"),
        in_office=mapping.in_office("t"),
        from_phone=sql.Identifier("s", FROM_PHONE) if mapping.source_has_owner else nothing,
    )


def _text(mapping: TableMapping, alias: str, columns: Sequence[Column]) -> sql.Composed:
    return sql.SQL('{}::text COLLATE "C"').format(mapping.row(alias, columns))


def key_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The key of a row as text, NULLs included; one number has one text, however many zeros it was written with."""
    values = (
        sql.SQL("trim_scale({})" if column.base == "numeric" else "{}").format(sql.Identifier(alias, column.name))
        for column in mapping.key
    )
    return sql.SQL('ROW({})::text COLLATE "C"').format(COMMA.join(values))


def has_duplicates(key: UniqueKey) -> sql.Composed:
    """Whether two staged rows share a key that must not repeat."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} AS s WHERE {} GROUP BY {} HAVING count(*) > 1)").format(
        STAGING, _may_not_repeat(key), _columns(key)
    )


def drop_duplicates(mapping: TableMapping, key: UniqueKey) -> sql.Composed:
    """Leave one of each set of exact copies. Answers how many were dropped."""
    everything = tuple(column for column in mapping.staged if column.name not in STAMPS)
    return sql.SQL("""\
WITH numbered AS (
    SELECT s.ctid AS place, row_number() OVER (PARTITION BY {content} ORDER BY s.ctid) AS n
    FROM {staging} AS s
    WHERE {may_not_repeat}
), dropped AS (
    DELETE FROM {staging} AS s USING numbered AS c WHERE s.ctid = c.place AND c.n > 1 RETURNING 1
)
SELECT count(*) FROM dropped""").format(
        staging=STAGING, content=_text(mapping, "s", everything), may_not_repeat=_may_not_repeat(key)
    )


def reject_duplicates(mapping: TableMapping, key: UniqueKey) -> sql.Composed:
    """Send every row to quarantine that shares the key with another, or with a row that staging refused."""
    refused: sql.Composable = sql.SQL("FALSE")
    if key.columns == mapping.spec.key:
        same = AND.join(sql.SQL("{} = {}").format(sql.Identifier("h", c), sql.Identifier("s", c)) for c in key.columns)
        refused = sql.SQL("EXISTS (SELECT FROM {} AS h WHERE {})").format(HELD, same)
    faulty = sql.SQL("""\
SELECT s.ctid AS place, 'duplicate_key' AS reason, {column} AS column_name, concat_ws(', ', {columns}) AS value,
    NULL AS parent, NULL AS message
FROM {staging} AS s
JOIN (
    SELECT s.ctid AS place, count(*) OVER (PARTITION BY {columns}) AS copies FROM {staging} AS s
) AS counted ON counted.place = s.ctid
WHERE (counted.copies > 1 AND {may_not_repeat}) OR {refused}""").format(
        staging=STAGING,
        columns=_columns(key),
        column=", ".join(key.columns),
        may_not_repeat=_may_not_repeat(key),
        refused=refused,
    )
    return reject(mapping, faulty)


def _columns(key: UniqueKey) -> sql.Composed:
    return COMMA.join(sql.Identifier("s", name) for name in key.columns)


def _may_not_repeat(key: UniqueKey) -> sql.Composable:
    return sql.SQL("({}) IS NOT NULL").format(_columns(key)) if key.nulls_distinct else sql.SQL("TRUE")


def fill_lookup(mapping: TableMapping, lookup: Lookup) -> sql.Composed:
    """Fill a column from another table of the same office.

    Desktop-owned rows win, then the lowest value. Answers (rows filled, rows whose key has several answers).
    """
    scope = mapping.scope
    table = scope.table(lookup.table)
    match = table.required(lookup.match)
    value = sql.Identifier("p", table.required(lookup.answer).name)
    owned: sql.Composable = sql.SQL("TRUE")
    if table.column(OWNER):
        owned = sql.SQL("{}::text = {}").format(sql.Identifier("p", OWNER), DESKTOP)
    return sql.SQL("""\
WITH answer AS (
    SELECT {match} AS match,
        coalesce(min({value}) FILTER (WHERE {owned}), min({value})) AS value,
        min({value}) IS DISTINCT FROM max({value}) AS ambiguous
    FROM {table} AS p
    WHERE {in_office} AND {value} IS NOT NULL AND {match} IS NOT NULL
    GROUP BY {match}
), filled AS (
    UPDATE {staging} AS s SET {column} = a.value FROM answer AS a WHERE {same} RETURNING a.ambiguous
)
SELECT count(*), count(*) FILTER (WHERE ambiguous) FROM filled""").format(
        match=sql.Identifier("p", lookup.match),
        value=value,
        owned=owned,
        table=table.identifier,
        in_office=scope.holds(spec_named(scope.specs, lookup.table), "p"),
        staging=STAGING,
        column=sql.Identifier(lookup.column),
        same=equal(
            sql.Identifier("s", lookup.match),
            mapping.target.required(lookup.match),
            sql.Identifier("a", "match"),
            match,
        ),
    )


def rules(mapping: TableMapping) -> list[Rule]:
    """What makes a staged row unfit for the target, the first reason that holds first."""
    found = []
    if mapping.spec.strategy is Strategy.UPSERT:
        found += [
            Rule(reason="null_key", column=name, faulty=sql.SQL("{} IS NULL").format(sql.Identifier("s", name)))
            for name in mapping.spec.key
        ]
    for column in mapping.synced:
        if column.faithful is not None and column.raw is not None:
            unchanged = sql.SQL(column.faithful).format(
                value=sql.Identifier("s", column.name), raw=sql.Identifier("s", column.raw)
            )
            found.append(Rule(reason="altered", column=column.name, faulty=sql.SQL("({}) IS FALSE").format(unchanged)))
    looked_up = {lookup.column: lookup.table for lookup in mapping.spec.lookups}
    found += [
        Rule(
            reason="lookup" if column.name in looked_up else "not_null",
            column=column.name,
            parent=looked_up.get(column.name),
            faulty=sql.SQL("{} IS NULL").format(sql.Identifier("s", column.name)),
        )
        for column in mapping.staged
        if not column.nullable and column.name not in STAMPS
    ]
    staged = {column.name for column in mapping.staged} - set(STAMPS)
    found += [
        Rule(
            reason="check",
            column=", ".join(sorted(check.columns)) or None,
            parent=check.name,
            faulty=sql.SQL("({}) IS FALSE").format(sql.SQL(check.expression)),
        )
        for check in mapping.target.checks
        if check.columns <= staged
    ]
    declared = mapping.checked_references()
    found += [_declared(mapping, reference, place) for place, reference in enumerate(declared)]
    certain = {(r.column, r.parent, r.names) for r in declared if not r.zero_is_none}
    found += [
        _enforced(mapping, key, place)
        for place, key in enumerate(mapping.enforced_references(), start=len(declared))
        if not (len(key.columns) == 1 and (key.columns[0], key.parent[1], key.parent_columns[0]) in certain)
    ]
    found.append(
        Rule(
            reason="office",
            column=mapping.spec.office,
            faulty=sql.SQL("({}) IS NOT TRUE").format(mapping.in_office("s")),
        )
    )
    return found


def _declared(mapping: TableMapping, reference: Reference, place: int) -> Rule:
    """A reference of the spec: the parent must be there, in this office."""
    scope = mapping.scope
    table = scope.table(reference.parent)
    in_office = scope.holds(spec_named(scope.specs, reference.parent), "p")
    own = sql.Identifier("s", reference.column)
    there = sql.Identifier("p", reference.names)
    rows = sql.SQL("SELECT {} AS value FROM {} AS p WHERE {}").format(there, table.identifier, in_office)
    if reference.parent == mapping.spec.mobile and _is_staged(mapping, [reference.names]):
        rows = sql.SQL("{} UNION ALL SELECT {} FROM {} AS p").format(rows, there, STAGING)
    alias = f"ref:{place}"
    found = sql.Identifier(alias, f"{alias}:0")
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT r.value AS {name} FROM ({rows}) AS r) AS {alias} ON {same}").format(
        name=sql.Identifier(f"{alias}:0"),
        rows=rows,
        alias=sql.Identifier(alias),
        same=equal(found, table.required(reference.names), own, mapping.target.required(reference.column)),
    )
    faulty = sql.SQL("{own} IS NOT NULL AND {found} IS NULL").format(own=own, found=found)
    if reference.zero_is_none:
        number = mapping.target.required(reference.column).category == "N"
        zero = sql.SQL("{} <> 0" if number else "btrim({}::text) <> '0'").format(own)
        faulty = sql.SQL("{} AND {}").format(faulty, zero)
    return Rule(reason="reference", column=reference.column, parent=reference.parent, faulty=faulty, join=join)


def _enforced(mapping: TableMapping, key: ForeignKey, place: int) -> Rule:
    """A foreign key of the target: the parent must be there, in whatever office."""
    alias = f"ref:{place}"
    names = [f"{alias}:{n}" for n in range(len(key.columns))]
    there = COMMA.join(
        sql.SQL("{} AS {}").format(sql.Identifier("p", column), sql.Identifier(name))
        for column, name in zip(key.parent_columns, names, strict=True)
    )
    rows = sql.SQL("SELECT {} FROM {} AS p").format(there, sql.Identifier(*key.parent))
    if key.parent == (mapping.target.schema, mapping.target.name) and _is_staged(mapping, key.parent_columns):
        rows = sql.SQL("{} UNION ALL SELECT {} FROM {} AS p").format(rows, there, STAGING)
    own = [sql.Identifier("s", column) for column in key.columns]
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT * FROM ({rows}) AS r) AS {alias} ON {same}").format(
        rows=rows,
        alias=sql.Identifier(alias),
        same=AND.join(
            sql.SQL("{} = {}").format(sql.Identifier(alias, name), column)
            for name, column in zip(names, own, strict=True)
        ),
    )
    conditions = [sql.SQL("{} IS NOT NULL").format(column) for column in own]
    conditions.append(sql.SQL("{} IS NULL").format(sql.Identifier(alias, names[0])))
    return Rule(
        reason="reference", column=", ".join(key.columns), parent=key.parent[1], faulty=AND.join(conditions), join=join
    )


def _is_staged(mapping: TableMapping, names: Sequence[str]) -> bool:
    return {column.name for column in mapping.staged}.issuperset(names)


def reject_faulty(mapping: TableMapping, rules: Sequence[Rule]) -> sql.Composed:
    """Send every row to quarantine to which a rule applies; the first one is its reason."""
    verdict = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(rule.faulty, sql.Literal(n)) for n, rule in enumerate(rules)
    )
    faulty = sql.SQL("""\
SELECT judged.place, rule.reason, rule.column_name,
    (
        SELECT string_agg(judged.image ->> c.name, ', ' ORDER BY c.place)
        FROM unnest(string_to_array(rule.column_name, ', ')) WITH ORDINALITY AS c (name, place)
    ) AS value,
    rule.parent, NULL AS message
FROM (
    SELECT s.ctid AS place, {image} AS image, CASE {verdict} END AS rule
    FROM {staging} AS s
    {joins}
    WHERE {any_holds}
) AS judged
JOIN (VALUES {rules}) AS rule (n, reason, column_name, parent) ON rule.n = judged.rule""").format(
        image=_image(mapping.staged),
        verdict=verdict,
        staging=STAGING,
        joins=sql.SQL("\n    ").join(rule.join for rule in rules if rule.join is not None),
        any_holds=sql.SQL(" OR ").join(sql.SQL("({})").format(rule.faulty) for rule in rules),
        rules=COMMA.join(
            sql.SQL("({}, {}, {}::text, {}::text)").format(n, rule.reason, rule.column, rule.parent)
            for n, rule in enumerate(rules)
        ),
    )
    return reject(mapping, faulty)


def reject(mapping: TableMapping, faulty: sql.Composable) -> sql.Composed:
    """Move staged rows to quarantine; `faulty` selects (place, reason, column_name, value, parent, message).

    Their keys are held. Sensitive columns do not go along. The rows affected are those moved.
    """
    by_name = {column.name: column for column in mapping.synced}
    key = (
        sql.SQL("{}, {}::text").format(
            name,
            sql.Identifier("s", by_name[name].raw or name) if name in by_name else sql.Identifier("s", name),
        )
        for name in mapping.spec.key
    )
    values = [sql.Identifier("s", name) for name in mapping.spec.key]
    held = [sql.Identifier(f"f:key:{n}") for n in range(len(values))]
    hold: sql.Composable = sql.SQL("")
    if values:
        hold = sql.SQL(", hold AS (INSERT INTO {} ({}) SELECT {} FROM gone AS g)").format(
            HELD, COMMA.join(sql.Identifier(name) for name in mapping.spec.key), COMMA.join(held)
        )
    shown = [column for column in mapping.staged if column.name not in mapping.spec.sensitive]
    return sql.SQL("""\
WITH faulty AS MATERIALIZED (
{faulty}
), gone AS (
    DELETE FROM {staging} AS s
    USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, {value} AS "f:value", f.parent, {message} AS "f:message",
        jsonb_build_object({key}) AS "f:key", {image} AS "f:image"{held}
){hold}
INSERT INTO {rejected} (reason, column_name, value, parent, message, key, image)
SELECT g.reason, g.column_name, g."f:value", g.parent, g."f:message", g."f:key", g."f:image" FROM gone AS g""").format(
        faulty=faulty,
        staging=STAGING,
        value=_masked_value(mapping),
        message=_masked_message(mapping),
        key=COMMA.join(key),
        image=_image(shown),
        held=sql.SQL("").join(
            sql.SQL(", {} AS {}").format(value, name) for value, name in zip(values, held, strict=True)
        ),
        hold=hold,
        rejected=REJECTED,
    )


def _image(columns: Sequence[Column]) -> sql.Composed:
    """The staged row `s` as jsonb, each value in its text form, as COPY gives it too."""
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in columns],
        COMMA.join(sql.SQL("{}::text").format(sql.Identifier("s", column.name)) for column in columns),
    )


def _masked_value(mapping: TableMapping) -> sql.Composed:
    return sql.SQL("CASE WHEN string_to_array(f.column_name, ', ') && {}::text[] THEN '***' ELSE f.value END").format(
        sorted(mapping.spec.sensitive)
    )


def _masked_message(mapping: TableMapping) -> sql.Composed:
    """The database's words, in which a trigger may have quoted anything."""
    message = sql.SQL("f.message").format()
    for column in mapping.staged:
        if column.name in mapping.spec.sensitive:
            value = sql.SQL("coalesce(nullif({}::text, ''), '***')").format(sql.Identifier("s", column.name))
            message = sql.SQL("replace({}, {}, '***')").format(message, value)
    return message


def summarize_rejected() -> sql.Composed:
    """Counts by reason, column and parent, most first."""
    return sql.SQL("""\
SELECT reason, column_name, parent, count(*)
FROM {} GROUP BY reason, column_name, parent ORDER BY count(*) DESC, reason, column_name, parent""").format(REJECTED)


def sample_rejected() -> sql.Composed:
    """The first rejected rows, `%s` of each reason, column and parent, so that no reason hides another."""
    return sql.SQL("""\
SELECT reason, column_name, value, parent, message, key
FROM (
    SELECT *, row_number() OVER (PARTITION BY reason, column_name, parent ORDER BY key::text) AS n FROM {}
) AS numbered
WHERE n <= %s
ORDER BY reason, column_name, parent, key::text""").format(REJECTED)


def count_missed(lookup: Lookup) -> sql.Composed:
    """How many staged rows have something to look by and found nothing."""
    return sql.SQL("SELECT count(*) FROM {} AS s WHERE {} IS NOT NULL AND {} IS NULL").format(
        STAGING, sql.Identifier("s", lookup.match), sql.Identifier("s", lookup.column)
    )
