"""Statements that move rows from staging to quarantine, and count them."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, HELD, REJECTED, STAGING, TableMapping, shown_image_of
from powerca_sync.engine.postgres import Column
from powerca_sync.engine.staging.phone_rows_sql import HASH, KEY, OCCURRENCE
from powerca_sync.engine.staging.rules_sql import FOREIGN_PARENT, QUARANTINED_PARENT, Rule


def insert_rejected() -> sql.Composed:
    """Quarantine a row that was not staged. Parameters: reason, value, parent, message, key and image."""
    return sql.SQL(
        "INSERT INTO {} (reason, value, parent, message, key, image) VALUES (%s, %s, %s, %s, %s, %s)"
    ).format(REJECTED)


def reject_faulty(mapping: TableMapping, rules: Sequence[Rule]) -> sql.Composed:
    """Quarantine every staged row that breaks a rule; the first broken rule is the reason."""
    return reject(mapping, _faulty(mapping, rules))


def defer(mapping: TableMapping, rule: Rule, column: Column) -> sql.Composed:
    """Set the column of every staged row that breaks the rule to NULL, and add a quarantine entry for the row.

    The row stays in staging; the entry makes the next run read it again.
    """
    return _record(
        mapping,
        _faulty(mapping, [rule]),
        taken=sql.SQL("UPDATE {} AS s SET {} = NULL FROM faulty AS f").format(STAGING, sql.Identifier(column.name)),
        hold=False,
    )


def _faulty(mapping: TableMapping, rules: Sequence[Rule]) -> sql.Composed:
    """Select the staged rows that break a rule, in the form that `reject` takes."""
    verdict = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(rule.faulty, sql.Literal(n)) for n, rule in enumerate(rules)
    )
    return sql.SQL("""\
SELECT judged.place, {reason} AS reason, rule.column_name,
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
        reason=_reason(rules),
        image=shown_image_of(mapping.staged, "s"),
        verdict=verdict,
        staging=STAGING,
        joins=sql.SQL("\n    ").join(rule.join for rule in rules if rule.join is not None),
        any_holds=sql.SQL(" OR ").join(sql.SQL("({})").format(rule.faulty) for rule in rules),
        rules=COMMA.join(
            sql.SQL("({}, {}, {}::text, {}::text)").format(n, rule.reason, rule.column, rule.parent)
            for n, rule in enumerate(rules)
        ),
    )


def _reason(rules: Sequence[Rule]) -> sql.Composable:
    """The reason of a judged row: that of the rule, unless another office has the parent, or it is quarantined."""
    parents = [
        sql.SQL("WHEN judged.rule = {} AND {} THEN {}").format(n, rule.foreign, FOREIGN_PARENT)
        for n, rule in enumerate(rules)
        if rule.foreign is not None
    ]
    parents += [
        sql.SQL("WHEN judged.rule = {} AND judged.image ->> {} IN ({}) THEN {}").format(
            n, rule.column, rule.quarantined, QUARANTINED_PARENT
        )
        for n, rule in enumerate(rules)
        if rule.quarantined is not None
    ]
    if not parents:
        return sql.SQL("rule.reason")
    return sql.SQL("CASE {} ELSE rule.reason END").format(sql.SQL(" ").join(parents))


def reject(mapping: TableMapping, faulty: sql.Composable) -> sql.Composed:
    """Move staged rows to quarantine; `faulty` selects (place, reason, column_name, value, parent, message).

    Their target rows are retained. Sensitive columns are left out. The row count is the number of rows moved.
    """
    taken = sql.SQL("DELETE FROM {} AS s USING faulty AS f").format(STAGING)
    return _record(mapping, faulty, taken=taken, hold=True)


