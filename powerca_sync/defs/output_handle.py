"""Carries the result of a load from the IO manager back to the asset, whose checks and data version need it."""

import dataclasses
from typing import Final, Generic, TypeVar

import dagster as dg

Request = TypeVar("Request")
Result = TypeVar("Result")
#: Tag of a materialization; Dagster has no public name for it.
DATA_VERSION: Final = "dagster/data_version"


@dataclasses.dataclass(slots=True)
class OutputHandle(Generic[Request, Result]):
    """The value that an asset yields to the IO manager, with a place for the result; the same for both directions.

    Dagster runs the IO manager to its end within the asset's `yield`, on the same object and in the same process, so
    that the object itself can carry the result.
    """

    request: Request
    context: dg.AssetExecutionContext
    _result: Result | None = None

    def set_result(self, result: Result, *, rows_written: int, last: dg.AssetMaterialization | None) -> None:
        """Set the result and the asset's data version. The IO manager calls it after it has committed.

        The data version is the run that last wrote rows. A run that writes none keeps that of the `last`
        materialization, so that Dagster does not call assets downstream unsynced.
        """
        self._result = result
        version = (last.tags or {}).get(DATA_VERSION) if last and not rows_written else None
        self.context.set_data_version(self.context.asset_key, dg.DataVersion(version or self.context.run.run_id))

    @property
    def result(self) -> Result:
        """The result, available after the `yield` of the handle."""
        if self._result is None:
            raise RuntimeError(
                "The rows were not loaded: the asset's IO manager is not the one of `powerca_sync.defs`."
            )
        return self._result


def latest_materialization(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    """Returns the last materialization of an asset; None before the first."""
    event = instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None
