"""The digests by which two tables are compared without moving rows, and the statements that compare by them."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.digests.canonical_text import Encoder, packed
from powerca_sync.engine.mapping import ACTIONS

#: Hexadecimal digits of 64 bits.
_HALF = 16


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
    #: Bytes of what is compared, if they may be many, and the limit above which no text is made of it.
    size: sql.Composable | None = None
    key_size: sql.Composable | None = None
    owned_size: sql.Composable | None = None
    limit: int = 0

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

    def _within(
        self,
        whole: sql.Composable,
        size: sql.Composable | None,
        otherwise: Callable[[sql.Composable], sql.Composable],
    ) -> sql.Composable:
        if size is None:
            return whole
        size_text = sql.SQL("{}::text").format(size)
        return sql.SQL("CASE WHEN {} <= {} THEN {} ELSE {} END").format(size, self.limit, whole, otherwise(size_text))

    def key_digest(self) -> sql.Composable:
        """The digest by which rows belong together; without a key, rows of one content do."""
        return self._digest(self.key_text())

    def content_digest(self, *, with_owned: bool = False) -> sql.Composable:
        """The digest of a row, on request with what mobile owns."""
        if with_owned and self.owned:
            return self._digest(sql.SQL("{} || {}").format(self.content(), self._owned_text()))
        return self._digest(self.content())

    def owned_digest(self) -> sql.Composable:
        """The digest of what mobile owns; NULL if it owns nothing."""
        return self._digest(packed(self.owned.values())) if self.owned else sql.SQL("NULL")

    def _owned_text(self) -> sql.Composable:
        return self._within(packed(self.owned.values()), self.owned_size, lambda size: packed([size]))

    def _digest(self, text: sql.Composable) -> sql.Composed:
        """The digest of a text, as hexadecimal digits."""
        return sql.SQL("encode(sha256({}), 'hex')").format(self.utf8(text))

    def prefix(self, key: sql.Composable, digits: int) -> sql.Composable:
        """The first hexadecimal digits of a key's digest, in the form in which rows are grouped by them."""
        return sql.SQL("left({}, {})").format(key, digits)

    def prefix_text(self, prefix: sql.Composable, digits: int) -> sql.Composable:
        """The text of a `prefix`."""
        return prefix

    def has_prefix(self, key: sql.Composable, prefixes: Sequence[str], digits: int) -> sql.Composable:
        """A condition on a key's digest: it begins with one of the prefixes, which have so many digits."""
        return sql.SQL("{} = ANY ({}::text[])").format(self.prefix(key, digits), list(prefixes))

    def numbers(self, content: sql.Composable) -> tuple[sql.Composable, ...]:
        """The digest of a row as 64-bit numbers."""
        return tuple(
            sql.SQL("('x' || substr({}, {}, {}))::bit(64)::bigint").format(content, start, _HALF)
            for start in (1, _HALF + 1)
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypedSide(Side):
    """One end of a comparison by 64-bit hashes of typed columns, a tenth of the work of SHA-256 over their texts.

    Two different rows have the same hash with a probability of 2^-64; a changed row would then count as equal, and stay
    as it is at the target. The seed is random and another one in each run, so that the next run finds it.
    """

    #: Fields for `hash_record_extended` by column: different for values that have different canonical texts.
    fields: Mapping[str, sql.Composable]
    seed: int

    @override
    def key_digest(self) -> sql.Composable:
        if not self.key:
            return self._within(self._hash(self.rest), self.size, self._hash_of)
        return self._within(self._hash(self.key), self.key_size, self._hash_of)

    @override
    def content_digest(self, *, with_owned: bool = False) -> sql.Composable:
        if not self.key:
            return self.key_digest()
        owned = self.owned if with_owned else {}
        whole = self._hash([*self.key, *self.rest, *owned])
        return self._within(whole, self.size, lambda size: self._hash_of(self.key_digest(), size))

    @override
    def owned_digest(self) -> sql.Composable:
        return self._hash(self.owned) if self.owned else sql.SQL("NULL")

    def _hash(self, columns: Iterable[str]) -> sql.Composed:
        return self._hash_of(*(self.fields[name] for name in columns))

    def _hash_of(self, *fields: sql.Composable) -> sql.Composed:
        return sql.SQL("hash_record_extended(ROW({}), {})").format(sql.SQL(", ").join(fields), sql.Literal(self.seed))

    @override
    def prefix(self, key: sql.Composable, digits: int) -> sql.Composable:
        if not digits:
            return sql.SQL("0")
        return sql.SQL("({} >> {}) & {}").format(key, 4 * (_HALF - digits), 16**digits - 1)

    @override
    def prefix_text(self, prefix: sql.Composable, digits: int) -> sql.Composable:
        return sql.SQL("lpad(to_hex({}), {}, '0')").format(prefix, digits)

    @override
    def has_prefix(self, key: sql.Composable, prefixes: Sequence[str], digits: int) -> sql.Composable:
        numbers = [int(prefix or "0", 16) for prefix in prefixes]
        return sql.SQL("{} = ANY ({}::bigint[])").format(self.prefix(key, digits), numbers)

    @override
    def numbers(self, content: sql.Composable) -> tuple[sql.Composable, ...]:
        return (content,)


def probe_hashes() -> sql.SQL:
    """Select hashes of known values of the types that are hashed: servers that agree on them agree on those of rows.

    PostgreSQL keeps these functions the same from version to version, but not from one kind of processor to another.
    """
    return sql.SQL("""\
SELECT array_agg(hash_record_extended(ROW(
    (-2)::smallint, 40000, (-5000000000)::bigint, 1234567890.50::numeric(20, 4), (-0.001)::numeric(20, 4), TRUE,
    NULL::text, 'naïve Größe ₹ 𝄞 '::text COLLATE "C", 'ab'::varchar COLLATE "C", 'c'::char(3) COLLATE "C",
    decode('00ff80', 'hex'), '2024-02-29'::date, '0e37df36-f698-11e6-8dd4-cb9ced3df976'::uuid, time_send('23:59:59.5'),
    timestamp_send('1999-12-31 23:59:59.123456'), timestamptz_send('2038-01-19 03:14:08+00')
), n)) FROM generate_series(-9000000000000000000, 9000000000000000000, 6000000000000000000) AS n""")


def unlike_staged(staged: Side, written: Side) -> sql.Composed:
    """Counts the staged rows without an equal row in the target after the merge; returns some of their packed keys too.

    Rows for which a phone's row of another content stands were never to land. Copies count.
    """
    keys = [side.key_text() for side in (staged, written)]
    return sql.SQL("""\
WITH unlike AS (
    SELECT {staged_key} AS key, {staged_content} AS content
    FROM {staged}
    WHERE {staged_where}
    EXCEPT ALL
    SELECT {written_key}, {written_content}
    FROM {written}
    WHERE {written_where}
)
SELECT (SELECT count(*) FROM unlike), ARRAY(SELECT u.key FROM unlike AS u ORDER BY u.key LIMIT 5)""").format(
        staged_key=keys[0],
        staged_content=staged.content(),
        staged=staged.rows,
        staged_where=staged.where,
        written_key=keys[1],
        written_content=written.content(),
        written=written.rows,
        written_where=written.where,
    )


def was_to_land() -> sql.Composed:
    """Condition on the staged row `s`: no phone row with its key has other content."""
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS a WHERE a.action = 'conflict' AND a.staged = s.ctid)").format(ACTIONS)
