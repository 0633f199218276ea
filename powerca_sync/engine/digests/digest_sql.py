"""Statements that compare two tables by digests: of buckets, of rows, and at last the rows that differ."""

import dataclasses
from collections.abc import Callable, Collection, Sequence

from psycopg import sql

from powerca_sync.engine.digests.canonical_text import Encoder, at_source, at_target, packed
from powerca_sync.engine.mapping import (
    ACTIONS,
    AND,
    COMMA,
    REJECTED,
    SHOWN,
    TableMapping,
    array_literal,
    equality,
    is_ours,
)
from powerca_sync.engine.postgres import ForeignKey
from powerca_sync.engine.staging import answers
from powerca_sync.tables import Lookup

#: Hexadecimal digits of a key's digest that make its bucket.
BUCKET_DIGITS = 3
#: The two halves of a row's digest that are added up, as hexadecimal digits.
_HALF = 16


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What finds some rows, and few others."""

    buckets: tuple[str, ...]
    #: Digests of contents.
    contents: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One end of a comparison: where its rows are, and the texts by which they are compared."""

    #: A FROM item with the alias that all else uses.
    rows: sql.Composable
    #: Which of them are looked at.
    where: sql.Composable
    #: Which of those are the desktop's own, and make up the sums.
    summed: sql.Composable
    #: Canonical texts by column: the key, the rest, and what is only counted where it differs.
    key: dict[str, sql.Composable]
    rest: dict[str, sql.Composable]
    owned: dict[str, sql.Composable]
    utf8: Encoder
    #: What else is asked of each row, in order; the other side need not have the same.
    notes: tuple[sql.Composable, ...] = ()
    #: Bytes of what is compared, if they may be many, and the limit above which no text is made of it.
    size: sql.Composable | None = None
    key_size: sql.Composable | None = None
    owned_size: sql.Composable | None = None
    limit: int = 0

    def digest(self, text: sql.Composable) -> sql.Composed:
        """The digest of a text, as hexadecimal digits."""
        return sql.SQL("encode(sha256({}), 'hex')").format(self.utf8(text))

    def content(self) -> sql.Composable:
        """The text of a whole row, as far as it is compared; of a row over the limit, that of its key and size."""
        if not self.key:
            return self.key_text()
        text = packed([*self.key.values(), *self.rest.values()])
        return self._within(text, self.size, lambda size: packed([self.key_text(), size]))

    def key_text(self) -> sql.Composable:
        """The text by which rows belong together; without a key, that of the whole row."""
        if not self.key:
            return self._within(packed(self.rest.values()), self.size, lambda size: packed([size]))
        return self._within(packed(self.key.values()), self.key_size, lambda size: packed([size]))

    def owned_text(self) -> sql.Composable:
        """The text of what phones own."""
        return self._within(packed(self.owned.values()), self.owned_size, lambda size: packed([size]))

    def _within(
        self,
        text: sql.Composable,
        size: sql.Composable | None,
        otherwise: Callable[[sql.Composable], sql.Composable],
    ) -> sql.Composable:
        if size is None:
            return text
        size_text = sql.SQL("{}::text").format(size)
        return sql.SQL("CASE WHEN {} <= {} THEN {} ELSE {} END").format(size, self.limit, text, otherwise(size_text))

    def key_digest(self) -> sql.Composed:
        """The digest by which rows belong together; without a key, rows of one content do."""
        return self.digest(self.key_text())

    def shown(self, column: str, text: sql.Composable, *, hidden: bool) -> sql.Composable:
        """A value's text for people, or its digest if it is `hidden`; a long one is cut, and followed by its digest."""
        if hidden:
            value: sql.Composable = self.digest(text)
        else:
            value = sql.SQL("""\
(
    SELECT left(v.text, {most}) || CASE WHEN length(v.text) > {most} THEN '... (md5 ' || md5(v.text) || ')' ELSE '' END
    FROM (SELECT {text} AS text OFFSET 0) AS v
)""").format(text=text, most=SHOWN)
        return self._within(
            value,
            self.key_size if column in self.key else self.size,
            lambda size: sql.SQL("{} || ' bytes'").format(size),
        )

    def opened(self, buckets: Sequence[str], *, where: sql.Composable | None = None) -> sql.Composed:
        """FROM and WHERE for the rows of those buckets; `k.key` is the key's digest.

        No other digest is made of rows that are not wanted.
        """
        return sql.SQL("""\
    FROM {rows}
    CROSS JOIN LATERAL (SELECT {key} AS key OFFSET 0) AS k
    WHERE {where} AND left(k.key, {digits}) = ANY ({buckets}::text[])
    OFFSET 0""").format(
            rows=self.rows,
            key=self.key_digest(),
            where=where or self.where,
            digits=BUCKET_DIGITS,
            buckets=list(buckets),
        )


