"""When an asset counts as old, so that a sync that stands still shows in the UI before anybody misses its rows."""

from datetime import timedelta
from typing import Final

import dagster as dg

#: What was not synced for a day is marked as late, after two days as overdue. Dagster's daemon looks twice a minute.
DAILY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=24), fail_window=timedelta(hours=48))
