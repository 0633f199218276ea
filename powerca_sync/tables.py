"""The synced tables of the office: one `TableSpec` for each.

No other module of the product names a table, except for the demo.
"""

import dataclasses
from typing import Any

from powerca_sync.specs import BY_HAND, Category, Expression, Lookup, Reference, Strategy, TableSpec, in_order

ORG = Reference(column="org_id", parent="orgmaster")
LOC = Reference(column="loc_id", parent="locmaster")
CON = Reference(column="con_id", parent="conmaster", zero_is_none=True)
CLIENT = Reference(column="client_id", parent="climaster", zero_is_none=True)
STAFF = Reference(column="staff_id", parent="mbstaff")
JOB = Reference(column="job_id", parent="jobshead")
TASK = Reference(column="task_id", parent="taskmaster")
REMINDER = Reference(column="rem_id", parent="reminder")


def after(*references: Reference) -> tuple[Reference, ...]:
    """Returns the references as order-only dependencies, for desktops that hold rows without that parent."""
    return tuple(dataclasses.replace(reference, order_only=True) for reference in references)


def _master(desktop: str, key: str, description: str, topics: tuple[str, ...], **rest: Any) -> TableSpec:
    return TableSpec(
        desktop=desktop,
        description=description,
        topics=topics,
        category=Category.MASTERS,
        strategy=Strategy.UPSERT,
        key=(key,),
        # A phone must not create a client or a login on the desktop unnoticed.
        reverse=BY_HAND,
        **rest,
    )


def _records(
    desktop: str,
    strategy: Strategy,
    key: tuple[str, ...],
    description: str,
    topics: tuple[str, ...],
    **rest: Any,
) -> TableSpec:
    return TableSpec(
        desktop=desktop,
        description=description,
        topics=topics,
        category=Category.TRANSACTIONAL,
        strategy=strategy,
        key=key,
        **rest,
    )


_DECLARED = (
    _master(
        "orgmaster",
        "org_id",
        "The organisations of this office. Every other row belongs to one of them.",
        ("organisations",),
        defines_offices=True,
    ),
    _master(
        "locmaster",
        "loc_id",
        "The places where the office works: its branches and rooms.",
        ("locations", "branches"),
        references=(ORG,),
    ),
    _master(
        "conmaster",
        "con_id",
        "The concerns (firms) under which work is billed.",
        ("concerns", "firms", "billing"),
        references=(ORG,),
    ),
    # Most clients have concern 0 or NULL, so that the concern is not checked.
    _master(
        "climaster",
        "client_id",
        "The clients of the office, with their addresses and tax numbers.",
        ("clients", "customers"),
        references=(ORG, LOC, *after(CON)),
    ),
    _master(
        "cliunimaster",
        "cliunit_id",
        "The units and branches of clients.",
        ("clients", "units", "branches"),
        references=(ORG, CON, LOC, CLIENT),
    ),
    _master(
        "taskmaster",
        "task_id",
        "The kinds of task of which jobs are made.",
        ("tasks",),
        references=(ORG, CON, LOC),
    ),
    _master(
        "jobmaster",
        "job_id",
        "The kinds of job that the office offers, such as an audit or a tax return.",
        ("jobs", "services"),
        references=(ORG, CON, LOC),
    ),
    # The office locks and unlocks its people (`active_status`); `app_pw` is a credential.
    _master(
        "mbstaff",
        "staff_id",
        "The people of the office, and their logins to the app.",
        ("staff", "people", "logins"),
        references=(ORG, LOC, *after(CON)),
        sensitive=frozenset({"app_pw"}),
    ),
    # One row per assigned person, so that `job_id` repeats. A sixth of the jobs reference clients that no longer
    # exist; the phones show these jobs all the same.
    _records(
        "jobshead",
        Strategy.DELETE_INSERT,
        ("org_id", "job_id"),
        "The jobs for clients, one row for each person assigned.",
        ("jobs", "assignments"),
        references=(ORG, LOC, *after(CON, CLIENT, STAFF, Reference(column="job_id", parent="jobmaster"))),
        skip=frozenset({"jctincharge", "jt_id", "tc_id"}),
    ),
    _records(
        "jobtasks",
        Strategy.DELETE_INSERT,
        ("org_id", "job_id", "task_id"),
        "The tasks of each job.",
        ("tasks", "jobs"),
        references=(ORG, LOC, JOB, *after(CON, TASK)),
        lookups=(Lookup(column="client_id", table="jobshead", match="job_id"),),
        skip=frozenset({"jt_uid"}),
    ),
    # Lines repeat word for word within a task. Phones tick them.
    _records(
        "taskchecklist",
        Strategy.DELETE_INSERT,
        ("org_id", "task_id", "checklistdesc"),
        "The checklist lines of each task, which phones tick.",
        ("checklists", "tasks"),
        references=(ORG, LOC, *after(JOB, TASK)),
        mobile_owned=frozenset({"checkliststatus"}),
    ),
    # Both sides write here. The desktop keeps clock times as timestamps on the day of work, mobile as times of day.
    _records(
        "workdiary",
        Strategy.DELETE_INSERT,
        ("org_id", "staff_id", "date", "job_id", "task_id"),
        "What each person worked on, day by day, with the time from and to.",
        ("work", "time", "diary"),
        references=(ORG, CON, LOC, STAFF, *after(CLIENT, JOB, TASK)),
        made_by="staff_id",
        expressions=(
            Expression(column="timefrom", forward='"timefrom"::time', reverse='"date" + "timefrom"'),
            Expression(column="timeto", forward='"timeto"::time', reverse='"date" + "timeto"'),
        ),
    ),
    _records(
        "mbreminder",
        Strategy.UPSERT,
        ("rem_id",),
        "Reminders to staff and clients.",
        ("reminders",),
        mobile="reminder",
        references=(ORG, LOC, *after(STAFF, CLIENT)),
        made_by="staff_id",
    ),
    # Has no org_id: its office is the reminder's.
    _records(
        "mbremdetail",
        Strategy.UPSERT,
        ("remdetid",),
        "The answers of staff to reminders.",
        ("reminders", "answers"),
        mobile="remdetail",
        references=(REMINDER, *after(STAFF)),
        office="rem_id",
        made_by="staff_id",
    ),
    # Both sides write here; phones make their own ids.
    _records(
        "learequest",
        Strategy.UPSERT,
        ("learequest_id",),
        "Requests of staff for leave, and whether they are granted.",
        ("leave", "absences"),
        references=(ORG, CON, LOC, STAFF),
        made_by="staff_id",
    ),
)

#: The tables of the office, parents first.
TABLES = in_order(_DECLARED)
