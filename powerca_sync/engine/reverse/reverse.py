"""One table's phone rows from the source back to the target, insert-only and exactly once, in one transaction there.

1. Lock the table against other pulls, then take the source's snapshot.
2. Who the phones' rows are, held against the ledger: those it has are there; entries without a row are gone.
3. COPY the new ones into staging; set aside what the target would refuse.
4. Adopt what the target has already; a key that it has in a row of its own is a conflict.
5. Insert, with the ledger's entry in the same statement; isolate what the target refuses.
6. Account for every row, store quarantine, digest and log, commit. Whatever fails, the target is as it was.

The target's rows are never updated or deleted.
"""

import contextlib
import dataclasses
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from typing_extensions import override

from powerca_sync.engine import guards
from powerca_sync.engine.context import open_context
from powerca_sync.engine.forward import plan_sql
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    apply_settings,
    decode_stored_document,
    explained,
    load,
    one_row,
    server_timezone,
    transaction,
    use_stored_encoding,
)
from powerca_sync.engine.requests import Choice, TablePull
from powerca_sync.engine.result import Conflict, Options, ReverseResult
from powerca_sync.engine.reverse import insert_sql, known_refusals_sql, ledger, ledger_sql, lookalikes_sql
from powerca_sync.engine.reverse.insert import insert_staged, move_sequences
from powerca_sync.engine.reverse.lookalikes import adopt_by_key, settle_lookalikes
from powerca_sync.engine.reverse.matching import MatchedRows, PhoneRowMatcher
from powerca_sync.engine.staging import (
    Staged,
    find_large_objects,
    large_object_warning,
    phone_rows_sql,
    quarantine_sql,
    staging_sql,
    validation,
)
from powerca_sync.engine.state import check_desktop, state
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.plain_text import one_line_logger
from powerca_sync.tables import Strategy, TableSpec

logger = one_line_logger(__name__)


def sync_reverse(
    what: TablePull,
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
    run_id: str | None = None,
) -> ReverseResult:
    """Bring the phones' rows of one table to the target; commits there, or leaves everything as it was.

    Raises a `SyncError`. The source is only read. Both connections are left usable, outside any transaction.
    """
    options = options or Options()
    doing = f"pulling table `{what.spec.mobile}`"
    try:
        with explained(doing):
            if not ledger.is_prepared(target):
                # A desktop that is refused is left as it was.
                open_context(target, source, specs)
                check_desktop(target, source)
                ledger.prepare_ledger(target)
            timezone = options.timezone or server_timezone(target)
            with (
                transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor,
                contextlib.ExitStack() as snapshot,
            ):
                held = f"Table `{what.spec.mobile}` is being pulled"
                state.lock(target_cursor, f"pull {what.spec.desktop}", held, wait=options.timeouts.table)
                with explained(f"{doing}: reading the source"):
                    # In UTC, in which a digest is the same whoever asks; rows are then read in the office's zone.
                    source_cursor = snapshot.enter_context(
                        transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True)
                    )
                use_stored_encoding(target_cursor, options.encoding)
                pull = Pull(what, source_cursor, target_cursor, specs, options, timezone, run_id)
                return pull.carry_out(all_is_read=snapshot.close)
    except ValueError as exc:
        # The driver's answer to a connection that a pooler cuts in the middle of a COPY.
        if not (source.closed or target.closed):
            raise
        raise DatabaseUnavailableError(
            f"{doing} failed: the connection was lost ({exc}). Nothing was written; it is tried again."
        ) from exc


