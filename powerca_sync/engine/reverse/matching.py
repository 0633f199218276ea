"""Who the phones' rows of one table are, and what the ledger says of each. It brings nothing to the target."""

import contextlib
import dataclasses
from collections.abc import Generator, Sequence

from psycopg import sql

from powerca_sync.engine.context import Context, read_context
from powerca_sync.engine.mapping import STAGING, TableMapping, map_back, office_condition
from powerca_sync.engine.postgres import Cursor, explained, one_row
from powerca_sync.engine.requests import Choice, TablePull
from powerca_sync.engine.reverse import ledger, ledger_sql
from powerca_sync.engine.reverse.carry_over import CarryOver
from powerca_sync.engine.reverse.phone_identity import Identity, former_identity
from powerca_sync.engine.staging import (
    Staged,
    check_stored_values,
    pair_by_readable_columns,
    phone_rows_sql,
    read_rows,
    refresh_unreadable_values,
    stage_source,
)
from powerca_sync.engine.state import check_lineage, read_recorded_runs
from powerca_sync.plain_text import one_line_logger
from powerca_sync.tables import OWNER, STAMPS, TableSpec

logger = one_line_logger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MatchedRows:
    """The phones' rows as a snapshot of the source has them, and what the ledger says of them."""

    mapping: TableMapping
    #: By which columns rows are recognised, and how they and the primary key are declared.
    columns: tuple[str, ...]
    content_form: str
    key_form: str
    in_office: sql.Composable
    alone: bool
    digest: str
    unassigned: int
    #: Entries whose phone row is gone.
    gone: int
    seen: int
    there: int
    changed: int
    missing: int
    changed_keys: tuple[str, ...]
    missing_keys: tuple[str, ...]
    #: Whether rows that the target has already are known by their content alone.
    by_content: bool