def bucket_sums(side: Side) -> sql.Composed:
    """Answers (bucket, rows, of them the desktop's own, three checksums of those); buckets go by the key.

    Two checksums for the halves of the content's digest, one for what phones own. Sums, because two equal rows would
    cancel out in an exclusive or. OFFSET 0 has each digest made once for a row.
    """
    # Few tables have columns of the phones' own; for the others nothing is hashed.
    owned = side.digest(sql.SQL("x.key || x.owned")) if side.owned else sql.SQL("NULL")
    halves = [("content", 1), ("content", _HALF + 1), ("owned", 1)]
    return sql.SQL("""\
SELECT left(d.key, {digits}), count(*), count(*) FILTER (WHERE d.own), {sums}
FROM (
    SELECT {key} AS key, {content} AS content, {owned} AS owned, x.own
    FROM (
        SELECT {key_text} AS key, {content_text} AS content, {owned_text} AS owned, {own} AS own
        FROM {rows}
        WHERE {where}
        OFFSET 0
    ) AS x
    OFFSET 0
) AS d
GROUP BY 1""").format(
        digits=BUCKET_DIGITS,
        sums=COMMA.join(
            sql.SQL("coalesce(sum(('x' || substr({}, {}, {}))::bit(64)::bigint) FILTER (WHERE d.own), 0)::text").format(
                sql.Identifier("d", digest), start, _HALF
            )
            for digest, start in halves
        ),
        key=side.digest(sql.SQL("x.key")),
        content=side.digest(sql.SQL("x.content")),
        owned=owned,
        key_text=side.key_text(),
        content_text=side.content(),
        owned_text=side.owned_text(),
        own=side.summed,
        rows=side.rows,
        where=side.where,
    )


def row_digests(side: Side, buckets: Sequence[str]) -> sql.Composed:
    """The rows of those buckets, as (key, content, owned, notes ...)."""
    owned = side.digest(sql.SQL("x.owned")) if side.owned else sql.SQL("''")
    names = [sql.Identifier(f"note:{n}") for n in range(len(side.notes))]
    return sql.SQL("""\
SELECT left(x.key, {digits}), left({content}, {digits}), left({owned}, {digits}){names}
FROM (
    SELECT k.key, {content_text} AS content, {owned_text} AS owned{notes}
{opened}
) AS x""").format(
        digits=2 * _HALF,
        content=side.digest(sql.SQL("x.content")),
        owned=owned,
        names=sql.SQL("").join(sql.SQL(", x.{}").format(name) for name in names),
        content_text=side.content(),
        owned_text=side.owned_text(),
        notes=sql.SQL("").join(
            sql.SQL(", {} AS {}").format(note, name) for note, name in zip(side.notes, names, strict=True)
        ),
        opened=side.opened(buckets),
    )


def all_digests(side: Side) -> sql.Composed:
    """All rows as (key, content, notes ...)."""
    return sql.SQL("SELECT left({}, {digits}), left({}, {digits}){} FROM {} WHERE {}").format(
        side.key_digest(),
        side.digest(side.content()),
        sql.SQL("").join(sql.SQL(", {}").format(note) for note in side.notes),
        side.rows,
        side.where,
        digits=2 * _HALF,
    )


def row_values(side: Side, wanted: Wanted, sensitive: frozenset[str]) -> sql.Composed:
    """The wanted rows, as (digest, bytes of each text ...).

    Of a sensitive value only a digest is given.
    """
    texts = side.key | side.rest
    names = [sql.Identifier(f"value:{n}") for n in range(len(texts))]
    values = [
        sql.SQL("{} AS {}").format(
            side.utf8(side.shown(column, text, hidden=column in sensitive)),
            name,
        )
        for (column, text), name in zip(texts.items(), names, strict=True)
    ]
    return sql.SQL("""\
SELECT x.content, {names}
FROM (
    SELECT left({digest}, {digits}) AS content, {values}
{opened}
) AS x
WHERE x.content = ANY ({contents}::text[])""").format(
        names=COMMA.join(sql.SQL("x.{}").format(name) for name in names),
        digest=side.digest(side.content()),
        digits=2 * _HALF,
        values=COMMA.join(values),
        opened=side.opened(wanted.buckets),
        contents=list(wanted.contents),
    )


