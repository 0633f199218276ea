"""An office, its phones and their two databases: runs in both directions, and the invariants after them."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from powerca_sync.engine.forward import digest_comparison
from powerca_sync.engine.forward.read_ahead import ReadAhead
from powerca_sync.engine.postgres.database import Connection, Timeouts, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import ForwardResult, Options, ReverseResult, Transfer
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.engine.setup import introduce
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.specs import PHONE, Category
from powerca_sync_tests.helpers import ORGS
from powerca_sync_tests.histories.judge import complaints
from powerca_sync_tests.histories.mischief import FAULTS
from powerca_sync_tests.histories.model import Sides, counted
from powerca_sync_tests.histories.side import State
from powerca_sync_tests.histories.tables import OURS, SHARED, by_key
from powerca_sync_tests.histories.witness import Witness
from powerca_sync_tests.paths import on_path

PATIENT = Options(timeouts=Timeouts(statement=60, lock=10, table=10))
HASTY = dataclasses.replace(PATIENT, timeouts=Timeouts(statement=0.5, lock=0.1, table=0.5))
#: A digest covers few rows, as if a table of a history had thousands.
ROWS_OF_A_DIGEST = 1
#: The number of runs, in alternating directions, after which nothing may change.
MOST_RUNS = 10
#: Counts that do not depend on the transfer: all rows, or digests first.
COUNTS = (
    *("extracted", "inserted", "updated", "unchanged", "kept_mobile", "echo", "quarantined", "superseded", "deleted"),
    *("stale", "held", "kept_referenced", "kept_other", "phone_rows", "filtered", "rows_at_target"),
)


class Office(Witness):
    """Both databases, what is known of them, and the steps of a history."""

    @functools.cached_property
    def _ways(self) -> Iterator[tuple[bool, int]]:
        """Yields, for each run, whether rows are copied and compared in binary form, and the tables read at a time."""
        return itertools.cycle(((True, 2), (False, 1), (True, 1), (False, 2)))

    def forward(
        self,
        mode: str = "full",
        only: str | None = None,
        allow: bool = False,
        apart: bool = False,
        verify: bool = False,
        fault: Any = None,
    ) -> bool:
        """Syncs forward; returns whether all tables succeeded.

        `allow`: the guards are off, and foreign rows are deleted. `apart`: digests first. `verify`: with the commit
        check.
        """
        before = self.look()
        done: dict[str, ForwardResult] = {}
        names = self.names if only is None else [only]
        with self._faulty(fault) as options:
            transfer = Transfer.DIFFERENCES if apart else Transfer.EVERYTHING
            typed, at_once = next(self._ways)
            options = on_path(
                dataclasses.replace(
                    options,
                    transfer=transfer,
                    verify_on_commit=verify,
                    binary_copy=typed,
                    typed_hashes=typed,
                    tables_at_once=at_once,
                )
            )
            with self._reading_ahead(names, options) as run:
                for name in names:
                    what = TableExtract(
                        spec=self.specs[name], mode=Mode(mode), allow_mass_delete=allow, delete_foreign=allow
                    )
                    result = self._run(lambda what=what: run.sync(what))  # type: ignore[misc]
                    if result is not None:
                        done[name] = result
                        if result.mode_effective is Mode.FULL and not self.mobile.late:
                            self.written_there[name].clear()
        after = self.look()
        assert after[0] == before[0], "a forward run has written to the desktop"
        for name in self.names:
            self.check_forward(name, before, after[1][name], done.get(name), ran=name in done)
        self.results = done
        fine = len(done) == len(names)
        if fine and only is None and fault is None and not self.in_the_way:
            self.check(incremental=mode == "incremental", all_decided=allow)
        return fine

    def reverse(self, only: str | None = None, again: bool = False, fault: Any = None) -> bool:
        """Reverse-syncs, with `again` also rows that the desktop has lost; returns whether all tables succeeded."""
        tables = [name for name in self.names if name in SHARED and only in (name, None)]
        before = self.look()
        done: dict[str, ReverseResult] = {}
        with self._faulty(fault) as options:
            for name in tables:
                result = self._run(lambda name=name: self._sync_reverse(name, options, again=again))  # type: ignore[misc]
                if result is not None:
                    done[name] = result
        after = self.look()
        assert after[1] == before[1], "a pull has written to mobile"
        for name in self.names:
            self.check_reverse(
                *(name, before, after[0][name], done.get(name)),
                ran=name in done,
                refused=fault is not None,
                again=again,
            )
        return len(done) == len(tables)

    def accept_desktop(self) -> None:
        """Accepts the restored desktop: mobile has records of runs that it has no trace of."""
        specs = (ORGS, *self.specs.values())
        introduce(source=self.desktop.engine, target=self.mobile.engine, specs=specs, accept=True)

    def disturbed(self, direction: str, run: Callable[[], None]) -> None:
        """In the body, all tables are synced in one direction by another process that may be interrupted at any
        point.
        """
        before, pulls = self.look(), self.pulls()
        run()
        after = self.look()
        if direction == "forward":
            assert after[0] == before[0], "a forward run has written to the desktop"
            for name in self.names:
                ran = after[1][name] != before[1][name]
                self.check_forward(name, before, after[1][name], None, ran=ran)
            return
        assert after[1] == before[1], "a pull has written to mobile"
        committed = self.pulls()
        for name in self.names:
            ran = committed.get(name) != pulls.get(name)
            self.check_reverse(name, before, after[0][name], None, ran=ran, refused=True)

    def settle(self, incremental: bool = False, apart: bool = False) -> None:
        """Repeats runs until nothing changes, then asserts that both databases have the expected content.

        `incremental`: first with incremental runs alone, which must read all changes of the desktop. `apart`: digests
        first.
        """
        for side in (self.desktop, self.mobile):
            side.finish(commit=True)
        if incremental:
            self._run_until_quiet("incremental", apart=apart)
        self._run_until_quiet("full", apart=apart)
        before, sequences, counts = self.look(), self.sequences(), self._counts()
        assert self.forward(allow=True, apart=not apart), "a run failed, and nothing is in its way"
        assert self.look() == before, "a run without changes has written, with the other transfer"
        now = self._counts()
        assert now == counts, f"the counts depend on how the rows travel: {counts} and {now}"
        self.forward("incremental", allow=True)
        assert self.look() == before, "a run without changes has written"
        if not self.pair.one("SELECT EXISTS (SELECT FROM powerca_sync.quarantine WHERE reason = 'refused')"):
            # A row that a trigger refuses has consumed a sequence value by then.
            assert self.sequences() == sequences, "a run without changes has burnt a number"

    def _run_until_quiet(self, mode: str, *, apart: bool) -> None:
        quiet = 0
        for n in range(MOST_RUNS):
            before = self.look()
            fine = self.forward(mode, allow=True, apart=apart) if n % 2 == 0 else self.reverse()
            assert fine, "a run failed, and nothing is in its way"
            quiet = quiet + 1 if self.look() == before else 0
            if quiet == 2:
                break
        else:
            raise AssertionError(f"still not quiet after {MOST_RUNS} runs")
        if n % 2 and mode == "full":
            # The results of a last run, after the others have converged.
            assert self.forward(mode, allow=True, apart=apart), "a run failed, and nothing is in its way"
            assert self.look() == before, "a run without changes has written"

    def check(self, *, incremental: bool = False, all_decided: bool = False) -> None:
        """Asserts the expected content of both databases after a run of all tables, full or `incremental`.

        `all_decided`: the run has deleted foreign rows.
        """
        desktop, mobile = self.look()
        jobs = {row["job_id"]: row for row, _ in mobile.get("jobs", {}).values() if row["org_id"] == OURS}
        depended_upon = (
            {id_ for (id_,) in self.pair.rows("SELECT id FROM comments")} if "tasks" in self.names else set()
        )
        wrong = []
        for name, table in self.specs.items():
            on_mobile, ledger = [row for row, _ in mobile[name].values()], self.ledgers[name]
            read_in_part = incremental and by_key(table) and table.category is not Category.MASTERS
            sides = Sides(
                table=table,
                variant=self.variant,
                columns=self.columns[name],
                desktop=[row for row, _ in desktop[name].values()],
                mobile=[row for row in on_mobile if not ledger.knows(row)],
                known=[row for row in on_mobile if ledger.knows(row)],
                waiting=self.waiting(name),
                images=ledger.images(self.columns[name]),
                jobs=jobs,
                desktop_jobs={row["job_id"] for row, _ in desktop.get("jobs", {}).values()},
                depended_upon=depended_upon,
                written_there=self.written_there[name] if read_in_part else None,
                foreign=set() if all_decided else self.foreign[name],
            )
            wrong += [f"{name}: {complaint}" for complaint in complaints(sides)]
        assert not wrong, "\n".join(wrong)

    def look(self) -> tuple[State, State]:
        """Returns all rows of both databases."""
        return self.desktop.look(), self.mobile.look()

    #: Of the last forward run, by table.
    results: dict[str, ForwardResult]

    def _counts(self) -> dict[str, dict[str, int]]:
        return {
            name: {count: getattr(one, count) for count in COUNTS}
            for name, one in self.results.items()
            if not self._has_changed_phone_rows(name)
        }

    def _has_changed_phone_rows(self, name: str) -> bool:
        """Returns whether the desktop has rows with the source of phones that differ from their images.

        A complete transfer reports them as the office's edits, or refuses them; digests leave them out.
        """
        rows = [row for row, _ in self.desktop.look()[name].values() if row.get("source") == PHONE]
        columns = self.columns[name]
        return bool(counted(rows, columns) - self.ledgers[name].images(columns))

    @contextlib.contextmanager
    def _reading_ahead(self, names: Sequence[str], options: Options) -> Iterator[ReadAhead]:
        """Yields a forward run of these tables."""

        @contextlib.contextmanager
        def connected(failing: str | None) -> Iterator[tuple[Connection, Connection]]:
            if failing:
                yield self.desktop.engine, self.mobile.engine
                return
            with connect(self.desktop.endpoint) as source, connect(self.mobile.endpoint) as target:
                yield source, target

        run = ReadAhead(
            [self.specs[name] for name in names],
            (ORGS, *self.specs.values()),
            connect=connected,
            options=options,
        )
        with mock.patch.object(digest_comparison, "COARSE", ROWS_OF_A_DIGEST), contextlib.closing(run):
            yield run

    def _sync_reverse(self, name: str, options: Options, *, again: bool) -> ReverseResult:
        return sync_reverse(
            TablePull(spec=self.specs[name], again=again),
            source=self.mobile.engine,
            target=self.desktop.engine,
            specs=(ORGS, *self.specs.values()),
            options=options,
        )

    def _run(self, run: Callable[[], Any]) -> Any:
        """Returns the result of a run, or None if it failed as it may."""
        try:
            return run()
        except SyncError as exc:
            emptied = isinstance(exc, UnsafeTargetError) and "is empty at the source" in str(exc)
            if not (emptied or self.in_the_way):
                raise
        return None

    @property
    def in_the_way(self) -> bool:
        """Returns whether an active fault may make runs fail."""
        return bool(self.desktop.late or self.mobile.late or self._fault)

    _fault: Any = None

    @contextlib.contextmanager
    def _faulty(self, fault: Any) -> Iterator[Options]:
        """Makes the runs in the body fail: `(what, where, n)`."""
        if fault is None:
            yield HASTY if self.in_the_way else PATIENT
            return
        self._fault = fault
        what, where, n = fault
        side = self._side(where)
        table = self.names[n % len(self.names)]
        try:
            with FAULTS[what](side, table, n):
                yield HASTY
        finally:
            self._fault = None
            side.mend()
