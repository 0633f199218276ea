"""How the result of landing rows gets from the IO manager back to the asset whose checks need it."""

import dataclasses
from typing import Generic, TypeVar

What = TypeVar("What")
Result = TypeVar("Result")


@dataclasses.dataclass(slots=True)
class Delivery(Generic[What, Result]):
    """What an asset hands to the IO manager, with a place for what came of it; the same for both directions.

    Dagster runs the IO manager to its end within the asset's `yield`, on the same object and in the same process. So
    the object itself can carry the answer: nothing is shared between tables or runs, and there is nothing to clean up.
    """

    what: What
    _result: Result | None = None

    def arrived(self, result: Result) -> None:
        """Called by the IO manager after it has committed."""
        self._result = result

    @property
    def result(self) -> Result:
        """What came of it; only there after the `yield` that handed the delivery over."""
        if self._result is None:
            raise RuntimeError(
                "The rows have not been landed: the asset's IO manager is not the one of `powerca_sync.defs`."
            )
        return self._result
