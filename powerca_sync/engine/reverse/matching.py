"""Match the phone rows of one table with the ledger. Writes ledger entries, but no rows of the target's table."""

import contextlib
import dataclasses
from collections.abc import Generator, Sequence

from psycopg import sql

from powerca_sync.engine.context import Context, read_context
from powerca_sync.engine.mapping import STAGING, TableMapping, map_back, named_office, office_condition
from powerca_sync.engine.postgres import Cursor, explained, one_row
from powerca_sync.engine.requests import Choice, TablePull
from powerca_sync.engine.reverse import ledger_sql
from powerca_sync.engine.reverse.carry_over import CarryOver
from powerca_sync.engine.reverse.ledger import Findings, LastPull
from powerca_sync.engine.reverse.phone_identity import Identity, former_identity
from powerca_sync.engine.reverse.phone_table import into_phone_table, why_off
from powerca_sync.engine.staging import (
    Staged,
    StoredValues,
    check_stored_values,
    pair_by_readable_columns,
    phone_rows_sql,
    read_rows,
    refresh_unreadable_values,
    stage_source,
)
from powerca_sync.engine.state import check_lineage, read_recorded_runs
from powerca_sync.plain_text import one_line_logger
from powerca_sync.specs import OWNER, STAMPS, TableSpec

logger = one_line_logger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PhoneRows:
    """The phone rows of one source snapshot, before they have been matched."""

    mapping: TableMapping
    #: Columns that identify phone rows.
    columns: tuple[str, ...]
    #: A condition on the phone row `s`: it belongs to this office.
    in_office: sql.Composable
    #: Phone rows of this office.
    rows: int
    #: Phone rows whose office is unknown.
    unassigned: int
    #: Of both; equal digests mean equal rows.
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MatchedRows:
    """The phone rows of one source snapshot, counted by their classification in the ledger."""

    phones: PhoneRows
    #: With the extra columns of phone rows.
    mapping: TableMapping
    #: Ledger entries whose phone row no longer exists.
    gone: int
    #: Phone rows of this office.
    seen: int
    #: Of `seen`: rows with a ledger entry.
    there: int
    #: Of `there`: those that need a person's attention.
    findings: Findings
    #: The ledger was lost: rows that the target has already are found by their content alone.
    by_content: bool


