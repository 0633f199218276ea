"""Statements of a differential transfer: digests by prefix of the key, and the rows that are not sent."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.digests import Side, pack, packed, source_text
from powerca_sync.engine.forward.plan_sql import counts_by_owner
from powerca_sync.engine.mapping import ACTIONS, AND, COMMA, NOT_ENDED, STAGING, TableMapping, is_ours
from powerca_sync.engine.staging import has_dangling_reference, phone_rows_sql
from powerca_sync.specs import spec_named

#: Octets of a prefix's digest, which are twelve characters in base64.
DIGEST_OCTETS = 9


def has_pulled_rows() -> sql.Composed:
    """Returns a query whether the source's ledger has any current entry of the table `%s`."""
    return sql.SQL("SELECT EXISTS (SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %s AND {})").format(
        NOT_ENDED
    )


def has_pulled() -> sql.Composed:
    """Returns a query whether the source's ledger has a current entry of table `%s` with a mobile key of `%s`."""
    return sql.SQL("""\
SELECT EXISTS (
    SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %s AND l.mobile_key = ANY (%s::text[]) AND {}
)""").format(NOT_ENDED)


def planned_keys(mapping: TableMapping) -> sql.Composed:
    """Select the primary keys, as the ledger stores them, of the target's rows to update or delete."""
    return sql.SQL("""\
SELECT {key}
FROM {actions} AS a
JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action IN ('update', 'delete')""").format(
        key=phone_rows_sql.primary_key(mapping.target, "t"), actions=ACTIONS, target=mapping.target.identifier
    )


def digests(
    side: Side,
    digits: int,
    within: Sequence[str] | None,
    before: int,
    *,
    images: Side | None = None,
    taken_over: sql.Composable | None = None,
    with_owned: bool = False,
) -> sql.Composed:
    """Select (prefix, rows, desktop-owned rows, their digest) by the first `digits` digits of the key's digest.

    The digest of a prefix is the hash of sums, because equal rows would cancel out in an exclusive or.

    Args:
        within: Limits the prefixes to those that begin with one of these, which have `before` digits each.
        before: See `within`.
        images: The ledger images; a row that pairs with one is an echo.
        taken_over: Condition on rows that are not desktop-owned and count as a difference in any case.
        with_owned: Include mobile-owned columns.
    """
    limits: sql.Composable = sql.SQL("TRUE")
    if within is not None:
        limits = side.has_prefix(side.key_digest(), within, before)
    if images is None:
        rows = _one_by_one(side, limits, taken_over, with_owned=with_owned)
    else:
        rows = _without_echo(side, images, limits, with_owned=with_owned)
    # A product with 0 or 1 fits into 64 bits; numeric takes longer.
    times = sql.SQL("d.own" if images is None else "d.own::numeric")
    sums = (sql.SQL("coalesce(sum({} * {}), 0)").format(times, number) for number in side.numbers(sql.SQL("d.content")))
    return sql.SQL("""\
SELECT {text} AS prefix, g.rows, g.own, g.digest
FROM (
    SELECT {prefix} AS prefix, sum(d.rows)::bigint AS rows, sum(d.own)::bigint AS own,
        encode(substr(decode(md5(concat_ws(' ', sum(d.own), {sums})), 'hex'), 1, {octets}), 'base64') AS digest
    FROM (
{rows}
    ) AS d
    GROUP BY 1
) AS g""").format(
        text=side.prefix_text(sql.SQL("g.prefix"), digits),
        prefix=side.prefix(sql.SQL("d.key"), digits),
        sums=COMMA.join(sums),
        octets=DIGEST_OCTETS,
        rows=rows,
    )


def in_one_text(digests: sql.Composed) -> sql.Composed:
    """Concatenate prefixes and digests into one text, which has a third of the size of separate rows."""
    return sql.SQL("SELECT coalesce(string_agg(c.prefix || c.digest, ''), '') FROM (\n{}\n) AS c").format(digests)


def _one_by_one(
    side: Side, limits: sql.Composable, taken_over: sql.Composable | None, *, with_owned: bool
) -> sql.Composed:
    own = sql.SQL("({})::int").format(side.summed)
    if taken_over is not None:
        own = sql.SQL("CASE WHEN {} THEN 1 WHEN {} THEN -1 ELSE 0 END").format(side.summed, taken_over)
    return sql.SQL("""\
    SELECT {key} AS key, CASE WHEN {own} THEN {content} END AS content, 1 AS rows, {counted} AS own
    FROM {rows}
    WHERE {where} AND {limits}
    OFFSET 0""").format(
        own=side.summed,
        counted=own,
        content=side.content_digest(with_owned=with_owned),
        rows=side.rows,
        key=side.key_digest(),
        where=side.where,
        limits=limits,
    )


