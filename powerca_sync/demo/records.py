"""The rows of the generated office, one class per table; the fields are the columns that get a value.

Named tuples, because they go to COPY as they are. `source` and the timestamps are not here: `loading.py` adds them.
"""

import datetime as dt
from decimal import Decimal
from typing import NamedTuple


class Organisation(NamedTuple):
    org_id: int
    orgname: str


class Location(NamedTuple):
    org_id: int
    loc_id: int
    locname: str


class Concern(NamedTuple):
    org_id: int | None
    con_id: int
    conname: str
    conmail: str | None
    conphone: str | None


class Client(NamedTuple):
    org_id: int
    con_id: int | None
    loc_id: int
    client_id: int
    clientname: str
    clientmail: str | None
    clientphone: str | None


class Person(NamedTuple):
    org_id: int
    con_id: int
    loc_id: int
    staff_id: int
    app_username: str
    app_pw: str
    stafftype: int
    name: str
    phonumber: str
    dob: dt.date
    email: str
    whetherca: str
    ca_mem_no: str | None
    desc_id: int
    spdoj: dt.date
    active_status: int


class Assignment(NamedTuple):
    """A row of jobshead: a job, once for each assigned employee."""

    org_id: int
    con_id: int
    loc_id: int
    job_id: int
    year_id: int
    client_id: int
    jobdate: dt.date
    targetdate: dt.date
    job_nature: str
    work_desc: str
    worklocation: str | None
    act_man_min: int | None
    drivefolderpath: str | None
    drivefolderkey: str | None
    job_status: str
    jctincharge: str
    job_uid: str
    sporg_id: int


class Task(NamedTuple):
    org_id: int
    con_id: int
    loc_id: int
    job_id: int
    year_id: int
    task_id: int | None
    taskorder: int
    task_desc: str
    jobdet_man_hrs: Decimal
    actual_man_hrs: dt.time | None
    actual_man_min: int | None
    checklistlinked: str


class ChecklistLine(NamedTuple):
    org_id: int
    loc_id: int
    task_id: int | None
    checklistdesc: str
    applicable: str
    formatdoc: str | None
    completedby: str | None
    completeddate: dt.date | None
    comments: str | None
    checkliststatus: int
    job_id: int | None


class Reminder(NamedTuple):
    rem_id: int
    org_id: int
    loc_id: int
    year_id: int
    staff_id: int
    remdate: dt.date
    client_id: int | None
    client_name: str | None
    remtype: str
    remnotes: str | None
    remduedate: dt.date
    user_create: str
    user_create_dt: dt.date
    remtotype: str
    remstatus: int
    remtime: dt.time | None
    remtitle: str
    color: int


class Response(NamedTuple):
    remdetid: int
    rem_id: int
    staff_id: int
    remresponse: str
    remresstatus: str


class DiaryLine(NamedTuple):
    org_id: int | None
    con_id: int | None
    loc_id: int | None
    staff_id: int
    client_id: int
    job_id: int
    task_id: int | None
    date: dt.date
    timefrom: dt.time | None
    timeto: dt.time | None
    minutes: int
    tasknotes: str
    attachment: str
    doc_ref: str | None


class LeaveRequest(NamedTuple):
    org_id: int
    con_id: int | None
    loc_id: int
    learequest_id: int
    staff_id: int
    requestdate: dt.date
    fromdate: dt.date
    todate: dt.date
    fhvalue: str
    shvalue: str
    leavetype: str
    leaveremarks: str
    createdby: str
    createddate: dt.date
    approval_status: str


class Device(NamedTuple):
    device_id: str
    staff_id: int
    platform: str


class Session(NamedTuple):
    staff_id: int
    device_id: str


class LoginRequest(NamedTuple):
    staff_id: int
    device_id: str
    status: str
