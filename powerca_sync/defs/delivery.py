"""How the result of landing rows gets from the IO manager back to the asset whose checks need it."""

import dataclasses

from powerca_sync.engine.extract import TableExtract
from powerca_sync.engine.result import ForwardResult


@dataclasses.dataclass(slots=True)
class Delivery:
    """What an asset hands to the IO manager, with a place for what came of it.

    Dagster runs the IO manager to its end within the asset's `yield`, on the same object and in the same process. So
    the object itself can carry the answer: nothing is shared between tables or runs, and there is nothing to clean up.
    """

    extract: TableExtract
    _result: ForwardResult | None = None

    def arrived(self, result: ForwardResult) -> None:
        """Called by the IO manager after it has committed."""
        self._result = result

    @property
    def result(self) -> ForwardResult:
        """What came of it; only there after the `yield` that handed the delivery over."""
        if self._result is None:
            raise RuntimeError(
                "The rows have not been landed: the asset's IO manager is not the one of `powerca_sync.defs`."
            )
        return self._result
