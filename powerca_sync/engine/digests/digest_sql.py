"""The digests by which two tables are compared without moving rows, and the statements that compare by them."""

import dataclasses
from collections.abc import Callable

from psycopg import sql

from powerca_sync.engine.digests.canonical_text import Encoder, packed
from powerca_sync.engine.mapping import ACTIONS


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

    def whole(self) -> sql.Composable:
        """The text of a row with what mobile owns."""
        return sql.SQL("{} || {}").format(self.content(), self.owned_text()) if self.owned else self.content()


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