def _record(mapping: TableMapping, faulty: sql.Composable, *, taken: sql.Composable, hold: bool) -> sql.Composed:
    """Add an entry for each `faulty` row that the statement `taken` affects; `hold` retains its target row."""
    values = [sql.Identifier("s", name) for name in mapping.key_names]
    held = [sql.Identifier(f"f:key:{n}") for n in range(len(values))]
    retain: sql.Composable = sql.SQL("")
    if values and hold:
        retain = sql.SQL(", retained AS (INSERT INTO {} ({}) SELECT {} FROM removed AS r)").format(
            HELD, COMMA.join(sql.Identifier(name) for name in mapping.key_names), COMMA.join(held)
        )
    shown = [column for column in mapping.staged if column.name not in mapping.spec.sensitive]
    return sql.SQL("""\
WITH faulty AS MATERIALIZED (
{faulty}
), removed AS (
    {taken}
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, {value} AS "f:value", f.parent, {message} AS "f:message",
        {key} AS "f:key", {image} AS "f:image"{held}
){retain}
INSERT INTO {rejected} (reason, column_name, value, parent, message, key, image)
SELECT r.reason, r.column_name, r."f:value", r.parent, r."f:message", r."f:key", r."f:image"
FROM removed AS r""").format(
        faulty=faulty,
        taken=taken,
        value=_masked_value(mapping),
        message=_masked_message(mapping),
        key=entry_key(mapping),
        image=shown_image_of(shown, "s"),
        held=sql.SQL("").join(
            sql.SQL(", {} AS {}").format(value, name) for value, name in zip(values, held, strict=True)
        ),
        retain=retain,
        rejected=REJECTED,
    )


def entry_key(mapping: TableMapping) -> sql.Composed:
    """Returns the key of a quarantine entry for the staged row `s`: column to the source's own text."""
    by_name = {column.name: column for column in mapping.synced}
    staged = [by_name[name].source_text or name if name in by_name else name for name in mapping.key_names]
    names = [*mapping.key_names, *(extra.name for extra in mapping.extra_columns if extra.identifies)]
    staged += names[len(staged) :]
    pairs = (
        sql.SQL("{}, {}::text").format(name, sql.Identifier("s", column))
        for name, column in zip(names, staged, strict=True)
    )
    return sql.SQL("jsonb_build_object({})").format(COMMA.join(pairs))


def _masked_value(mapping: TableMapping) -> sql.Composed:
    return sql.SQL("CASE WHEN string_to_array(f.column_name, ', ') && {}::text[] THEN '***' ELSE f.value END").format(
        sorted(mapping.spec.sensitive)
    )


def _masked_message(mapping: TableMapping) -> sql.Composed:
    """The database's message, masked because a trigger may quote any value."""
    message = sql.SQL("f.message").format()
    for column in mapping.staged:
        if column.name in mapping.spec.sensitive:
            value = sql.SQL("coalesce(nullif({}::text, ''), '***')").format(sql.Identifier("s", column.name))
            message = sql.SQL("replace({}, {}, '***')").format(message, value)
    return message


def summarize_rejected() -> sql.Composed:
    """Count the rejected rows by reason, column, parent and the database's message, most frequent first."""
    return sql.SQL("""\
SELECT reason, column_name, parent, {words} AS message, count(*)
FROM {rejected} GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC, 1, 2, 3, 4""").format(
        words=sql.SQL("CASE reason WHEN 'refused' THEN left(message, 200) END"), rejected=REJECTED
    )


def sample_rejected() -> sql.Composed:
    """Select the first `%s` rejected rows of each reason, column and parent, with keys that people can search for."""
    return sql.SQL("""\
SELECT reason, column_name, value, parent, message, (key - ARRAY[{key}, {hash}, {occurrence}])
    || CASE WHEN key ->> {key} <> key ->> {hash} THEN jsonb_build_object('mobile key', key ->> {key}) ELSE '{{}}' END
FROM (
    SELECT *, row_number() OVER (PARTITION BY reason, column_name, parent ORDER BY key::text) AS n
    FROM {rejected}
) AS numbered
WHERE n <= %s
ORDER BY reason, column_name, parent, key::text""").format(rejected=REJECTED, key=KEY, hash=HASH, occurrence=OCCURRENCE)
