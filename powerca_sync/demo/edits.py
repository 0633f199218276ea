"""A day of edits on the desktop, so that a second run has changes to sync."""

import dataclasses
from importlib import resources
from typing import Any

from powerca_sync.demo.loading import Connection


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OfficeEdits:
    """The changes that `edit_office` made on the desktop."""

    #: Number, name before, name after.
    renamed_clients: tuple[tuple[int, str, str], ...]
    #: Job and employee of each row whose target date moved.
    postponed_job_rows: tuple[tuple[int, int], ...]
    #: Job and employee of each row of the new job.
    new_job_rows: tuple[tuple[int, int], ...]
    #: Task numbers of the new job.
    new_tasks: tuple[int, ...]
    #: Job and employee of each deleted row.
    deleted_job_rows: tuple[tuple[int, int], ...]
    changed_reminders: tuple[int, ...]
    new_reminders: tuple[int, ...]


def edit_office(connection: Connection) -> OfficeEdits:
    """Executes the edits of `edits.sql`, in one transaction, on a desktop filled by `fill_desktop`."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(resources.files(__package__).joinpath("edits.sql").read_bytes())
        results: list[Any] = [tuple(sorted(cursor.fetchall()))]
        while cursor.nextset():
            results.append(tuple(sorted(cursor.fetchall())))
    renamed, postponed, job, tasks, deleted, changed, reminders = results
    return OfficeEdits(
        renamed_clients=renamed,
        postponed_job_rows=postponed,
        new_job_rows=job,
        new_tasks=tuple(number for (number,) in tasks),
        deleted_job_rows=deleted,
        changed_reminders=tuple(number for (number,) in changed),
        new_reminders=tuple(number for (number,) in reminders),
    )
