"""The asset `offices`: the state of all offices at a glance, those that need attention first."""

import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.attention import verdict_of_offices
from powerca_sync.defs.keys import OWNERS
from powerca_sync.defs.metadata import text_table
from powerca_sync.defs.offices.office_view import OfficeView, look_at_offices
from powerca_sync.defs.runs import FRESH, OVERVIEW, OVERVIEW_JOB
from powerca_sync.defs.schedules import build_schedule
from powerca_sync.defs.status_report import moment_text, shown_table
from powerca_sync.environment import find_offices
from powerca_sync.operations import STATUS_CRON, Schedules
from powerca_sync.plain_text import counted
from powerca_sync.specs import TableSpec

#: Names of its other checks.
REACHABLE, WELL = "reachable", "well"
#: Seconds.
MAX_RUNTIME: Final = 10 * 60
#: Offices in the table, offices that a sentence names, and characters of what it says of each.
SHOWN, NAMED, LONGEST = 60, 10, 200
#: Lines of the table of a check.
LINES = 200


def build_overview(
    specs: Sequence[TableSpec], schedules: Schedules, *, checks: Sequence[dg.AssetCheckKey]
) -> dg.Definitions:
    """Returns the asset, its checks, its job and its schedule; `checks` are those of the offices."""

    @dg.asset(
        key=OVERVIEW,
        group_name="reports",
        kinds={"report"},
        owners=OWNERS,
        description=(
            "All offices of the file of offices, those that need attention first: what needs attention, the last sync "
            "each way, the table that was synced longest ago, quarantined and pending rows, conflicts. The "
            "`status_report` of an office tells more of it. It changes nothing."
        ),
        check_specs=[
            dg.AssetCheckSpec(FRESH, asset=OVERVIEW, description="Every table of every office was synced last night."),
            dg.AssetCheckSpec(REACHABLE, asset=OVERVIEW, description="Both databases of every office answer."),
            dg.AssetCheckSpec(
                WELL,
                asset=OVERVIEW,
                description="In no office did a run or a check fail last, and none has rows to look at.",
            ),
        ],
    )
    def offices(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Ask all databases, and describe all offices."""
        views, unassigned = look_at_offices(context.instance, find_offices(), specs, checks, now=datetime.now(UTC))
        unwell = {view.key: view.unwell for view in views}
        unwell |= {f"mobile database {mobile}": [_of_unknown_office(rows)] for mobile, rows in unassigned.items()}
        yield dg.MaterializeResult(
            metadata=describe_offices(views, unassigned, zone=zoneinfo.ZoneInfo(schedules.timezone))
        )
        yield _check(FRESH, {view.key: view.late for view in views}, "Every table was synced in time.")
        yield _check(REACHABLE, {view.key: [view.away] if view.away else [] for view in views}, "All databases answer.")
        yield _check(WELL, unwell, "No failures, and no rows to look at.")

    job = dg.define_asset_job(
        OVERVIEW_JOB,
        selection=[OVERVIEW],
        description="Brings the overview of all offices up to date; moves no rows.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(MAX_RUNTIME)},
    )
    hourly = build_schedule(
        OVERVIEW_JOB,
        schedules,
        STATUS_CRON,
        "Every hour: the overview of all offices.",
        not_beside=[OVERVIEW_JOB],
        max_runtime=MAX_RUNTIME,
    )
    return dg.Definitions(assets=[offices], jobs=[job], schedules=[hourly] if hourly else [])


def describe_offices(
    views: Sequence[OfficeView], unassigned: Mapping[str, Mapping[str, int]], *, zone: tzinfo
) -> Mapping[str, Any]:
    """Returns the metadata: the verdict, the table of offices, then figures that plot over time.

    Names are short, because Dagster gives what they leave to the tables.
    """
    in_need = [view for view in views if view.reasons]
    attention = text_table(("office", "what"), [(view.key, _first_reason(view)) for view in in_need[:SHOWN]])
    table = shown_table([_line(view, zone) for view in views[:SHOWN]])
    left_out = len(views) - SHOWN
    return {
        "verdict": verdict_of_offices([view.key for view in in_need], len(views)),
        **({"attention": attention} if in_need else {}),
        **({"offices": table} if table else {}),
        **({"not_shown": f"{counted(left_out, 'office')} after these."} if left_out > 0 else {}),
        "all_offices": len(views),
        "need_attention": len(in_need),
        "away": sum(bool(view.away) for view in views),
        "late": sum(bool(view.late) for view in views),
        "failed_checks": sum(len(view.failed_checks) for view in views),
        "quarantined": sum(view.quarantined for view in views),
        "pending": sum(view.phone_rows("waiting") for view in views),
        "conflicts": sum(view.phone_rows("conflicting") for view in views),
        "unassigned": sum(sum(rows.values()) for rows in unassigned.values()),
    }


def _first_reason(view: OfficeView) -> str:
    first, *others = view.reasons
    return f"{_short(first)} (and {counted(len(others), 'other')})" if others else _short(first)


def _line(view: OfficeView, zone: tzinfo) -> dict[str, Any]:
    """Returns a line that is narrow enough for Dagster's page of the asset in a window of 1600 pixels."""
    oldest = view.oldest
    return {
        "office": view.key,
        "away": "yes" if view.away else "",
        "to mobile": moment_text(view.last_forward, zone) if view.last_forward else "",
        "to desktop": moment_text(view.last_reverse, zone) if view.last_reverse else "",
        "oldest table": f"{oldest[0]} {moment_text(oldest[1], zone)}" if oldest else "",
        "checks": len(view.failed_checks),
        "quarantined": view.quarantined,
        "pending": view.phone_rows("waiting"),
        "conflicts": view.phone_rows("conflicting"),
    }


def _check(name: str, found: Mapping[str, Sequence[str]], well: str) -> dg.AssetCheckResult:
    """Returns a check that lists the offices of which there is something to say."""
    offenders = {key: reasons for key, reasons in found.items() if reasons}
    lines = [(key, why) for key, all_of in offenders.items() for why in all_of]
    named = [f"{key}: {_short(' '.join(reasons))}" for key, reasons in list(offenders.items())[:NAMED]]
    if len(offenders) > NAMED:
        named.append(f"and {counted(len(offenders) - NAMED, 'other')}.")
    return dg.AssetCheckResult(
        check_name=name,
        passed=not offenders,
        description="\n".join(named) or well,
        metadata={
            "offices": text_table(("office", "what"), lines[:LINES]),
            "number_of_offices": len(offenders),
            **({"not_shown": f"{counted(len(lines) - LINES, 'line')} after these."} if len(lines) > LINES else {}),
        }
        if offenders
        else {},
    )


def _of_unknown_office(rows: Mapping[str, int]) -> str:
    named = ", ".join(f"{table} {count}" for table, count in rows.items())
    return f"Phone rows of unknown office: {named}. Set the organisation on mobile."


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
