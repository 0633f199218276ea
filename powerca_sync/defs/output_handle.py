"""Carries the result of a load from the IO manager back to the asset, whose checks need it."""

import dataclasses
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


@dataclasses.dataclass(slots=True)
class OutputHandle(Generic[Request, Result]):
    """The value that an asset yields to the IO manager, with a place for the result; the same for both directions.

    Dagster runs the IO manager to its end within the asset's `yield`, on the same object and in the same process, so
    that the object itself can carry the result.
    """

    request: Request
    _result: Result | None = None

    def set_result(self, result: Result) -> None:
        """Set the result. The IO manager calls it after it has committed."""
        self._result = result

    @property
    def result(self) -> Result:
        """The result, available after the `yield` of the handle."""
        if self._result is None:
            raise RuntimeError(
                "The rows were not loaded: the asset's IO manager is not the one of `powerca_sync.defs`."
            )
        return self._result
