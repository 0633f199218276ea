"""Statements of a differential transfer: digests by prefix of the key, and the rows that are not sent."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.digests import Side, pack, packed, source_text
from powerca_sync.engine.forward.plan_sql import counts_by_owner
from powerca_sync.engine.mapping import ACTIONS, COMMA, NOT_ENDED, STAGING, TableMapping, is_ours
from powerca_sync.engine.staging import has_dangling_reference, phone_rows_sql
from powerca_sync.specs import spec_named

#: Hexadecimal digits of a row's digest that are summed as one 64-bit number.
_HALF = 16
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
        limits = sql.SQL("left(k.key, {}) = ANY ({}::text[])").format(before, list(within))
    if images is None:
        rows = _one_by_one(side, limits, taken_over, with_owned=with_owned)
    else:
        rows = _without_echo(side, images, limits, with_owned=with_owned)
    # A product with 0 or 1 fits into 64 bits; numeric takes longer.
    times = sql.SQL("d.own" if images is None else "d.own::numeric")
    sums = (
        sql.SQL("coalesce(sum({} * ('x' || substr(d.content, {}, {}))::bit(64)::bigint), 0)").format(
            times, start, _HALF
        )
        for start in (1, _HALF + 1)
    )
    return sql.SQL("""\
SELECT left(d.key, {digits}) AS prefix, sum(d.rows)::bigint, sum(d.own)::bigint,
    encode(substr(decode(md5(concat_ws(' ', sum(d.own), {sums})), 'hex'), 1, {octets}), 'base64') AS digest
FROM (
{rows}
) AS d
GROUP BY 1""").format(digits=digits, sums=COMMA.join(sums), octets=DIGEST_OCTETS, rows=rows)


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
    SELECT k.key, CASE WHEN {own} THEN {content} END AS content, 1 AS rows, {counted} AS own
    FROM {rows}
    CROSS JOIN LATERAL (SELECT {key} AS key OFFSET 0) AS k
    WHERE {where} AND {limits}
    OFFSET 0""").format(
        own=side.summed,
        counted=own,
        content=side.digest(side.whole() if with_owned else side.content()),
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
        SELECT k.key, {content} AS content, {owned} AS owned, {own} AS own, {is_row} AS is_row
        FROM {rows}
        CROSS JOIN LATERAL (SELECT {key} AS key OFFSET 0) AS k
        WHERE {where} AND {limits}
    )""").format(
        content=side.digest(side.whole() if with_owned else side.content()),
        owned=side.digest(packed(side.owned.values())) if side.owned else sql.SQL("NULL"),
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
    return sql.SQL("{} = ANY ({}::text[])").format(own, texts)


def having_prefixes(side: Side, prefixes: Sequence[str]) -> sql.Composable:
    """Returns a condition on a row: its key's digest begins with one of the prefixes, which have one length."""
    if not prefixes:
        return sql.SQL("FALSE")
    digits = len(prefixes[0])
    return sql.SQL("left({}, {}) = ANY ({}::text[])").format(side.key_digest(), digits, list(prefixes))


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
WHERE {in_office}""").format(
        counts=COMMA.join(counts_by_owner(mapping)),
        owner=mapping.owner("t"),
        dangling=sql.SQL(" OR ").join([*dangling, sql.SQL("FALSE")]),
        target=mapping.target.identifier,
        in_office=mapping.in_office("t"),
    )
