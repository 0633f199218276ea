"""The options of both IO managers that an operator may configure."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import dagster as dg
from pydantic import Field
from typing_extensions import override

from powerca_sync.defs.failures import Retries
from powerca_sync.defs.resources import NoOffice
from powerca_sync.engine.postgres import Timeouts


class _NoTables(dg.IOManager):
    """The IO manager of a run without an office. Dagster makes one also for an asset that has no output."""

    def __init__(self, databases: NoOffice) -> None:
        self._databases = databases

    @override
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Raises `ConfigurationError`."""
        raise self._databases.error

    @override
    def load_input(self, context: dg.InputContext) -> None:
        """Raises `ConfigurationError`."""
        raise self._databases.error


class LoadFactory(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]  # its value is an IO manager
    """Time limits and retries of a load, in the launchpad under the name of the IO manager."""

    statement: float = Field(default=Timeouts().statement, description="Seconds for one statement.", gt=0)
    lock: float = Field(default=Timeouts().lock, description="Seconds for a row lock that the app holds.", gt=0)
    table: float = Field(default=Timeouts().table, description="Seconds for another run of the same table.", gt=0)
    retries: int = Field(
        default=Retries().most, description="Number of retries of a table after an error that may pass.", ge=0
    )
    wait: float = Field(default=Retries().wait, description="Seconds before each retry.", ge=0)

    @classmethod
    def with_defaults(cls, timeouts: Timeouts, retries: Retries, **resources: Any) -> Self:
        """Returns the factory for Dagster, with these as the values of what is not configured."""
        return cls(**dataclasses.asdict(timeouts), retries=retries.most, wait=retries.wait, **resources)

    @property
    def options(self) -> dict[str, float]:
        """The options by their names in the launchpad."""
        return {name: getattr(self, name) for name in (*Timeouts.__dataclass_fields__, "retries", "wait")}

    @override
    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """Yields the IO manager, and closes its connections after the run."""
        databases = getattr(self, "databases", None)
        if isinstance(databases, NoOffice):
            yield _NoTables(databases)
            return
        with contextlib.closing(self.create_io_manager(context)) as manager:
            yield manager

    @property
    def timeouts(self) -> Timeouts:
        """The time limits as configured."""
        return Timeouts(statement=self.statement, lock=self.lock, table=self.table)