class PhoneRowMatcher:
    """Matches the phone rows of one table with the ledger, inside one transaction on either side."""

    def __init__(
        self, request: TablePull, source: Cursor, target: Cursor, specs: Sequence[TableSpec], *, timezone: str = "UTC"
    ) -> None:
        self.declared = request.spec
        self.spec, self.specs = into_phone_table(request.spec, specs)
        self.request = dataclasses.replace(request, spec=self.spec)
        self.timezone = timezone
        self.source = source
        self.target = target
        #: Why the table takes no phone rows although its spec is reverse-synced; known after `resolve`.
        self.off = ""
        self.warnings: list[str] = []
        self.context: Context

    def resolve(self) -> tuple[str, ...]:
        """Resolve the specs against both catalogs; returns the differences from the declared spec. Call this first.

        Raises a `SyncError` if the table cannot be reverse-synced.
        """
        spec = self.request.spec
        if off := why_off(self.target, self.declared):
            self.off = off
            return ()
        self.context = read_context(self.target, self.source, self.specs, only=spec, at_mobile=self.reading)
        with self.reading():
            runs = read_recorded_runs(self.source, self.context.snapshot.identity)
        check_lineage(self.target, self.context.snapshot, runs)
        resolved = self.context.catalogs.resolution[spec.mobile]
        self.spec = self.limited(self.context.require(spec))
        if not self.has_phone_rows and not resolved.absent:
            return (*resolved.notes, f"mobile's `{self.spec.mobile}` has no column `{OWNER}`: no row is a phone's")
        return resolved.notes

    def look(self) -> PhoneRows:
        """Read the digest of the phone rows."""
        mapping = self._map()
        scope, limit = self.context.scope, mapping.spec.max_row_bytes
        in_office, named = (one(self.spec, scope, "s") for one in (office_condition, named_office))
        with self.reading():
            rows, unassigned, digest = one_row(
                self.source, phone_rows_sql.digest(mapping.source, in_office, named, limit)
            )
        return PhoneRows(
            mapping=mapping,
            columns=tuple(column.name for column in mapping.synced if column.name not in STAMPS),
            in_office=in_office,
            rows=rows,
            unassigned=unassigned,
            digest=digest,
        )

    def match(self, phones: PhoneRows, last: LastPull, *, record: bool = True) -> MatchedRows:
        """Classify the phone rows by their ledger entries; with `record`, update the entries as well.

        `last` is what the last reverse run recorded.
        """
        mapping, columns, in_office = phones.mapping, phones.columns, phones.in_office
        source, limit = mapping.source, mapping.spec.max_row_bytes
        identity = former_identity(last, source, columns, limit)
        self._copy_identities(mapping, columns, identity, in_office)
        self.target.execute(ledger_sql.classify(mapping.table, keyed=identity.key is not None))
        stored = check_stored_values(self.target, mapping.target, mapping.table, sensitive=mapping.spec.sensitive)
        mapping = dataclasses.replace(
            mapping, extra_columns=phone_rows_sql.extra_columns(source, columns, limit), target=stored.table
        )
        if last.has_entries and not identity.is_unchanged:
            carry_over = CarryOver(
                mapping=mapping,
                columns=columns,
                in_office=in_office,
                last=last,
                identity=identity,
                timezone=self.timezone,
                source=self.source,
                target=self.target,
                stage=self.stage,
            )
            self.refuse_doubtful(carry_over.carry_out(self.choice))
        gone = 0
        if last.has_entries:
            if record:
                gone = self._mark_gone(mapping, in_office, keyed=identity.key is not None)
                self.target.execute(ledger_sql.refresh(keyed=bool(source.primary_key)))
            self._find_copies(mapping, stored, record=record)
        else:
            self.target.execute(ledger_sql.create_entries())
        seen, there, changed, missing, changed_keys, missing_keys = one_row(self.target, ledger_sql.count_classified())
        return MatchedRows(
            phones=phones,
            mapping=mapping,
            gone=gone,
            seen=seen,
            there=there,
            findings=Findings(
                changed=changed, changed_keys=tuple(changed_keys), missing=missing, missing_keys=tuple(missing_keys)
            ),
            by_content=last.is_lost,
        )

    def _copy_identities(
        self, mapping: TableMapping, columns: Sequence[str], identity: Identity, in_office: sql.Composable
    ) -> None:
        """Copy key and content hash of each phone row into a temporary table of the target."""
        self.target.execute(phone_rows_sql.create_phones())
        identities = phone_rows_sql.copy_out_identities(
            mapping.source,
            columns,
            in_office,
            mapping.spec.max_row_bytes,
            former_key=identity.key,
            former_content=identity.content,
        )
        with (
            contextlib.closing(self.read(identities)) as rows,
            self.target.copy(phone_rows_sql.copy_in_phones()) as copy,
        ):
            for row in rows:
                copy.write(row)

    def _mark_gone(self, mapping: TableMapping, in_office: sql.Composable, *, keyed: bool) -> int:
        """Mark entries whose phone row no longer exists, and end those of rows that became desktop rows.

        Returns the number of both. Without a primary key (`keyed` is false) the two cases cannot be told apart, and no
        entry ends here.
        """
        table, after = mapping.table, 0
        self.target.execute(ledger_sql.mark_gone(table))
        marked = self.target.rowcount
        while marked and keyed:
            self.target.execute(ledger_sql.newly_gone(table, after))
            gone = self.target.fetchall()
            if not gone:
                break
            after = gone[-1][0]
            with self.reading():
                self.source.execute(phone_rows_sql.handed_over(mapping.source, in_office, [key for _, key, _ in gone]))
                made: dict[str, str | None] = dict(self.source.fetchall())
            # A row of this key that was made at another time is another row.
            ended = [
                entry for entry, key, born in gone if key in made and (None in (born, made[key]) or born == made[key])
            ]
            if ended:
                self.target.execute(ledger_sql.end(ended))
        return marked

    def _find_copies(self, mapping: TableMapping, stored: StoredValues, *, record: bool) -> None:
        """Find the desktop row of each ledger entry; with `again`, delete the entries that have none."""
        self.target.execute(ledger_sql.find_entries(pair_by_readable_columns(mapping, stored)))
        if record:
            self.target.execute(ledger_sql.backfill_images(mapping))
            refresh_unreadable_values(self.target, mapping.target, mapping.table)
            if stored.warning:
                self.warn(stored.warning)
        if self.request.again:
            self.target.execute(ledger_sql.delete_missing_entries())

    @property
    def choice(self) -> Choice:
        """The treatment of look-alikes."""
        return Choice.PULL if self.request.again else self.request.lookalikes

    @property
    def has_phone_rows(self) -> bool:
        """Whether mobile's table can have phone rows; known after `resolve`."""
        table = None if self.off else self.context.catalogs.targets.get(self.spec.mobile)
        return table is not None and table.column(OWNER) is not None

    def stage(
        self, mapping: TableMapping, where: sql.Composable, *, into: sql.Identifier = STAGING, defer: bool = False
    ) -> Staged:
        """Copy the source's rows `s` that satisfy `where` into a working table of the target; see `stage_source`."""
        return stage_source(
            self.source,
            self.target,
            mapping,
            where,
            read=self.read,
            reading=self.reading,
            into=into,
            codec=self.target.connection.info.encoding,
            defer=defer,
        )

    def limited(self, spec: TableSpec) -> TableSpec:
        """Hook: returns the spec with the limits of this run."""
        return spec

    def refuse_doubtful(self, rows: int) -> None:
        """Hook: may refuse the run, given the number of phone rows that may have been reverse-synced already."""

    def _map(self) -> TableMapping:
        catalogs = self.context.catalogs
        return map_back(
            self.spec,
            source=catalogs.targets[self.spec.mobile],
            target=catalogs.sources[self.spec.desktop],
            scope=self.context.scope,
        )

    def warn(self, sentence: str) -> None:
        """Add a warning to the result and the log."""
        self.warnings.append(sentence)
        logger.warning("[WARN] %s: %s.", self.spec.mobile, sentence)

    def read(self, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        """Yields the source's rows as COPY text."""
        with self.reading():
            yield from read_rows(self.source, copy_out, encoding=None)

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Attribute errors inside to the source."""
        return explained(f"reverse-syncing table `{self.spec.mobile}`: reading the source")
