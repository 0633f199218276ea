"""Find the ledger entries of phone rows whose identity has another form than at the last reverse run.

Without a mobile primary key the hash of its content identifies a row. A migration of the app (a column retyped, renamed
or dropped; a new primary key) may change the hash of every row. Entries are then matched by the content that the ledger
stores, read in today's form. If that does not show whether a row was reverse-synced, the run is refused until somebody
chooses.
"""

import dataclasses
from collections.abc import Callable, Iterator

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, apply_settings, one_row
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.reverse import carry_over_sql, ledger_sql
from powerca_sync.engine.reverse.ledger import LastPull
from powerca_sync.engine.reverse.new_rows import new_rows
from powerca_sync.engine.reverse.phone_identity import Identity
from powerca_sync.engine.staging import Staged, staging_sql


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CarryOver:
    """The ledger entries and phone rows of one table that identity alone did not pair."""

    #: With the extra columns of phone rows.
    mapping: TableMapping
    columns: tuple[str, ...]
    in_office: sql.Composable
    last: LastPull
    identity: Identity
    #: The office's time zone.
    timezone: str
    source: Cursor
    target: Cursor
    #: `PhoneRowMatcher.stage`.
    stage: Callable[..., Staged]

    def carry_out(self, choice: Choice) -> int:
        """Pair phone rows with entries; returns the number of rows that may or may not be new.

        With `Choice.ADOPT` these rows get an entry of the same key, with `Choice.PULL` they count as new.
        """
        filled = False
        if self.identity.content is None:
            known = [
                column
                for column in ledger_sql.compared_columns(self.mapping)
                if self.last.columns is None or column.name in self.last.columns
            ]
            for mapping in self._readings():
                filled = self._fill(mapping)
                if filled and known:
                    self.target.execute(carry_over_sql.pair(self.mapping, known, gone=True))
        (loose,) = one_row(self.target, carry_over_sql.count_loose_entries(self.mapping.table))
        if not loose or choice is Choice.PULL or not (filled or self._fill(self.mapping)):
            return 0
        key = self.mapping.key
        if choice is Choice.ADOPT:
            self.target.execute(carry_over_sql.pair(self.mapping, key, gone=False))
            return 0
        (doubtful,) = one_row(self.target, carry_over_sql.count_doubtful(self.mapping, key))
        return int(doubtful)

    def _readings(self) -> Iterator[TableMapping]:
        """Yields mappings to read phone rows with: for `timestamptz` columns that had no zone before, first in UTC.

        Supabase's own time zone is UTC.
        """
        declared = (self.last.content_form or "").split(", ")
        synced = tuple(
            dataclasses.replace(
                column, source_expression=sql.SQL("{} AT TIME ZONE 'UTC'").format(sql.Identifier("s", column.name))
            )
            if column.source.base == "timestamptz" and f"{column.name} timestamp without time zone" in declared
            else column
            for column in self.mapping.synced
        )
        if synced != self.mapping.synced:
            yield dataclasses.replace(self.mapping, synced=synced)
        yield self.mapping

    def _fill(self, mapping: TableMapping) -> bool:
        """Copy the contents of rows without an entry into the working table; returns whether there are any."""
        filled = False
        for where in new_rows(self.target, mapping, self.in_office, self.columns):
            if not filled:
                self.target.execute(carry_over_sql.drop_contents())
                self.target.execute(staging_sql.create_like_staging(mapping, carry_over_sql.CONTENTS))
                apply_settings(self.source, {"TimeZone": self.timezone})
                filled = True
            self.stage(mapping, where, into=carry_over_sql.CONTENTS)
        if filled:
            apply_settings(self.source, {"TimeZone": "UTC"})
        return filled
