"""A generated office of real size and with the irregularities of real ones; the same on every call and every machine.

Nothing here reads a clock: all desktop rows carry the timestamp of one pre-sync, as pre-sync leaves them.
"""

import dataclasses
from functools import cache
from importlib import resources
from random import Random
from typing import Final

from powerca_sync.demo import assigned_jobs, masters, reminders, tasks
from powerca_sync.demo.loading import Connection, copy_rows
from powerca_sync.demo.records import (
    Assignment,
    ChecklistLine,
    Client,
    Concern,
    Person,
    Reminder,
    Response,
    Task,
)
from powerca_sync.specs import ADMINISTRATOR, CREATED, DESKTOP, OWNER, UPDATED

SEED: Final = 20252026
#: When pre-sync last rebuilt the desktop's tables, in the office's time.
PRESYNC: Final = "2025-10-27 21:30:00"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """The generated rows of the desktop that other rows reference."""

    clients: list[Client]
    staff: list[Person]
    assignments: list[Assignment]
    tasks: list[Task]
    checklist: list[ChecklistLine]
    reminders: list[Reminder]
    responses: list[Response]


@cache
def build_office(seed: int = SEED) -> Office:
    """Returns the office of a seed.

    Each table has its own random numbers, so that a change of one leaves the others.
    """
    clients = masters.clients(Random(f"{seed} clients"))
    assignments = assigned_jobs.assignments(Random(f"{seed} jobs"), clients)
    office_reminders = reminders.reminders(Random(f"{seed} reminders"), clients)
    return Office(
        clients=clients,
        staff=masters.staff(Random(f"{seed} staff")),
        assignments=assignments,
        tasks=tasks.tasks(Random(f"{seed} tasks"), assignments),
        checklist=tasks.checklist(Random(f"{seed} checklist"), assignments),
        reminders=office_reminders,
        responses=reminders.responses(Random(f"{seed} responses"), office_reminders),
    )


def create_desktop(connection: Connection) -> None:
    """Creates the desktop's empty tables, in the current transaction."""
    connection.execute(resources.files(__package__).joinpath("desktop.sql").read_bytes())


def create_mobile(connection: Connection) -> None:
    """Creates the empty mobile tables, in the current transaction."""
    connection.execute(resources.files(__package__).joinpath("mobile.sql").read_bytes())


def fill_desktop(connection: Connection, *, seed: int = SEED) -> None:
    """Inserts all desktop rows of before the first sync, in one transaction.

    The three master tables that this office does not use, and the two that only phones write, stay empty.
    """
    office = build_office(seed)
    also = {OWNER: DESKTOP, CREATED: PRESYNC, UPDATED: PRESYNC}
    with connection.transaction():
        copy_rows(connection, "orgmaster", masters.organisations(), also)
        copy_rows(connection, "locmaster", masters.locations(), also)
        copy_rows(connection, "conmaster", masters.concerns(), also)
        copy_rows(connection, "climaster", office.clients, also)
        copy_rows(connection, "mbstaff", office.staff, also)
        copy_rows(connection, "jobshead", office.assignments, also)
        copy_rows(connection, "jobtasks", office.tasks, also)
        copy_rows(connection, "taskchecklist", office.checklist, also)
        copy_rows(connection, "mbreminder", office.reminders, also)
        copy_rows(connection, "mbremdetail", office.responses, also)
        connection.execute("ANALYZE")


def fill_mobile(connection: Connection) -> None:
    """Inserts the mobile row of before the first sync: "no concern", which an administrator created by hand."""
    with connection.transaction():
        none = Concern(org_id=None, con_id=0, conname="None", conmail=None, conphone=None)
        copy_rows(connection, "conmaster", [none], {OWNER: ADMINISTRATOR})
