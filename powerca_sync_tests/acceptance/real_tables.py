"""A few rows for each of the real tables, on the demo's schemas, for tests that run them all.

Several offices differ by their number, which is their organisation and the thousands of all their keys.
"""

from powerca_sync.demo import create_desktop, create_mobile
from powerca_sync.engine.postgres.database import Connection
from powerca_sync.tables import TABLES

#: Must not appear in anything that is printed or stored.
LOGIN = "app-login-secret"

DESKTOP_ROWS = """
INSERT INTO orgmaster (org_id, orgname) VALUES (:n, 'Organisation :n');
INSERT INTO locmaster (org_id, loc_id, locname) VALUES (:n, :n, 'Place :n');
INSERT INTO conmaster (org_id, con_id, conname) VALUES (:n, :n, 'Concern :n');
-- The last client's place does not exist.
INSERT INTO climaster (org_id, con_id, loc_id, client_id, clientname, clientphone)
SELECT :n, CASE i % 3 WHEN 0 THEN 0 WHEN 1 THEN :n END, CASE i WHEN 30 THEN 99 ELSE :n END, :n000 + i,
    'Client ' || i || ' of :n', '+91 00000 ' || i
FROM generate_series(1, 30) AS i;
INSERT INTO cliunimaster (org_id, con_id, loc_id, client_id, cliunit_id, cliunitname)
SELECT :n, :n, :n, :n000 + i, :n000 + i, 'Branch ' || i FROM generate_series(1, 5) AS i;
INSERT INTO taskmaster (org_id, con_id, loc_id, task_id, task_desc, task_status)
SELECT :n, :n, :n, :n000 + i, 'Task ' || i, 1 FROM generate_series(1, 6) AS i;
INSERT INTO jobmaster (org_id, con_id, loc_id, job_id, jobdesc, jobstatus)
SELECT :n, :n, :n, :n000 + i, 'Job ' || i, 'A' FROM generate_series(1, 4) AS i;
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, app_username, app_pw, stafftype, name, active_status)
SELECT :n, 0, :n, :n000 + i, 'person' || i, '{login}-:n-' || i, 2, 'Person ' || i, 0
FROM generate_series(1, 8) AS i;
-- Two people to a job.
INSERT INTO jobshead (org_id, con_id, loc_id, job_id, year_id, client_id, jobdate, work_desc, job_status, jctincharge,
    sporg_id)
SELECT :n, 0, :n, :n000 + i / 2, 20252026, :n000 + i / 2 % 29 + 1, date '2025-04-01' + i, 'Audit ' || i, 'A', 'Y',
    :n000 + i % 8 + 1
FROM generate_series(2, 41) AS i;
-- The last task's job does not exist.
INSERT INTO jobtasks (org_id, con_id, loc_id, job_id, year_id, task_id, taskorder, task_desc, jobdet_man_hrs)
SELECT :n, :n, :n, CASE i WHEN 60 THEN 9999999 ELSE :n000 + i % 20 + 1 END, 20252026, :n000 + i % 6 + 1, i,
    'Task ' || i, 1.50
FROM generate_series(1, 60) AS i;
-- Lines repeat word for word.
INSERT INTO taskchecklist (org_id, loc_id, task_id, checklistdesc, checkliststatus, job_id)
SELECT :n, :n, :n000 + i % 6 + 1, 'Line ' || i % 4, 0, NULL FROM generate_series(1, 36) AS i;
INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, timefrom, timeto, minutes, tasknotes)
SELECT :n, :n, :n, :n000 + i, :n000 + i, :n000 + i, date '2025-10-01', timestamp '2025-10-01 09:30',
    timestamp '2025-10-01 11:00', 90, 'At the office ' || i
FROM generate_series(1, 3) AS i;
INSERT INTO mbreminder (rem_id, org_id, loc_id, year_id, staff_id, remdate, remtitle, remstatus)
SELECT :n000 + i, :n, :n, 20252026, :n000 + i, date '2025-10-01' + i, 'Reminder ' || i, 0
FROM generate_series(1, 6) AS i;
INSERT INTO mbremdetail (remdetid, rem_id, staff_id, remresponse, remresstatus)
SELECT :n000 + i, :n000 + i % 6 + 1, :n000 + i % 8 + 1, 'Done ' || i, 'Y' FROM generate_series(1, 9) AS i;
INSERT INTO learequest (org_id, con_id, loc_id, learequest_id, staff_id, requestdate, fromdate, todate, leavetype)
SELECT :n, :n, :n, :n000 + i, :n000 + i, '2025-10-01', '2025-10-10', '2025-10-11', 'CL'
FROM generate_series(1, 2) AS i;
""".replace("{login}", LOGIN)

#: The number of rows of the office.
ROWS = 212
#: The number of rows quarantined by a run: a client and a task.
QUARANTINED = {"climaster": 1, "jobtasks": 1}

PHONE_ROWS = """
INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, timefrom, timeto, minutes, tasknotes,
    source)
SELECT :n, :n, :n, :n000 + i, :n000 + i, :n000 + i, date '2025-10-02', '10:00', '11:00', 60, 'On the way ' || i, 'M'
FROM generate_series(1, 4) AS i;
INSERT INTO learequest (org_id, con_id, loc_id, learequest_id, staff_id, requestdate, fromdate, todate, leavetype,
    source)
SELECT :n, :n, :n, :n000 + 500 + i, :n000 + i, '2025-10-02', '2025-11-10', '2025-11-11', 'SL', 'M'
FROM generate_series(1, 2) AS i;
INSERT INTO reminder (rem_id, org_id, loc_id, year_id, staff_id, remtitle, source)
VALUES (:n500, :n, :n, 20252026, :n001, 'From the phone', 'M');
INSERT INTO remdetail (remdetid, rem_id, staff_id, remresponse, source)
VALUES (:n500, :n001, :n001, 'From the phone', 'M');
"""

#: Rows that phones create in each table.
PHONE_ROWS_MADE = {"workdiary": 4, "learequest": 2, "reminder": 1, "remdetail": 1}


def create_office(desktop: Connection, *, office: int = 1) -> None:
    """Creates the desktop's tables and the rows of one office."""
    create_desktop(desktop)
    desktop.execute(DESKTOP_ROWS.replace(":n", str(office)))  # type: ignore[call-overload]


def create_empty_mobile(mobile: Connection) -> None:
    """Creates the mobile tables."""
    create_mobile(mobile)


def add_phone_rows(mobile: Connection, *, office: int = 1) -> None:
    """Inserts the phone rows of an office after the first forward run."""
    mobile.execute(PHONE_ROWS.replace(":n", str(office)))  # type: ignore[call-overload]


def contents(mobile: Connection, *, where: str = "TRUE") -> dict[str, list[str]]:
    """Returns every row of the mobile tables as text with its ctid, so that any write changes it."""
    return {
        spec.mobile: [
            text
            for (text,) in mobile.execute(
                f"SELECT ROW(t.ctid, t.xmin, t.*)::text FROM {spec.mobile} AS t WHERE {where} ORDER BY 1"  # type: ignore[call-overload]  # noqa: S608
            )
        ]
        for spec in TABLES
    }
