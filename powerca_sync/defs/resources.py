"""Resources of a run: the two databases, and the options of the sync."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import dagster as dg
from pydantic import Field
from typing_extensions import override

from powerca_sync.defs.partitions import office_of
from powerca_sync.engine.requests import Allowances
from powerca_sync.environment import current_settings, serves_offices
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import Settings


class NoOffice:
    """The databases of a run without an office, where there are several: an asset that needs none of them may run."""

    def __init__(self, error: ConfigurationError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> object:
        """Raises `ConfigurationError`: there is no telling which databases are meant."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise self.error


class SyncDatabases(dg.ConfigurableResource[Settings | NoOffice]):
    """The settings of both databases, read from the environment when a run starts, not when code is loaded.

    It has nothing to configure, so that no password gets into a run's configuration, which Dagster stores and shows.
    """

    @override
    def create_resource(self, context: dg.InitResourceContext) -> Settings | NoOffice:
        """Returns the settings of this process, or of the run's office; starts the servers of the demo."""
        office = office_of(context.run) if context.run else None
        try:
            return current_settings(office)
        except ConfigurationError as exc:
            if office is None and serves_offices():
                return NoOffice(exc)
            raise


class SyncMode(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """Options of a forward run, for all of its tables."""

    mode: Literal["full", "incremental"] = Field(
        default="full",
        description=(
            "`full` reads every row of the desktop. `incremental` reads the rows that changed since the last run; "
            "tables without a usable watermark run in full and say why."
        ),
    )
    allow_mass_delete: bool = Field(
        default=False,
        description="Lets this run delete more rows on mobile than the guard allows.",
    )
    allow_mass_insert: bool = Field(
        default=False,
        description="Lets this run insert more rows on mobile than the guard allows.",
    )
    allow_emptied: bool = Field(
        default=False,
        description="Lets this run set more values of a column on mobile to NULL than the guard allows.",
    )
    delete_foreign: bool = Field(
        default=False,
        description=(
            "Lets this one run delete the desktop-owned rows that others than the sync inserted or changed on mobile "
            "and that the desktop does not have. Otherwise they are kept and reported."
        ),
    )
    verify_on_commit: bool = Field(
        default=False,
        description=(
            "Compares the written rows on mobile with the staged ones before commit, and rolls the table back if a "
            "trigger has altered them. Doubles the cost of the merge."
        ),
    )

    @property
    def allowances(self) -> Mapping[str, bool]:
        """Returns the switches of the guards, and that of the deletes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Allowances)}


class PullMode(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """Options of a reverse run, for all of its tables."""

    again: bool = Field(
        default=False,
        description=("Inserts again rows that were reverse-synced before and are no longer on the desktop."),
    )
    lookalikes: Literal["hold", "adopt", "pull"] = Field(
        default="hold",
        description=(
            "What happens to look-alikes: new phone rows of which the desktop may already have a copy. `hold` shows "
            "both contents, `adopt` enters the desktop's rows into the ledger, `pull` inserts the phone rows."
        ),
    )
