"""The phone rows: diary lines, requests for leave, and the app's own rows about sessions.

All of them reference staff, so they can only be inserted after the first forward run.
"""

import datetime as dt
from collections import defaultdict
from random import Random
from typing import Final

from powerca_sync.demo import vocabulary
from powerca_sync.demo.loading import Connection, copy_rows
from powerca_sync.demo.masters import STAFF_IDS
from powerca_sync.demo.office import SEED, Office, build_office
from powerca_sync.demo.records import Assignment, Device, DiaryLine, LeaveRequest, LoginRequest, Session
from powerca_sync.specs import CREATED, OWNER, PHONE, UPDATED

DIARY_LINES: Final = 40
#: Values longer than the desktop's columns: a note, and the name of a document.
DIARY_LINES_TOO_LONG: Final = 2
LEAVE_REQUESTS: Final = 15
#: How often a diary line has no task, no clock times ("hours mode"), no organisation, and a job of an earlier fiscal
#: year.
NO_TASK, NO_CLOCK, NO_OFFICE, OLD_JOB = 7, 6, 17, 11


def create_phone_rows(connection: Connection, *, seed: int = SEED) -> None:
    """Inserts the phone rows, in one transaction, into a mobile database that has the office's staff.

    Their content is the same every time. The timestamps of diary lines follow the server's clock: the app sends local
    time without an offset, which the cloud reads as UTC, so they lie 5 h 30 min in the future.
    """
    office = build_office(seed)
    devices = [Device(f"demo-phone-{staff_id}", staff_id, "android") for staff_id in STAFF_IDS[:3]]
    with connection.transaction():
        ((wall_clock,),) = connection.execute("SELECT now() + interval '5 hours 30 minutes'").fetchall()
        lines = diary(Random(f"{seed} diary"), office)
        copy_rows(connection, "workdiary", lines, {OWNER: PHONE, CREATED: wall_clock, UPDATED: wall_clock})
        copy_rows(connection, "learequest", leave_requests(Random(f"{seed} leave")), {OWNER: PHONE})
        copy_rows(connection, "staff_devices", devices, {})
        copy_rows(connection, "staff_sessions", [Session(d.staff_id, d.device_id) for d in devices], {})
        copy_rows(connection, "login_requests", [LoginRequest(STAFF_IDS[3], "demo-phone-new", "pending")], {})


def count_without_organisation(connection: Connection) -> int:
    """Returns the number of the phones' diary lines without an organisation."""
    ((count,),) = connection.execute(
        "SELECT count(*) FROM workdiary WHERE source = %s AND org_id IS NULL", [PHONE]
    ).fetchall()
    return int(count)


def diary(random: Random, office: Office) -> list[DiaryLine]:
    """Returns two weeks of work. Two lines are equal; the last two do not fit the desktop's columns."""
    of_staff = [row for row in office.assignments if row.sporg_id in STAFF_IDS and row.loc_id == 1 and row.org_id == 1]
    old, new = of_staff[: len(of_staff) // 2], of_staff[-500:]
    steps = defaultdict(list)
    for task in office.tasks:
        steps[task.job_id].append(task.task_id)
    count = DIARY_LINES - DIARY_LINES_TOO_LONG - 1
    lines = [
        _line(random, random.choice(new if place % OLD_JOB else old), steps, place) for place in range(1, count + 1)
    ]
    note = "Went through the ledger of loans with the client's accountant; three confirmations are still to come"
    document = "https://storage.example/documents/" + "f" * 80 + "/stock-statement-september.pdf"
    last = lines[-1]
    return [*lines, lines[0], last._replace(tasknotes=note), last._replace(doc_ref=document, attachment="Y")]


def _line(random: Random, job: Assignment, steps: dict[int, list[int | None]], place: int) -> DiaryLine:
    somewhere = place % NO_OFFICE != 0
    minutes = random.randrange(30, 240, 15)
    begin = random.randrange(9 * 60, 18 * 60, 15)
    return DiaryLine(
        org_id=job.org_id if somewhere else None,
        con_id=job.con_id if somewhere else None,
        loc_id=job.loc_id if somewhere else None,
        staff_id=job.sporg_id,
        client_id=job.client_id,
        job_id=job.job_id,
        task_id=random.choice(steps[job.job_id]) if place % NO_TASK else None,
        date=dt.date(2025, 10, 13) + dt.timedelta(days=random.randrange(12)),
        timefrom=dt.time(*divmod(begin, 60)) if place % NO_CLOCK else None,
        timeto=dt.time(*divmod(begin + minutes, 60)) if place % NO_CLOCK else None,
        minutes=minutes,
        tasknotes=random.choice(vocabulary.NOTES),
        attachment="N",
        doc_ref=None,
    )


def leave_requests(random: Random) -> list[LeaveRequest]:
    """Returns requests with ids of phones; half days are only a tag at the end of the remarks."""
    rows = []
    for learequest_id in random.sample(range(100_000), LEAVE_REQUESTS):
        staff_id = random.choice(STAFF_IDS)
        day = dt.date(2025, 10, 13) + dt.timedelta(days=random.randrange(40))
        asked = day - dt.timedelta(days=random.randint(0, 9))
        half = random.choice(("", "", " [FH]", " [SH]"))
        rows.append(
            LeaveRequest(
                org_id=1,
                con_id=random.choice((0, 1, None)),
                loc_id=1,
                learequest_id=learequest_id,
                staff_id=staff_id,
                requestdate=asked,
                fromdate=day,
                todate=day if half else day + dt.timedelta(days=random.randint(0, 4)),
                fhvalue="Y" if half == " [FH]" else "N",
                shvalue="Y" if half == " [SH]" else "N",
                leavetype=random.choice(("SL", "CL", "EL", "EM")),
                leaveremarks=random.choice(("Fever", "Family function", "कुलदेवता पूजा", "Exam", "Native place")) + half,
                createdby=f"{staff_id}",
                createddate=asked,
                approval_status=random.choice("PPPA"),
            )
        )
    return rows