class Pull(PhoneRowMatcher):
    """The steps of one pull, between the begin and the commit of its two transactions."""

    def __init__(
        self,
        what: TablePull,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        timezone: str,
        run_id: str | None,
    ) -> None:
        super().__init__(what, source, target, specs, timezone=timezone)
        self.spec = guards.with_limits(what.spec, options.limits)
        self.options = options
        self.run_id = run_id
        #: Where entries of the ledger go.
        self.into = insert_sql.PULLED
        self.seconds: dict[str, float] = defaultdict(float)

    def carry_out(self, *, all_is_read: Callable[[], None]) -> ReverseResult:
        notes = self.resolve()
        if notes:
            logger.info("%s: resolved: %s.", self.spec.mobile, "; ".join(notes))
        if not self.has_phone_rows:
            return self.nothing_to_pull(notes)
        found, staged, adopted = self.prepare(all_is_read=all_is_read)
        mapping = found.mapping
        with self._phase("insert"):
            pulled, altered = insert_staged(self.target, mapping, self.run_id)
            if pulled:
                for warning in move_sequences(self.target, mapping):
                    self.warn(warning)
        with self._phase("record"):
            result = self.account(found, staged, adopted=adopted, pulled=pulled, altered=altered)
            ledger.record_held_back(self.target, mapping.spec.mobile)
            ledger.record_pull(
                self.target,
                mapping.spec.mobile,
                columns=found.columns,
                content_form=found.content_form,
                key_form=found.key_form,
                # Rows that were not tried are brought by the next run, which the sensor starts.
                digest="" if staged.untried else found.digest,
                alone=found.alone,
                run_id=self.run_id,
                pulled=pulled,
            )
        for remark in result.remarks:
            logger.info("%s: %s.", self.spec.mobile, remark)
        logger.info("%s: pulled %d of %d phone rows.", self.spec.mobile, pulled, found.seen)
        return dataclasses.replace(result, notes=notes, seconds=dict(self.seconds))

    @override
    def limited(self, spec: TableSpec) -> TableSpec:
        return guards.with_limits(spec, self.options.limits)

    @override
    def refuse_doubtful(self, rows: int) -> None:
        guards.check_carried_over(self.spec, doubtful=rows)

    def nothing_to_pull(self, notes: tuple[str, ...]) -> ReverseResult:
        """The result for a table in which no row can be a phone's."""
        return ReverseResult(table=self.spec.mobile, notes=notes, seconds=dict(self.seconds))

    def prepare(self, *, all_is_read: Callable[[], None]) -> tuple[MatchedRows, Staged, int]:
        """Leave in staging what is to be inserted; answers what was found, staged, and how many rows were adopted."""
        with self._phase("look"):
            found = self.match()
            with self.reading():
                names = find_large_objects(self.source, found.mapping)
            if names:
                self.warn(large_object_warning(names))
        with self._phase("stage"):
            staged = self._stage(found)
            with self.reading():
                all_is_read()
        with self._phase("check"):
            adopted = self._settle(found)
        return found, staged, adopted

    def account(self, found: MatchedRows, staged: Staged, *, adopted: int, pulled: int, altered: int) -> ReverseResult:
        """What became of every phone row."""
        rejections, samples = validation.read_rejections(self.target)
        conflicts = sum(entry.rows for entry in rejections if entry.reason == "conflict")
        lookalikes = sum(entry.rows for entry in rejections if entry.reason == "lookalike")
        fates = {
            "pulled": pulled,
            "already_there": found.there,
            "adopted": adopted,
            "conflicts": conflicts,
            "lookalikes": lookalikes,
            "quarantined": sum(entry.rows for entry in rejections) - conflicts - lookalikes,
        }
        guards.check_conservation(self.spec, extracted=found.seen, accounted=fates)
        self._warn_of(found, conflicts=conflicts, lookalikes=lookalikes, altered=altered)
        return ReverseResult(
            table=self.spec.mobile,
            seen=found.seen,
            **fates,
            changed_after_pull=found.changed,
            missing_after_pull=found.missing,
            unassigned=found.unassigned,
            gone=found.gone,
            altered=altered,
            rejections=rejections,
            samples=samples,
            conflict_samples=self._conflicts() if conflicts or lookalikes else (),
            changed_keys=found.changed_keys,
            missing_keys=found.missing_keys,
            notes=(),
            warnings=tuple(self.warnings),
            remarks=tuple(_remarks(found)),
            columns=found.mapping.staged,
            bytes=staged.bytes,
            seconds=dict(self.seconds),
        )

    def _stage(self, found: MatchedRows) -> Staged:
        mapping = found.mapping
        self.target.execute(staging_sql.create_staging(mapping))
        self.target.execute(plan_sql.create_actions())
        form = self._form(mapping)
        skipped = 0
        if form:
            self.target.execute(known_refusals_sql.skip_known_refusals(mapping.spec.mobile, form))
            skipped = self.target.rowcount
        self.target.execute(ledger_sql.new_keys())
        keys = [key for (key,) in self.target.fetchall()]
        staged = Staged()
        if keys:
            with self.reading():
                apply_settings(self.source, {"TimeZone": self.timezone})
            where = phone_rows_sql.has_identity(mapping, found.in_office, found.columns, keys)
            staged = self.stage(mapping, where, defer=True)
        self.target.execute(lookalikes_sql.create_owned())
        if keys and (self.spec.strategy is Strategy.DELETE_INSERT or self.choice is Choice.ADOPT):
            owned = dataclasses.replace(mapping, extra_columns=())
            where = lookalikes_sql.owned_of_same_keys(mapping, found.columns, keys)
            self.stage(owned, where, into=lookalikes_sql.OWNED)
        self.target.execute(insert_sql.keep_new())
        if skipped:
            self.target.execute(known_refusals_sql.carry_over(mapping.spec.mobile))
        validation.reject_faulty(self.target, mapping)
        if form:
            self.target.execute(known_refusals_sql.record_form(form))
        return staged

    def _form(self, mapping: TableMapping) -> str:
        """What decides whether the target takes a row's content; empty where that is not known."""
        if one_row(self.target, load(__package__, "only_base_types.sql"), {"table": mapping.target.oid}) != (True,):
            return ""
        server = self.target.connection.info
        facts = (
            mapping.fingerprint,
            [column.nullable for column in mapping.target.columns],
            (server.server_version, server.encoding, self.options.encoding, self.timezone),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def _settle(self, found: MatchedRows) -> int:
        """Adopt what the target has already, and set conflicts aside; answers how many were adopted."""
        mapping = found.mapping
        names = {column.name for column in mapping.staged}
        keys = [mapping.spec.key] if self.spec.strategy is Strategy.UPSERT and mapping.spec.key else []
        keys += [
            key.columns
            for key in mapping.target.unique_keys
            if names.issuperset(key.columns) and key.columns not in keys
        ]
        adopted = 0
        by_content = self.spec.strategy is Strategy.UPSERT and found.by_content
        if by_content or keys:
            self.target.execute(insert_sql.adopt(mapping, None if by_content else keys, self.run_id, into=self.into))
            adopted = self.target.rowcount
        if self.spec.strategy is Strategy.UPSERT and self.choice is Choice.ADOPT:
            adopted += adopt_by_key(self.target, mapping, self.spec, into=self.into, run_id=self.run_id)
        for key in keys:
            if self.spec.strategy is Strategy.DELETE_INSERT and set(key) == set(mapping.source.primary_key):
                # Mobile's primary key is the row's identity: a row that has it may be its copy.
                continue
            self.target.execute(quarantine_sql.reject(mapping, insert_sql.conflicting(mapping, key)))
            if self.target.rowcount:
                self.target.execute(insert_sql.attach_desktop_row(mapping, key))
        if self.spec.strategy is Strategy.DELETE_INSERT and found.seen > found.there:
            adopted += settle_lookalikes(
                self.target,
                mapping,
                self.spec,
                self.choice,
                first_contact=found.by_content,
                into=self.into,
                run_id=self.run_id,
            )
        return adopted

    def _conflicts(self) -> tuple[Conflict, ...]:
        self.target.execute(insert_sql.sample_conflicts())
        return tuple(
            Conflict(
                key=key,
                phone=phone,
                desktop=decode_stored_document(self.target, theirs, self.options.encoding) if theirs else {},
            )
            for key, phone, theirs in self.target.fetchall()
        )

    def _warn_of(self, found: MatchedRows, *, conflicts: int, lookalikes: int, altered: int) -> None:
        if lookalikes:
            self.warn(
                f"{lookalikes} new phone rows look like rows that the desktop has already, and are held: compare the "
                "contents, then run `reverse` for this table once with `--adopt-lookalikes` (they are the same rows) "
                "or `--pull-lookalikes` (they are other rows)"
            )
        if conflicts:
            self.warn(
                f"{conflicts} phone rows have a key under which the desktop has another row; they wait. If they are "
                "the same rows, run `reverse` for this table once with `--adopt-lookalikes`"
            )
        if found.changed:
            self.warn(f"{found.changed} phone rows were changed after their pull; the desktop keeps what was pulled")
        if found.missing:
            self.warn(
                f"{found.missing} pulled rows are no longer on the desktop; `powerca-sync reverse --again` brings them"
            )
        if found.unassigned:
            self.warn(f"{found.unassigned} phone rows lead to no office; give them an organisation on mobile")
        if altered:
            self.warn(f"the desktop changed {altered} rows as it took them (a trigger)")

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - began


def _remarks(found: MatchedRows) -> Iterator[str]:
    if found.gone:
        yield f"{found.gone} reverse-synced rows were deleted on mobile since; the desktop keeps them"
