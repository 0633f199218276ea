"""Verify one table of a pair, for the tests of several features."""

from powerca_sync.engine.result import Options
from powerca_sync.engine.verify.verification import Verification
from powerca_sync.engine.verify.verifier import verify
from powerca_sync.specs import TableSpec, in_order
from powerca_sync_tests.helpers import QUICK, Pair


def verify_table(pair: Pair, table: TableSpec, *others: TableSpec, options: Options = QUICK) -> Verification:
    """Returns the verification of one table; the other specs are its parents and lookup tables."""
    with pair.connected() as (source, target):
        (found,) = verify(source=source, target=target, specs=in_order([table, *others]), only=[table], options=options)
    return found


def difference_counts(found: Verification) -> dict[str, int]:
    """Returns the nonzero counts of true and known differences."""
    assert found.error is None, found.error
    assert found.outcome is not None
    every = {**found.outcome.differences, **found.outcome.known}
    return {str(name): count for name, count in every.items() if count}
