"""Carries the result of a load from the IO manager back to the asset, whose checks need it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import dagster as dg

Request = TypeVar("Request")
Result = TypeVar("Result")
#: The data version of every synced table: that of data without versions, as Dagster gives it to external assets. With a
#: version that followed the rows, Dagster would call the tables and phone rows after a changed table unsynced, although
#: nothing of them is out of date.
UNVERSIONED: Final = dg.DataVersion("INITIAL")


@dataclasses.dataclass(slots=True)
class OutputHandle(Generic[Request, Result]):
    """The value that an asset yields to the IO manager, with a place for the result; the same for both directions.

    Dagster runs the IO manager to its end within the asset's `yield`, on the same object and in the same process, so
    that the object itself can carry the result.
    """

    request: Request
    context: dg.AssetExecutionContext
    _result: Result | None = None

    def set_result(self, result: Result, metadata: Mapping[str, Any]) -> None:
        """Set the result and the metadata of the materialization. The IO manager calls it after it has committed.

        Metadata of the output would be stored twice, with the materialization and with the IO manager's own event.
        """
        self._result = result
        self.context.add_asset_metadata(metadata)

    @property
    def result(self) -> Result:
        """The result, available after the `yield` of the handle."""
        if self._result is None:
            raise RuntimeError(
                "The rows were not loaded: the asset's IO manager is not the one of `powerca_sync.defs`."
            )
        return self._result
