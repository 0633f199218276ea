"""The freshness policy of the assets: a sync that has stopped shows in the UI."""

from datetime import timedelta
from typing import Final

import dagster as dg

#: Warns after a day without a sync, fails after two. Dagster's daemon evaluates it twice a minute.
DAILY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=24), fail_window=timedelta(hours=48))
