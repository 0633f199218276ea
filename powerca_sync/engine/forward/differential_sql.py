"""Statements of a differential transfer: digests by prefix of the key, and the rows that need not travel."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.digests import Side, pack, packed, source_text
from powerca_sync.engine.forward.plan_sql import counts_by_owner
from powerca_sync.engine.mapping import ACTIONS, COMMA, NOT_ENDED, STAGING, TableMapping, is_ours
from powerca_sync.engine.staging import has_dangling_reference, phone_rows_sql
from powerca_sync.tables import spec_named

#: Hexadecimal digits of a digest that are added up, as one 64-bit number.
_HALF = 16
#: Of a prefix' digest; in base64 they are twelve characters.
DIGEST_OCTETS = 9


def has_pulled_rows() -> sql.Composed:
    """Whether the ledger at the source has any entry of the table `%s` that has not ended."""
    return sql.SQL("SELECT EXISTS (SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %s AND {})").format(
        NOT_ENDED
    )


def has_pulled() -> sql.Composed:
    """Whether the ledger at the source has an entry of the table `%s` with one of the mobile primary keys `%s`."""
    return sql.SQL("""\
SELECT EXISTS (
    SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %s AND l.mobile_key = ANY (%s::text[]) AND {}
)""").format(NOT_ENDED)


def planned_keys(mapping: TableMapping) -> sql.Composed:
    """The primary keys, as the ledger has them, of the target's rows that are to be updated or deleted."""
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
    doubtful: sql.Composable | None = None,
    with_owned: bool = False,
) -> sql.Composed:
    """Answers (prefix, rows, the desktop's own rows and their digest); prefixes are the key's digest's first digits.

    `within` limits them to those that begin with given prefixes of `before` digits. Sums, because two equal rows would
    cancel out in an exclusive or; hashed once more, because a sum has more digits than it takes to tell two apart. Each
    row's digests are made once. With `images` of reverse-synced rows, a row that pairs with one is an echo. A
    `doubtful` row that is not the desktop's own is a difference whatever the other side has. Columns that mobile owns
    are left out unless `with_owned`.
    """
    limits: sql.Composable = sql.SQL("TRUE")
    if within is not None:
        limits = sql.SQL("left(k.key, {}) = ANY ({}::text[])").format(before, list(within))
    if images is None:
        rows = _one_by_one(side, limits, doubtful, with_owned=with_owned)
    else:
        rows = _without_echo(side, images, limits, with_owned=with_owned)
    # A product of two numbers of 64 bits may be longer; that with 0 or 1 is not, and is made faster.
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
    """The prefixes and digests one after the other: rows of their own would be three times as long on the line."""
    return sql.SQL("SELECT coalesce(string_agg(c.prefix || c.digest, ''), '') FROM (\n{}\n) AS c").format(digests)


def _one_by_one(
    side: Side, limits: sql.Composable, doubtful: sql.Composable | None, *, with_owned: bool
) -> sql.Composed:
    own = sql.SQL("({})::int").format(side.summed)
    if doubtful is not None:
        own = sql.SQL("CASE WHEN {} THEN 1 WHEN {} THEN -1 ELSE 0 END").format(side.summed, doubtful)
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
    """Rows and images pair as multisets, as in `echo.skip_echo`."""
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
    """Rows with all that is told of them, also what phones own."""
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
    """A condition on a row: it has one of the keys, given as column to text; NULL is found too."""
    if not (key and keys):
        return sql.SQL("FALSE")
    # An array, because PostgreSQL hashes it.
    texts = [pack(one.get(name) for name in key).decode() for one in keys]
    own = packed(source_text(sql.Identifier(alias, name)) for name in key)
    return sql.SQL("{} = ANY ({}::text[])").format(own, texts)


def having_prefixes(side: Side, prefixes: Sequence[str]) -> sql.Composable:
    """A condition on a row of the side: its key's digest begins with one of the prefixes, all of one length."""
    if not prefixes:
        return sql.SQL("FALSE")
    digits = len(prefixes[0])
    return sql.SQL("left({}, {}) = ANY ({}::text[])").format(side.key_digest(), digits, list(prefixes))


def fill_staging(mapping: TableMapping, differs: sql.Composable) -> sql.Composed:
    """Put the target's own rows into staging that are equal at the source. The rows affected are those."""
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


def count_standing(mapping: TableMapping) -> sql.Composed:
    """The counts of `plan.count_rows`, and the desktop's own rows of which a reference leads nowhere now."""
    scope = mapping.scope
    nowhere = [
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
SELECT {counts}, count(*) FILTER (WHERE {owner} = 'D' AND ({nowhere}))
FROM {target} AS t
WHERE {in_office}""").format(
        counts=COMMA.join(counts_by_owner(mapping)),
        owner=mapping.owner("t"),
        nowhere=sql.SQL(" OR ").join([*nowhere, sql.SQL("FALSE")]),
        target=mapping.target.identifier,
        in_office=mapping.in_office("t"),
    )