def depended_upon(side: Side, wanted: Wanted, mapping: TableMapping) -> sql.Composed:
    """The digests of the wanted rows of the target, one for each that a row of another table names."""
    return sql.SQL("""\
SELECT x.content
FROM (
    SELECT left({digest}, {digits}) AS content, {named} AS named
{opened}
) AS x
WHERE x.content = ANY ({contents}::text[]) AND x.named""").format(
        digest=side.digest(side.content()),
        digits=2 * _HALF,
        named=sql.SQL(" OR ").join(_is_named(mapping, key) for key in naming(mapping)),
        opened=side.opened(wanted.buckets, where=is_ours(mapping, "t")),
        contents=list(wanted.contents),
    )


def naming(mapping: TableMapping) -> list[ForeignKey]:
    """The foreign keys through which rows of other tables depend on the target's."""
    return [key for key in mapping.target.referenced_by if key.child != key.parent]


def _is_named(mapping: TableMapping, key: ForeignKey) -> sql.Composed:
    same = AND.join(
        sql.SQL("{} {} {}").format(
            sql.Identifier("c", column), equality(mapping.target.column(parent)), sql.Identifier("t", parent)
        )
        for column, parent in zip(key.columns, key.parent_columns, strict=True)
    )
    return sql.SQL("EXISTS (SELECT FROM {} AS c WHERE {})").format(sql.Identifier(*key.child), same)


def wrong_lookups(side: Side, mapping: TableMapping, lookup: Lookup, *, most: int) -> sql.Composed:
    """The desktop's own rows on the target whose looked-up value is not what the lookup finds there now.

    The first, at most `most`, as (how many there are, bytes of the key's texts ..., of the value there, of that found).
    """
    answer, same = answers(mapping, lookup, "t")
    own = mapping.target.required(lookup.column)
    found = mapping.scope.table(lookup.table).required(lookup.answer)
    values = (
        at_target(sql.Identifier("t", lookup.column), found, own),
        at_source(sql.Identifier("a", "value"), found, own),
    )
    return sql.SQL("""\
WITH answer AS (
{answer}
)
SELECT count(*) OVER (), {shown}
FROM {target} AS t
LEFT JOIN answer AS a ON {same}
WHERE {is_ours} AND {there} IS DISTINCT FROM {found}
LIMIT {most}""").format(
        answer=answer,
        most=most,
        shown=COMMA.join(side.utf8(text) for text in (*side.key.values(), *values)),
        target=mapping.target.identifier,
        same=same,
        is_ours=is_ours(mapping, "t"),
        there=values[0],
        found=values[1],
    )


def unlike_staged(staged: Side, landed: Side) -> sql.Composed:
    """How many staged rows have no equal in the target after the merge; and the packed keys of a few of them.

    Rows for which a phone's row of another content stands were never to land. Copies count.
    """
    keys = [side.key_text() for side in (staged, landed)]
    return sql.SQL("""\
WITH unlike AS (
    SELECT {staged_key} AS key, {staged_content} AS content
    FROM {staged}
    WHERE {staged_where}
    EXCEPT ALL
    SELECT {landed_key}, {landed_content}
    FROM {landed}
    WHERE {landed_where}
)
SELECT (SELECT count(*) FROM unlike), ARRAY(SELECT u.key FROM unlike AS u ORDER BY u.key LIMIT 5)""").format(
        staged_key=keys[0],
        staged_content=staged.content(),
        staged=staged.rows,
        staged_where=staged.where,
        landed_key=keys[1],
        landed_content=landed.content(),
        landed=landed.rows,
        landed_where=landed.where,
    )


def was_to_land() -> sql.Composed:
    """A condition on the staged row `s`: no phone's row of another content stands for it."""
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS a WHERE a.action = 'conflict' AND a.staged = s.ctid)").format(ACTIONS)


def rejected_keys() -> sql.Composed:
    """The keys of the rows that staging refused, as column to text."""
    return sql.SQL("SELECT r.key FROM {} AS r").format(REJECTED)


def among(key: sql.Composable, keys: Collection[bytes]) -> sql.Composed:
    """The key (bytes) if it is one of those, else NULL."""
    # An array, because PostgreSQL hashes it; a join would have to be on a text that it makes for every row.
    return sql.SQL("CASE WHEN {key} = ANY ({keys}::bytea[]) THEN {key} END").format(
        # As hexadecimal digits: how the driver escapes bytes depends on the connections that there were before.
        key=key,
        keys=array_literal([rf"\x{one.hex()}" for one in keys]),
    )