class PhoneRowMatcher:
    """A look at the phones' rows, within a transaction at either side."""

    def __init__(
        self, what: TablePull, source: Cursor, target: Cursor, specs: Sequence[TableSpec], *, timezone: str = "UTC"
    ) -> None:
        self.what = what
        self.timezone = timezone
        self.spec = what.spec
        self.source = source
        self.target = target
        self.specs = specs
        self.warnings: list[str] = []
        self.context: Context

    def match(self, *, record: bool = True) -> MatchedRows:
        """Hold the phones' rows against the ledger, and, to `record` it, bring its entries up to date."""
        context, mapping = self.context, self._map()
        source, alone, limit = mapping.source, context.office.alone, mapping.spec.max_row_bytes
        ours = office_condition(self.spec, context.specs, context.office, "s")
        with self.reading():
            _, unassigned, digest = one_row(self.source, phone_rows_sql.digest(source, ours, limit))
        columns = tuple(column.name for column in mapping.synced if column.name not in STAMPS)
        last = ledger.read_last_pull(self.target, mapping.spec.mobile)
        key_form = phone_rows_sql.key_form(source)
        identity = former_identity(last, source, columns, limit)
        self._read_identities(mapping, columns, identity, ours)
        self.target.execute(ledger_sql.classify(mapping.spec.mobile, keyed=identity.key is not None))
        stored = check_stored_values(self.target, mapping.target, mapping.spec.mobile, sensitive=mapping.spec.sensitive)
        mapping = dataclasses.replace(
            mapping, extra_columns=phone_rows_sql.extra_columns(source, columns, limit), target=stored.table
        )
        if last.has_entries and not identity.is_unchanged:
            self._carry_over(
                CarryOver(
                    mapping=mapping,
                    columns=columns,
                    in_office=ours,
                    last=last,
                    identity=identity,
                    timezone=self.timezone,
                    source=self.source,
                    target=self.target,
                    stage=self.stage,
                )
            )
        gone = 0
        if last.has_entries:
            if record:
                gone = self._mark_gone(mapping, ours, keyed=identity.key is not None)
                self.target.execute(ledger_sql.refresh(keyed=bool(key_form)))
            self.target.execute(ledger_sql.find_entries(pair_by_readable_columns(mapping, stored)))
            if record:
                self.target.execute(ledger_sql.backfill_images(mapping))
                refresh_unreadable_values(self.target, mapping.target, mapping.spec.mobile)
                if stored.warning:
                    self.warn(stored.warning)
            if self.what.again:
                self.target.execute(ledger_sql.delete_missing_entries())
        else:
            self.target.execute(ledger_sql.create_entries())
        seen, there, changed, missing, changed_keys, missing_keys = one_row(self.target, ledger_sql.count_classified())
        return MatchedRows(
            mapping=mapping,
            columns=columns,
            content_form=phone_rows_sql.content_form(source, columns),
            key_form=key_form,
            in_office=ours,
            alone=alone,
            digest=digest,
            unassigned=unassigned,
            gone=gone,
            seen=seen,
            there=there,
            changed=changed,
            missing=missing,
            changed_keys=tuple(changed_keys),
            missing_keys=tuple(missing_keys),
            by_content=last.is_lost,
        )

    def _read_identities(
        self, mapping: TableMapping, columns: Sequence[str], identity: Identity, in_office: sql.Composable
    ) -> None:
        """Bring to the target who each phone row is."""
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

    def _carry_over(self, entries: CarryOver) -> None:
        """Find the entries of rows whose identity has another form now."""
        self.refuse_doubtful(entries.carry_out(self.choice))

    @property
    def choice(self) -> Choice:
        """How look-alikes are settled."""
        return Choice.PULL if self.what.again else self.what.lookalikes

    def stage(
        self, mapping: TableMapping, where: sql.Composable, *, into: sql.Identifier = STAGING, defer: bool = False
    ) -> Staged:
        """Bring phone rows into a working table of the target; see `stage_source`."""
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

    def refuse_doubtful(self, rows: int) -> None:
        """Called with the number of phone rows that may have been reverse-synced already, which nothing can tell."""

    def _mark_gone(self, mapping: TableMapping, in_office: sql.Composable, *, keyed: bool) -> int:
        """Mark the entries whose phone row is gone, and end those of rows that became the desktop's; returns how many.

        Without a primary key nothing tells one from the other; the forward run then counts.
        """
        self.target.execute(ledger_sql.mark_gone(mapping.spec.mobile))
        gone = self.target.fetchall()
        if not (gone and keyed):
            return len(gone)
        with self.reading():
            self.source.execute(phone_rows_sql.handed_over(mapping.source, in_office, [key for _, key, _ in gone]))
            made: dict[str, str | None] = dict(self.source.fetchall())
        # Made at another time, it is another row.
        ended = [entry for entry, key, born in gone if key in made and (None in (born, made[key]) or born == made[key])]
        if ended:
            self.target.execute(ledger_sql.end(ended))
        return len(gone)

    def resolve(self) -> tuple[str, ...]:
        """Resolve the specs against both catalogs, before anything else; returns how the table was resolved.

        Raises a `SyncError` if the table cannot be reverse-synced.
        """
        self.context = read_context(self.target, self.source, self.specs, only=self.what.spec, at_mobile=self.reading)
        with self.reading():
            runs = read_recorded_runs(self.source, self.context.snapshot.identity)
        check_lineage(self.target, self.context.snapshot, runs)
        resolved = self.context.catalogs.resolution[self.what.spec.mobile]
        self.spec = self.limited(self.context.require(self.what.spec))
        if not self.has_phone_rows and not resolved.absent:
            return (*resolved.notes, f"mobile's `{self.spec.mobile}` has no column `{OWNER}`: no row is a phone's")
        return resolved.notes

    def limited(self, spec: TableSpec) -> TableSpec:
        """The same spec, with limits that are set otherwise."""
        return spec

    @property
    def has_phone_rows(self) -> bool:
        """Whether mobile can have rows that phones made; known after `resolve`."""
        table = self.context.catalogs.targets.get(self.spec.mobile)
        return table is not None and table.column(OWNER) is not None

    def _map(self) -> TableMapping:
        catalogs = self.context.catalogs
        return map_back(
            self.spec,
            source=catalogs.targets[self.spec.mobile],
            target=catalogs.sources[self.spec.desktop],
            scope=self.context.scope,
        )

    def warn(self, sentence: str) -> None:
        """Something for a person to look at; goes into the result and the log."""
        self.warnings.append(sentence)
        logger.warning("[WARN] %s: %s.", self.spec.mobile, sentence)

    def read(self, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        """The source's rows as COPY text."""
        with self.reading():
            yield from read_rows(self.source, copy_out, encoding=None)

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Errors inside are the source's, not the target's."""
        return explained(f"pulling table `{self.spec.mobile}`: reading the source")
