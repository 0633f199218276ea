"""What a run is given: the two databases, and how to sync this time."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import dagster as dg
from pydantic import Field
from typing_extensions import override

from powerca_sync.engine.requests import Allowances
from powerca_sync.environment import current_settings
from powerca_sync.settings import Settings


class SyncDatabases(dg.ConfigurableResource[Settings]):
    """Where the two databases are. Read from the environment when a run starts, never when code is loaded.

    It has nothing to configure, so that no password gets into a run's configuration, which Dagster stores and shows.
    """

    @override
    def create_resource(self, context: dg.InitResourceContext) -> Settings:
        """The settings of this process; for the demo its servers are started."""
        return current_settings()


class SyncMode(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """How this run syncs; the same for all of its tables."""

    mode: Literal["full", "incremental"] = Field(
        default="full",
        description=(
            "`full` reads every row at the desktop. `incremental` reads what changed since the last run; tables for "
            "which that cannot be told run in full all the same, and say why."
        ),
    )
    allow_mass_delete: bool = Field(
        default=False,
        description="Lets this one run delete more rows on mobile than the guard against mistakes allows.",
    )
    allow_mass_insert: bool = Field(
        default=False,
        description="Lets this one run insert more rows on mobile than the guard against mistakes allows.",
    )
    allow_emptied: bool = Field(
        default=False,
        description="Lets this one run empty more values of a column on mobile than the guard against mistakes allows.",
    )
    verify_on_commit: bool = Field(
        default=False,
        description=(
            "Looks at the rows on mobile after they were written, and rolls the table back if a trigger there has "
            "altered them. Costs about as much again as the merge."
        ),
    )

    @property
    def allowances(self) -> Mapping[str, bool]:
        """What guards let this run do, by the names that the engine has for it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Allowances)}


class PullMode(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """How this run brings phone rows back; the same for all of its tables."""

    again: bool = Field(
        default=False,
        description=(
            "Brings back once more what was pulled before and is no longer on the desktop; what is still there is left "
            "alone."
        ),
    )
    lookalikes: Literal["hold", "adopt", "pull"] = Field(
        default="hold",
        description=(
            "What becomes of new phone rows of which the desktop may have a copy already. `hold` shows both contents, "
            "`adopt` enters them into the ledger as the desktop has them, `pull` inserts them."
        ),
    )
