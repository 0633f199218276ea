"""Freshness policies of the assets: a sync that has stopped shows in the UI."""

from datetime import timedelta
from typing import Final

import dagster as dg

from powerca_sync.errors import ConfigurationError

#: Warns after a day without a sync, fails after two. Dagster's daemon evaluates it twice a minute.
DAILY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=24), fail_window=timedelta(hours=48))


def deadline(cron: str, timezone: str) -> dg.FreshnessPolicy:
    """Returns a policy that fails at each tick of `cron` if the asset was not synced since the midnight before.

    Days without a tick have no deadline. The policy knows weekdays and dates, and no movable holidays. Raises
    `ConfigurationError` for anything but one fixed time of the day.
    """
    fields = cron.split()
    try:
        minute, hour = (int(field) for field in fields[:2])
        # Dagster wants a window that is shorter than the time between two ticks.
        since_midnight = timedelta(hours=hour, minutes=max(minute, 1))
        return dg.FreshnessPolicy.cron(deadline_cron=cron, lower_bound_delta=since_midnight, timezone=timezone)
    # Dagster has no public error for an invalid cron string.
    except Exception as exc:
        raise ConfigurationError(
            f"`fresh_by` is `{cron}`, which is not a deadline. Use a cron string with one fixed time, such as "
            "`0 9 * * 1-6` for nine o'clock from Monday to Saturday."
        ) from exc
