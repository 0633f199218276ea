"""The tables that the hourly schedule reverse-syncs: those with pending rows, and every table once a day."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import dagster as dg

from powerca_sync.defs.keys import BOOKING, reverse_key
from powerca_sync.defs.reverse_assets import unattended_tables
from powerca_sync.defs.runs import figures_of
from powerca_sync.defs.sensors import look
from powerca_sync.errors import SyncError
from powerca_sync.specs import TableSpec

#: Seconds after which a table is synced without new rows, before its freshness policy (a day) fails.
LONGEST_PAUSE: Final = 20 * 60 * 60
#: Figures of the last run that a change on the desktop may settle, although no phone row has changed.
UNSETTLED: Final = ("quarantined", "conflicts", "lookalikes", "unassigned")


def request_due_tables(
    specs: Sequence[TableSpec], *, books: bool
) -> Callable[[dg.DagsterInstance], dg.RunRequest | dg.SkipReason]:
    """Returns the function that decides what a tick requests; tables reverse-synced by hand are left out.

    With `books`, the office's function that books phone rows comes along, and is requested alone if rows are unbooked.
    """
    unattended = unattended_tables(specs)

    def request(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
        try:
            found = look(specs)
            pending, unbooked = found.pending, found.unbooked
        except SyncError:
            # The run fails for the same reason, appears in the history and raises an alert.
            pending, unbooked = tuple(spec.mobile for spec in unattended), 0
        keys = {spec.mobile: reverse_key(spec) for spec in unattended}
        due = [key for table, key in keys.items() if table in pending or is_unsettled(instance, key)]
        if due or (books and unbooked):
            return dg.RunRequest(asset_selection=[*due, *([BOOKING] if books else [])])
        return dg.SkipReason("Nothing new: the last run has seen all phone rows, and none of them is quarantined.")

    return request


def is_unsettled(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    """Returns whether the hourly run includes the table: its last run quarantined rows, is old or is missing."""
    event = instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None or event.timestamp < time.time() - LONGEST_PAUSE:
        return True
    figures = figures_of(event.asset_materialization.metadata)
    return any(figures.get(name) for name in UNSETTLED)
