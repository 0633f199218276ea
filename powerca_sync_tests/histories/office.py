"""An office, its phones and their two databases: the runs of both directions, and what must hold after them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from powerca_sync.engine.forward import differential
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Timeouts
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import ForwardResult, Options, ReverseResult, Transfer
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.engine.setup import introduce
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.tables import PHONE, Category
from powerca_sync_tests.helpers import ORGS
from powerca_sync_tests.histories.judge import complaints
from powerca_sync_tests.histories.mischief import FAULTS
from powerca_sync_tests.histories.model import Sides, counted
from powerca_sync_tests.histories.side import State
from powerca_sync_tests.histories.tables import OURS, SHARED, by_key
from powerca_sync_tests.histories.witness import Witness

PATIENT = Options(timeouts=Timeouts(statement=60, lock=10, table=10))
HASTY = dataclasses.replace(PATIENT, timeouts=Timeouts(statement=0.5, lock=0.1, table=0.5))
#: Digests are of so few rows each, roughly, as if a table of a history had thousands.
ROWS_OF_A_DIGEST = 1
#: Runs, in both directions by turns, after which nothing may change any more.
MOST_RUNS = 10
#: What does not depend on whether rows travelled or were shown to be equal.
COUNTS = (
    *("extracted", "inserted", "updated", "unchanged", "kept_mobile", "echo", "quarantined", "superseded", "deleted"),
    *("stale", "held", "kept_referenced", "kept_other", "phone_rows", "filtered", "rows_at_target"),
)


class Office(Witness):
    """Both databases, what is known of them, and the steps of a history."""

    def forward(
        self,
        mode: str = "full",
        only: str | None = None,
        allow: bool = False,
        apart: bool = False,
        verify: bool = False,
        fault: Any = None,
    ) -> bool:
        """Sync forward; answers whether all tables went well.

        `apart`: with digests first. `verify`: the engine looks at what it has written before it commits.
        """
        before = self.look()
        done: dict[str, ForwardResult] = {}
        names = self.names if only is None else [only]
        with self._faulty(fault) as options:
            transfer = Transfer.DIFFERENCES if apart else Transfer.EVERYTHING
            options = dataclasses.replace(options, transfer=transfer, verify_on_commit=verify)
            for name in names:
                what = TableExtract(spec=self.specs[name], mode=Mode(mode), allow_mass_delete=allow)
                result = self._run(lambda what=what: self._sync_forward(what, options))  # type: ignore[misc]
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
            self.check(incremental=mode == "incremental")
        return fine

    def reverse(self, only: str | None = None, again: bool = False, fault: Any = None) -> bool:
        """Pull the phones' rows, `again` also those that the desktop has lost; answers whether all tables went well."""
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
        """Have the restored desktop go on: mobile records runs that it has no trace of."""
        specs = (ORGS, *self.specs.values())
        introduce(source=self.desktop.engine, target=self.mobile.engine, specs=specs, accept=True)

    def disturbed(self, direction: str, run: Callable[[], None]) -> None:
        """All tables go in one direction, in another process, and nobody knows how far they get."""
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
        """Everybody stops; runs go on until nothing changes. Then both sides must hold what they should.

        `incremental`: first with incremental runs alone, which must see all that happened on the desktop. `apart`:
        with digests first.
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
            # What a trigger refuses has got its number by then.
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
            # The results of a last run that has seen what the others left.
            assert self.forward(mode, allow=True, apart=apart), "a run failed, and nothing is in its way"
            assert self.look() == before, "a run without changes has written"

    def check(self, *, incremental: bool = False) -> None:
        """Both sides hold what they should after a run of all tables, a full or an `incremental` one."""
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
                depended_upon=depended_upon,
                written_there=self.written_there[name] if read_in_part else None,
            )
            wrong += [f"{name}: {complaint}" for complaint in complaints(sides)]
        assert not wrong, "\n".join(wrong)

    def look(self) -> tuple[State, State]:
        """All rows of both sides."""
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
        """Whether the desktop has rows that are the phones' by their own word, and not as they were pulled.

        Where all rows are sent they are told to be the office's edits, or refused; digests leave them out.
        """
        rows = [row for row, _ in self.desktop.look()[name].values() if row.get("source") == PHONE]
        columns = self.columns[name]
        return bool(counted(rows, columns) - self.ledgers[name].images(columns))

    def _sync_forward(self, what: TableExtract, options: Options) -> ForwardResult:
        with mock.patch.object(differential, "COARSE", ROWS_OF_A_DIGEST):
            return sync_forward(
                what,
                source=self.desktop.engine,
                target=self.mobile.engine,
                specs=(ORGS, *self.specs.values()),
                options=options,
            )

    def _sync_reverse(self, name: str, options: Options, *, again: bool) -> ReverseResult:
        return sync_reverse(
            TablePull(spec=self.specs[name], again=again),
            source=self.mobile.engine,
            target=self.desktop.engine,
            specs=(ORGS, *self.specs.values()),
            options=options,
        )

    def _run(self, run: Callable[[], Any]) -> Any:
        """The result of a run, or None if it failed as it may."""
        try:
            return run()
        except SyncError as exc:
            emptied = isinstance(exc, UnsafeTargetError) and "is empty at the source" in str(exc)
            if not (emptied or self.in_the_way):
                raise
        return None

    @property
    def in_the_way(self) -> bool:
        """Whether somebody makes runs fail."""
        return bool(self.desktop.late or self.mobile.late or self._fault)

    _fault: Any = None

    @contextlib.contextmanager
    def _faulty(self, fault: Any) -> Iterator[Options]:
        """Make the runs inside fail: `(what, where, n)`."""
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
