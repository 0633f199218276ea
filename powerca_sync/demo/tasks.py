"""The tasks of the jobs and the checklist lines of the tasks."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Final

from powerca_sync.demo import vocabulary
from powerca_sync.demo.assigned_jobs import JOB_IDS, parts
from powerca_sync.demo.masters import locations, organisations
from powerca_sync.demo.records import Assignment, ChecklistLine, Task

TASKS: Final = 64_711
#: How many tasks a job has, and how often in a hundred jobs.
TASKS_OF_A_JOB: Final = {1: 4.0, 2: 6.0, 3: 10.0, 4: 12.0, 5: 12.0, 6: 12.0, 7: 10.0, 8: 10.0, 9: 8.0, 10: 8.0, 12: 8.0}
#: Tasks whose job is not in jobshead, or only in rows that reference no existing place or organisation.
TASKS_WITHOUT_JOB: Final = 169
DELETED_JOBS: Final = 20
#: The first task number; a task's number is its index in the vocabulary plus this.
FIRST_TASK: Final = 11
#: Tasks that duplicate their neighbour; that only share its number; that have no number.
EQUAL_TASKS, SAME_KEY_TASKS, UNNUMBERED_TASKS = 3, 4, 5

LINES: Final = 2_894
#: The last lines: without a task, and of a job that does not exist.
STRAY_LINES: Final = 3
#: How often a line occurs in the same task: the desktop writes it once per job and omits the job.
COPIES: Final = (1, 1, 1, 1, 1, 2, 5, 10)


def tasks(random: Random, assignments: Sequence[Assignment]) -> list[Task]:
    """Returns the tasks by job; those without a job come last."""
    found = {row.job_id: row for row in _well_placed(assignments)}
    misplaced = {row.job_id: row for row in assignments if row.job_id not in found}
    free = [job_id for job_id in JOB_IDS if job_id not in found and job_id not in misplaced]
    deleted = [random.choice(assignments)._replace(job_id=job_id) for job_id in random.sample(free, DELETED_JOBS)]
    rows = _tasks_of(random, list(found.values()), TASKS - TASKS_WITHOUT_JOB)
    _repeat_some(random, rows)
    return rows + _tasks_of(random, [*misplaced.values(), *deleted], TASKS_WITHOUT_JOB)


def _well_placed(assignments: Sequence[Assignment]) -> list[Assignment]:
    places = {(organisation.org_id, location.loc_id) for organisation in organisations() for location in locations()}
    return [row for row in assignments if (row.org_id, row.loc_id) in places]


def _tasks_of(random: Random, jobs: Sequence[Assignment], total: int) -> list[Task]:
    rows = []
    for job, count in zip(jobs, parts(random, total, len(jobs), TASKS_OF_A_JOB), strict=True):
        steps = sorted(random.sample(range(len(vocabulary.TASKS)), count))
        for order, step in enumerate(steps, start=1):
            minutes = random.randrange(15, 1_200, 15) if job.job_status == "C" else None
            rows.append(
                Task(
                    org_id=job.org_id,
                    con_id=job.con_id,
                    loc_id=1,
                    job_id=job.job_id,
                    year_id=job.year_id,
                    task_id=FIRST_TASK + step,
                    taskorder=order,
                    task_desc=vocabulary.TASKS[step],
                    jobdet_man_hrs=Decimal(random.randrange(25, 4_000, 25)) / 100,
                    actual_man_hrs=dt.time(*divmod(minutes, 60)) if minutes else None,
                    actual_man_min=minutes,
                    checklistlinked="Y" if step % 3 == 0 else "N",
                )
            )
    return rows


def _repeat_some(random: Random, rows: list[Task]) -> None:
    second = [place for place in range(1, len(rows)) if rows[place].taskorder == 2]
    places = random.sample(second, EQUAL_TASKS + SAME_KEY_TASKS + UNNUMBERED_TASKS)
    for place in places[:EQUAL_TASKS]:
        rows[place] = rows[place - 1]
    for place in places[EQUAL_TASKS : EQUAL_TASKS + SAME_KEY_TASKS]:
        rows[place] = rows[place]._replace(task_id=rows[place - 1].task_id, task_desc=rows[place - 1].task_desc)
    for place in places[-UNNUMBERED_TASKS:]:
        rows[place] = rows[place]._replace(task_id=None)


def checklist(random: Random, assignments: Sequence[Assignment]) -> list[ChecklistLine]:
    """Returns the checklist lines; many are equal within a task."""
    jobs = _well_placed(assignments)
    lines: list[ChecklistLine] = []
    while (room := LINES - len(lines)) > 0:
        copies = random.choice(COPIES)
        done = random.random() < 0.3
        job = random.choice(jobs)
        line = ChecklistLine(
            org_id=job.org_id,
            loc_id=job.loc_id,
            task_id=FIRST_TASK + random.randrange(len(vocabulary.TASKS)),
            checklistdesc=random.choice(vocabulary.CHECKS),
            applicable="Y",
            formatdoc=random.choice((None, None, "PDF", "XLSX")),
            completedby=f"{job.sporg_id}" if done else None,
            completeddate=job.jobdate + dt.timedelta(days=10) if done else None,
            comments=random.choice(vocabulary.NOTES) if random.random() < 0.1 else None,
            checkliststatus=int(done),
            job_id=job.job_id if copies == 1 else None,
        )
        lines += [line] * min(copies, room)
    for place in range(LINES - STRAY_LINES, LINES):
        lines[place] = lines[place]._replace(task_id=None, job_id=JOB_IDS.stop + place)
    return lines
