"""Reverse sync of one table: insert its new phone rows at the target exactly once, in one transaction there.

1. Lock the table against other reverse runs, then open the source's snapshot.
2. Stop if phone rows, desktop rows and ledger are those of the last run, and that run left nothing to retry.
3. Match the phone rows with the ledger; mark entries whose phone row no longer exists.
4. COPY the new rows into staging; quarantine rows that the target would refuse.
5. Adopt rows that the target has already; quarantine rows whose key another row of the target has.
6. Insert the rows together with their ledger entries; isolate rows that the target refuses.
7. Account for every row, store quarantine, digest and log, and commit. After a failure the target is unchanged.

Rows of the target are never updated or deleted.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from typing_extensions import override

from powerca_sync.engine import guards
from powerca_sync.engine.changes import count_own_writes, report_own_writes
from powerca_sync.engine.context import open_context
from powerca_sync.engine.forward import plan_sql
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.phases import PhaseTimer
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    apply_settings,
    explained,
    load,
    one_row,
    server_timezone,
    transaction,
    use_stored_encoding,
)
from powerca_sync.engine.requests import Choice, TablePull
from powerca_sync.engine.result import Options, ReverseResult
from powerca_sync.engine.reverse import (
    existing_rows_sql,
    insert_sql,
    known_refusals_sql,
    ledger,
    lookalikes_sql,
)
from powerca_sync.engine.reverse.existing_rows import settle_existing
from powerca_sync.engine.reverse.insert import insert_staged, move_sequences
from powerca_sync.engine.reverse.ledger import LastPull
from powerca_sync.engine.reverse.matching import MatchedRows, PhoneRowMatcher, PhoneRows
from powerca_sync.engine.reverse.new_rows import new_rows
from powerca_sync.engine.reverse.pull_result import build_no_op, build_result
from powerca_sync.engine.reverse.unchanged import read_state
from powerca_sync.engine.staging import (
    Staged,
    find_large_objects,
    large_object_warning,
    phone_rows_sql,
    staging_sql,
    validation,
)
from powerca_sync.engine.state import check_desktop, locks
from powerca_sync.plain_text import counted, one_line_logger
from powerca_sync.specs import Strategy, TableSpec

logger = one_line_logger(__name__)


def sync_reverse(
    request: TablePull,
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
    run_id: str | None = None,
) -> ReverseResult:
    """Insert the new phone rows of one table at the target, in one transaction; the source is only read.

    Both connections are left usable, outside any transaction.

    Raises:
        SyncError: The target is unchanged.
    """
    options = options or Options()
    doing = f"reverse-syncing table `{request.spec.mobile}`"
    with explained(doing, source, target):
        if not ledger.is_prepared(target):
            # These checks come first, so that a desktop that is refused gets no ledger.
            open_context(target, source, specs)
            check_desktop(target, source)
            ledger.prepare_ledger(target)
        timezone = options.timezone or server_timezone(target)
        with (
            transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor,
            contextlib.ExitStack() as snapshot,
        ):
            held = f"Table `{request.spec.mobile}` is being reverse-synced"
            lock = locks.try_acquire(f"pull {request.spec.phone_table}")
            locks.acquire(target_cursor, lock, held, wait=options.timeouts.table)
            with explained(f"{doing}: reading the source"):
                # Digests are computed in UTC, so that they do not depend on the office's time zone.
                source_cursor = snapshot.enter_context(
                    transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True)
                )
            use_stored_encoding(target_cursor, options.encoding)
            pull = Pull(request, source_cursor, target_cursor, specs, options, timezone, run_id)
            return pull.carry_out(release_source=snapshot.close)


class Pull(PhoneRowMatcher):
    """One reverse run of one table, inside the transactions of both sides."""

    def __init__(
        self,
        request: TablePull,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        timezone: str,
        run_id: str | None,
    ) -> None:
        super().__init__(request, source, target, specs, timezone=timezone)
        self.spec = guards.with_limits(self.request.spec, options.limits)
        self.options = options
        self.run_id = run_id
        #: The table that takes new ledger entries.
        self.into = insert_sql.PULLED
        self.timer = PhaseTimer()

    def carry_out(self, *, release_source: Callable[[], None]) -> ReverseResult:
        """Run all steps but the commit; calls `release_source` once the source is no longer needed."""
        notes = self.resolve()
        if notes:
            logger.info("%s: resolved: %s.", self.spec.mobile, "; ".join(notes))
        if not self.has_phone_rows:
            return self.nothing_to_pull(notes)
        with self.timer.phase("look"):
            phones, last = self.look(), ledger.read_last_pull(self.target, self.spec.desktop)
            state = self._read_state(phones)
        if state and state == last.state and self.choice is Choice.HOLD:
            return self._finish(self._repeat(phones, last), notes)
        matched, staged, adopted = self.prepare(phones, last, release_source=release_source)
        mapping = matched.mapping
        with self.timer.phase("insert"):
            before = count_own_writes(self.target, self.spec.desktop)
            pulled, altered = insert_staged(self.target, mapping, self.run_id)
            if pulled:
                for warning in move_sequences(self.target, mapping):
                    self.warn(warning)
            own_writes = count_own_writes(self.target, self.spec.desktop) - before
        with self.timer.phase("record"):
            is_quiet = not (self.warnings or staged.untried)
            result = self.account(matched, staged, adopted=adopted, pulled=pulled, altered=altered)
            ledger.record_quarantine(self.target, mapping.table)
            ledger.record_pull(
                self.target,
                mapping.table,
                columns=phones.columns,
                content_form=phone_rows_sql.content_form(mapping.source, phones.columns),
                key_form=phone_rows_sql.key_form(mapping.source),
                # Without a digest the table counts as pending, so that the next run reads the deferred rows.
                digest="" if staged.untried else phones.digest,
                alone=self.context.office.alone,
                state=state if is_quiet and not result.rejections else None,
                findings=matched.findings,
                run_id=self.run_id,
                pulled=pulled,
                own_writes=own_writes,
            )
            report_own_writes(self.target)
        return self._finish(result, notes)

    def prepare(
        self, phones: PhoneRows, last: LastPull, *, release_source: Callable[[], None]
    ) -> tuple[MatchedRows, Staged, int]:
        """Leave the rows to insert in staging; returns matched rows, staged rows and the number of adopted rows."""
        with self.timer.phase("look"):
            matched = self.match(phones, last)
            with self.reading():
                names = find_large_objects(self.source, matched.mapping)
            if names:
                self.warn(large_object_warning(names))
        with self.timer.phase("stage"):
            staged = self._stage(matched)
            with self.reading():
                release_source()
        with self.timer.phase("check"):
            adopted = settle_existing(self.target, matched, self.spec, self.choice, into=self.into, run_id=self.run_id)
        return matched, staged, adopted

    def nothing_to_pull(self, notes: tuple[str, ...]) -> ReverseResult:
        """Returns the result for a table that cannot have phone rows."""
        remarks = (self.off,) if self.off else ()
        return ReverseResult(table=self.spec.mobile, notes=notes, remarks=remarks, seconds=self.timer.seconds)

    def _read_state(self, phones: PhoneRows) -> str | None:
        return read_state(
            self.target,
            phones.mapping,
            digest=phones.digest,
            in_office=phones.in_office,
            reading=(self.options.encoding, self.timezone),
        )

    def _repeat(self, phones: PhoneRows, last: LastPull) -> ReverseResult:
        """Record a run that read what the last one read; returns its result."""
        logger.info("%s: nothing has changed since the last run.", self.spec.mobile)
        with self.timer.phase("record"):
            ledger.record_no_op(self.target, self.spec.desktop, self.run_id)
        result = build_no_op(self.spec, phones, last.findings, warn=self.warn)
        return dataclasses.replace(result, warnings=tuple(self.warnings))

    def _finish(self, result: ReverseResult, notes: tuple[str, ...]) -> ReverseResult:
        for remark in result.remarks:
            logger.info("%s: %s.", self.spec.mobile, remark)
        logger.info("%s: pulled %d of %s.", self.spec.mobile, result.pulled, counted(result.seen, "phone row"))
        return dataclasses.replace(result, notes=notes, seconds=self.timer.seconds)

    def account(
        self, matched: MatchedRows, staged: Staged, *, adopted: int, pulled: int, altered: int
    ) -> ReverseResult:
        """Returns the result; raises `MergeError` if the counts do not add up to the phone rows seen."""
        result = build_result(
            self.target,
            self.spec,
            matched,
            adopted=adopted,
            pulled=pulled,
            altered=altered,
            encoding=self.options.encoding,
            warn=self.warn,
        )
        return dataclasses.replace(
            result, warnings=tuple(self.warnings), bytes=staged.bytes, seconds=self.timer.seconds
        )

    @override
    def limited(self, spec: TableSpec) -> TableSpec:
        return guards.with_limits(spec, self.options.limits)

    @override
    def refuse_doubtful(self, rows: int) -> None:
        guards.check_carried_over(self.spec, doubtful=rows)

    def _stage(self, matched: MatchedRows) -> Staged:
        """Copy new rows into staging and quarantine those that the target would refuse."""
        mapping = matched.mapping
        self.target.execute(staging_sql.create_staging(mapping))
        self.target.execute(plan_sql.create_actions())
        form = self._refusal_form(mapping)
        skipped = 0
        if form:
            self.target.execute(known_refusals_sql.skip_known_refusals(mapping.table, form))
            skipped = self.target.rowcount
        self.target.execute(lookalikes_sql.create_owned())
        staged, phones = Staged(), None
        for where in new_rows(self.target, mapping, matched.phones.in_office, matched.phones.columns):
            with self.reading():
                apply_settings(self.source, {"TimeZone": self.timezone})
            staged.add(self.stage(mapping, where, defer=True))
            # Of several pages, the keys of all phone rows are looked up: more than needed, but each row once.
            phones = where if phones is None else phone_rows_sql.is_phones(mapping.source, matched.phones.in_office)
        if phones and (self.spec.strategy is Strategy.DELETE_INSERT or self.choice is Choice.ADOPT):
            owned, belongs = dataclasses.replace(mapping, extra_columns=()), matched.phones.in_office
            # Where the phone rows are newer than the table's statistics, the planner expects none of them, and a nested
            # loop would compare each one with all rows of the office.
            with self.reading():
                apply_settings(self.source, {"enable_nestloop": "off"})
            self.stage(owned, lookalikes_sql.owned_of_same_keys(mapping, belongs, phones), into=lookalikes_sql.OWNED)
            with self.reading():
                apply_settings(self.source, {"enable_nestloop": "on"})
        self.target.execute(existing_rows_sql.keep_new())
        if skipped:
            self.target.execute(known_refusals_sql.carry_over(mapping.table))
        validation.reject_faulty(self.target, mapping)
        if form:
            self.target.execute(known_refusals_sql.record_form(form))
        return staged

    def _refusal_form(self, mapping: TableMapping) -> str:
        """Returns a hash of all that decides whether the target accepts a row's content; empty if that is unknown."""
        if one_row(self.target, load(__package__, "only_base_types.sql"), {"table": mapping.target.oid}) != (True,):
            return ""
        server = self.target.connection.info
        facts = (
            mapping.fingerprint,
            [column.nullable for column in mapping.target.columns],
            (server.server_version, server.encoding, self.options.encoding, self.timezone),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
