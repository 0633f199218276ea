"""Every run of the engine for one case, over the same two connections, which must stay usable."""

import contextlib
from collections.abc import Sequence

from powerca_sync.engine.dry_run import TablePlan, plan_forward
from powerca_sync.engine.dry_run.reverse_plan import plan_reverse
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import ForwardResult, Options, ReverseResult
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.engine.verify.verification import Verification
from powerca_sync.engine.verify.verifier import verify
from powerca_sync.specs import TableSpec
from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.helpers import Pair, everything, spec

#: The rest of the office, which no case may affect.
NEIGHBOURS = spec("neighbours", "id")


class Runs:
    """The engine's connections, separate from those of the test itself."""

    def __init__(self, pair: Pair, case: Case, closing: contextlib.ExitStack) -> None:
        self.case = case
        self.source, self.target = pair.source, pair.target
        self.specs = [case.table, NEIGHBOURS]
        self.desktop, self.mobile = closing.enter_context(pair.connected())

    def sync(
        self,
        table: TableSpec,
        options: Options,
        *,
        mode: Mode = Mode.FULL,
        allow_mass_delete: bool = False,
    ) -> ForwardResult:
        """Syncs a table forward."""
        return sync_forward(
            TableExtract(spec=table, mode=mode, allow_mass_delete=allow_mass_delete),
            source=self.desktop,
            target=self.mobile,
            specs=self.specs,
            options=options,
        )

    def plan(self, options: Options) -> dict[str, TablePlan]:
        """Runs the dry run of both tables, and asserts that nothing is changed."""
        before = everything(self.source), everything(self.target)
        plans = plan_forward(
            [TableExtract(spec=table) for table in self.specs],
            source=self.desktop,
            target=self.mobile,
            specs=self.specs,
            options=options,
        )
        assert (everything(self.source), everything(self.target)) == before
        return {plan.table: plan for plan in plans}

    def pull(self) -> ReverseResult:
        """Reverse-syncs the phone rows."""
        return sync_reverse(
            TablePull(spec=self.case.table),
            source=self.mobile,
            target=self.desktop,
            specs=self.specs,
            options=self.case.options,
        )

    def plan_back(self) -> ReverseResult:
        """Returns the dry run of reverse sync."""
        (plan,) = plan_reverse(
            [TablePull(spec=self.case.table)],
            source=self.mobile,
            target=self.desktop,
            specs=self.specs,
            options=self.case.options,
        )
        assert plan.foreseen is not None, plan
        return plan.foreseen

    def verify(self, *tables: TableSpec) -> Sequence[Verification]:
        """Compares both databases."""
        return verify(source=self.desktop, target=self.mobile, specs=tables, options=self.case.options)
