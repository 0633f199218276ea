"""Statements of a differential transfer: digests by prefix of the key, and the rows that need not travel."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine import canonical
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.statements.fragments import COMMA, STAGING, is_ours
from powerca_sync.engine.statements.plan import counts_by_owner
from powerca_sync.engine.statements.references import leads_nowhere
from powerca_sync.engine.statements.verify import Side
from powerca_sync.tables import spec_named

#: Hexadecimal digits of a digest that are added up, as one 64-bit number.
_HALF = 16


def has_pulled_rows() -> sql.SQL:
    """Whether the ledger at the source has any entry of the table `%s`."""
    return sql.SQL("SELECT EXISTS (SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %s)")


def digests(side: Side, digits: int, within: Sequence[str] | None, before: int) -> sql.Composed:
    """Answers (prefix, rows, the desktop's own rows and their digest); prefixes are the key's digest's first digits.

    `within` limits them to those that begin with given prefixes of `before` digits. Sums, because two equal rows would
    cancel out in an exclusive or; hashed once more, because a sum has more digits than it takes to tell two apart. Each
    row's digests are made once.
    """
    limits: sql.Composable = sql.SQL("TRUE")
    if within is not None:
        limits = sql.SQL("left(k.key, {}) = ANY ({}::text[])").format(before, list(within))
    first, second = (
        sql.SQL("coalesce(sum(('x' || substr(d.content, {}, {}))::bit(64)::bigint) FILTER (WHERE d.own), 0)").format(
            start, _HALF
        )
        for start in (1, _HALF + 1)
    )
    return sql.SQL("""\
SELECT left(d.key, {digits}), count(*), count(*) FILTER (WHERE d.own),
    left(md5(concat_ws(' ', count(*) FILTER (WHERE d.own), {first}, {second})), 16)
FROM (
    SELECT k.key, CASE WHEN {own} THEN {content} END AS content, {own} AS own
    FROM {rows}
    CROSS JOIN LATERAL (SELECT {key} AS key OFFSET 0) AS k
    WHERE {where} AND {limits}
    OFFSET 0
) AS d
GROUP BY 1""").format(
        digits=digits,
        first=first,
        second=second,
        own=side.summed,
        content=side.digest(side.content()),
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
    texts = [canonical.pack(one.get(name) for name in key).decode() for one in keys]
    own = canonical.packed(canonical.source_text(sql.Identifier(alias, name)) for name in key)
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
INSERT INTO {staging} ({names}{asides})
SELECT {values}{nothing}
FROM {target} AS t
WHERE {is_ours} AND NOT ({differs})""").format(
        staging=STAGING,
        names=COMMA.join(map(sql.Identifier, names)),
        asides=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(aside.name)) for aside in mapping.asides),
        values=COMMA.join(sql.Identifier("t", name) for name in names),
        nothing=sql.SQL("").join(sql.SQL(", FALSE") for _ in mapping.asides),
        target=mapping.target.identifier,
        is_ours=is_ours(mapping, "t"),
        differs=differs,
    )


def count_standing(mapping: TableMapping) -> sql.Composed:
    """The counts of `plan.count_rows`, and the desktop's own rows of which a reference leads nowhere now."""
    scope = mapping.scope
    nowhere = [
        leads_nowhere(
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