def _without_echo(side: Side, images: Side, limits: sql.Composable, *, with_owned: bool) -> sql.Composed:
    """Select the rows; those that pair with an image, as in `echo_sql.skip_echo`, do not count as desktop-owned."""
    return sql.SQL("""\
    SELECT n.key, n.content, n.rows, greatest(n.own - n.images, 0) AS own
    FROM (
        SELECT e.key, e.content, count(*) FILTER (WHERE e.is_row) AS rows,
            count(*) FILTER (WHERE e.own AND e.is_row) AS own,
            count(*) FILTER (WHERE e.own AND NOT e.is_row) AS images
        FROM (
{rows}
    UNION ALL
{images}
        ) AS e
        GROUP BY e.key, e.content, e.owned
    ) AS n""").format(
        rows=_whole(side, limits, is_row=True, with_owned=with_owned),
        images=_whole(images, limits, is_row=False, with_owned=with_owned),
    )


def _whole(side: Side, limits: sql.Composable, *, is_row: bool, with_owned: bool) -> sql.Composed:
    """Select rows with the digests of all columns, mobile-owned ones separately."""
    return sql.SQL("""\
    (
        SELECT {key} AS key, {content} AS content, {owned} AS owned, {own} AS own, {is_row} AS is_row
        FROM {rows}
        WHERE {where} AND {limits}
    )""").format(
        content=side.content_digest(with_owned=with_owned),
        owned=side.owned_digest(),
        own=side.summed,
        is_row=is_row,
        rows=side.rows,
        key=side.key_digest(),
        where=side.where,
        limits=limits,
    )


def having_keys(alias: str, key: Sequence[str], keys: Sequence[Mapping[str, str | None]]) -> sql.Composable:
    """Returns a condition on a row: it has one of the keys, given as column to text; NULL equals NULL."""
    if not (key and keys):
        return sql.SQL("FALSE")
    # PostgreSQL hashes an array.
    texts = [pack(one.get(name) for name in key).decode() for one in keys]
    own = packed(source_text(sql.Identifier(alias, name)) for name in key)
    # Most rows are ruled out by a single column, so that no text of their whole key is made.
    columns = [(sql.Identifier(alias, name), {one.get(name) for one in keys}) for name in key]
    columns.sort(key=lambda column: len(column[1]))
    may_have = (
        sql.SQL('coalesce({}::text COLLATE "C" = ANY ({}::text[]), {})').format(
            column, [value for value in values if value is not None], None in values
        )
        for column, values in columns
    )
    return sql.SQL("({} AND {} = ANY ({}::text[]))").format(AND.join(may_have), own, texts)


def having_prefixes(side: Side, prefixes: Sequence[str]) -> sql.Composable:
    """Returns a condition on a row: its key's digest begins with one of the prefixes, which have one length."""
    if not prefixes:
        return sql.SQL("FALSE")
    return side.has_prefix(side.key_digest(), prefixes, len(prefixes[0]))


def fill_staging(mapping: TableMapping, differs: sql.Composable) -> sql.Composed:
    """Copy the target's desktop-owned rows that do not differ into staging. The row count is their number."""
    names = [column.name for column in mapping.synced]
    return sql.SQL("""\
INSERT INTO {staging} ({names}{extra_columns})
SELECT {values}{nothing}
FROM {target} AS t
WHERE {is_ours} AND NOT ({differs})""").format(
        staging=STAGING,
        names=COMMA.join(map(sql.Identifier, names)),
        extra_columns=sql.SQL("").join(
            sql.SQL(", {}").format(sql.Identifier(extra.name)) for extra in mapping.extra_columns
        ),
        values=COMMA.join(sql.Identifier("t", name) for name in names),
        nothing=sql.SQL("").join(sql.SQL(", FALSE") for _ in mapping.extra_columns),
        target=mapping.target.identifier,
        is_ours=is_ours(mapping, "t"),
        differs=differs,
    )


def count_target_rows(mapping: TableMapping) -> sql.Composed:
    """Select the counts of `plan_sql.count_rows`, and the number of desktop-owned rows with a dangling reference."""
    scope = mapping.scope
    dangling = [
        has_dangling_reference(
            reference,
            mapping.target,
            scope.table(reference.parent),
            alias="t",
            among=scope.holds(spec_named(scope.specs, reference.parent), "p"),
        )
        for reference in mapping.checked_references()
    ]
    return sql.SQL("""\
SELECT {counts}, count(*) FILTER (WHERE {owner} = 'D' AND ({dangling}))
FROM {target} AS t
WHERE {ours}""").format(
        counts=COMMA.join(counts_by_owner(mapping)),
        owner=mapping.owner("t"),
        dangling=sql.SQL(" OR ").join([*dangling, sql.SQL("FALSE")]),
        target=mapping.target.identifier,
        ours=mapping.counts("t"),
    )
