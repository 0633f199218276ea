"""Count the events of a run by kind, and measure the stages of runs that the daemon launches."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import dagster as dg
from rich.table import Table

#: The last event of each stage of a run that the daemon launches, in order.
STAGES = {
    "in the queue": dg.DagsterEventType.PIPELINE_STARTING,
    "start of its process": dg.DagsterEventType.PIPELINE_START,
    "running": dg.DagsterEventType.PIPELINE_SUCCESS,
}


def count_events(instance: dg.DagsterInstance, run_id: str) -> Counter[str]:
    """Returns the number of events of a run by kind; lines of the log that are no event of Dagster are one kind."""
    return Counter(
        entry.dagster_event.event_type_value if entry.dagster_event else "(line of the log)"
        for entry in instance.all_logs(run_id)
    )


def tabulate_events(title: str, runs: Mapping[str, Counter[str]]) -> Table:
    """Returns a table with a row for each kind of event and a column for each of these runs."""
    table = Table(title=title, title_justify="left")
    table.add_column("event")
    for name in runs:
        table.add_column(name, justify="right")
    for kind, _ in sum(runs.values(), Counter()).most_common():
        table.add_row(kind, *(str(counts[kind]) for counts in runs.values()))
    table.add_section()
    table.add_row("all", *(str(counts.total()) for counts in runs.values()))
    return table


def tabulate_stages(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> Table:
    """Returns a table of the seconds that these runs spent in each of the `STAGES`."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for run_id in run_ids:
        times = {
            entry.dagster_event.event_type: entry.timestamp
            for entry in instance.all_logs(run_id)
            if entry.dagster_event
        }
        before = times[dg.DagsterEventType.PIPELINE_ENQUEUED]
        for stage, last in STAGES.items():
            found[stage].append(times[last] - before)
            before = times[last]
    table = Table(title=f"Stages of {len(run_ids)} runs, seconds", title_justify="left")
    for heading in ("stage", "median", "95 %", "most"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, seconds in found.items():
        table.add_row(stage, *describe(seconds))
    return table


def describe(seconds: Sequence[float]) -> tuple[str, str, str]:
    """Returns the median, the 95th percentile and the maximum."""
    high = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return f"{statistics.median(seconds):.1f}", f"{high:.1f}", f"{max(seconds):.1f}"
