"""How long a table rests after it has failed: computed from Dagster's history, nothing is kept besides.

Tables rest one by one, so that one that cannot be mended today does not hold up the others.
"""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import dagster as dg

#: Seconds after the first failure, and at most; each further one doubles them.
FIRST_REST, LONGEST_REST = 120.0, 3600.0
FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
#: So many failed runs are looked at, the newest first; the rest is the longest after six.
DEPTH = 30


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """How a table has fared since it last landed."""

    #: Runs in which it failed, one after the other.
    count: int
    #: When the last of them ended, in seconds since 1970.
    last: float

    def rest(self, *, now: float | None = None) -> float:
        """Seconds that the table still has to rest."""
        whole = min(FIRST_REST * 2.0 ** (self.count - 1), LONGEST_REST)
        return max(self.last + whole - (time.time() if now is None else now), 0.0)


def recent_failures(
    instance: dg.DagsterInstance, job: str, keys: Sequence[dg.AssetKey]
) -> Mapping[dg.AssetKey, Failures]:
    """Those of the assets that failed in the last runs of the job, with how often; one that landed counts anew.

    An asset that was skipped because another one failed has not failed. If no asset failed and the run did (it was
    cancelled, or its process was killed), all have that did not land.
    """
    landed = {key: _last_landed(instance, key) for key in keys}
    ends = defaultdict(list)
    for record in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=list(FAILED)), limit=DEPTH):
        ended = record.end_time or record.update_timestamp.timestamp()
        for key in _failed_in(instance, record.dagster_run, keys):
            if ended > landed[key]:
                ends[key].append(ended)
    return {key: Failures(count=len(times), last=max(times)) for key, times in ends.items()}


def _last_landed(instance: dg.DagsterInstance, key: dg.AssetKey) -> float:
    event = instance.get_latest_materialization_event(key)
    return event.timestamp if event else 0.0


def _failed_in(instance: dg.DagsterInstance, run: dg.DagsterRun, keys: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
    steps = {step.step_key: step.status for step in instance.get_run_step_stats(run.run_id)}
    ended = {key: getattr(steps.get(key.to_python_identifier()), "value", None) for key in keys}
    selected = [key for key in keys if not run.asset_selection or key in run.asset_selection]
    if any(getattr(status, "value", None) == "FAILURE" for status in steps.values()):
        return [key for key in selected if ended[key] == "FAILURE"]
    return [key for key in selected if ended[key] != "SUCCESS"]
