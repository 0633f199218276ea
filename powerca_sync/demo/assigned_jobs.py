"""The office's jobs: one row of jobshead for each assigned employee."""

import datetime as dt
from collections.abc import Container, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Final

from powerca_sync.demo import vocabulary
from powerca_sync.demo.masters import FORMER_STAFF_IDS, LAST_CLIENT, STAFF_IDS
from powerca_sync.demo.records import Assignment, Client

JOBS: Final = 10_120
ASSIGNMENTS: Final = 24_568
#: Sizes of teams, and how often each occurs in a hundred jobs.
TEAMS: Final = {1: 50.0, 2: 20.0, 3: 12.0, 4: 7.0, 5: 4.0, 6: 3.0, 8: 2.0, 12: 1.6, 24: 0.4}
#: Rows of jobs whose client does not exist; half of those jobs reference the same one.
ASSIGNMENTS_WITHOUT_CLIENT: Final = 3_942
#: Job numbers; a quarter of them belonged to jobs since deleted.
JOB_IDS: Final = range(48_000, 61_500)
FIRST_DAY: Final = dt.date(2018, 4, 2)
DAYS: Final = (dt.date(2025, 10, 24) - FIRST_DAY).days


def assignments(random: Random, clients: Sequence[Client]) -> list[Assignment]:
    """Returns the rows of jobshead, by job number and so by age."""
    teams = parts(random, ASSIGNMENTS, JOBS, TEAMS)
    without_client = _places_that_add_up(random, teams, ASSIGNMENTS_WITHOUT_CLIENT)
    known = {client.client_id for client in clients}
    lost = [number for number in range(1, LAST_CLIENT + 1) if number not in known]
    here = [client for client in clients if client.loc_id == 1]
    jobs = []
    for place, (job_id, team) in enumerate(zip(sorted(random.sample(JOB_IDS, JOBS)), teams, strict=True)):
        client = random.choice(here)
        if place in without_client:
            client = client._replace(client_id=lost[0] if random.random() < 0.5 else random.choice(lost))
        jobs.append(_job(random, job_id, client, team, place / JOBS))
    _misplace_six(jobs, without_client)
    return list(chain.from_iterable(jobs))


def parts(random: Random, total: int, count: int, sizes: Mapping[int, float]) -> list[int]:
    """Returns `count` numbers with the sum `total`, distributed as `sizes` and then varied by one at random."""
    numbers = random.choices(list(sizes), list(sizes.values()), k=count)
    while missing := total - sum(numbers):
        step = 1 if missing > 0 else -1
        for place in random.sample(range(count), min(abs(missing), count)):
            if numbers[place] + step in range(min(sizes), max(sizes) + 1):
                numbers[place] += step
    return numbers


def fiscal_year(day: dt.date) -> int:
    """Returns the Indian fiscal year in the desktop's format: 20252026 from April 2025 to March 2026."""
    first = day.year if day.month >= 4 else day.year - 1
    return first * 10_000 + first + 1


def _places_that_add_up(random: Random, numbers: Sequence[int], total: int) -> set[int]:
    places = set()
    for place in random.sample(range(len(numbers)), len(numbers)):
        if numbers[place] <= total:
            places.add(place)
            total -= numbers[place]
    return places


def _job(random: Random, job_id: int, client: Client, team: int, progress: float) -> list[Assignment]:
    """Returns one job; `progress` runs from 0 for the oldest to 1 for the newest, and decides its date and status."""
    # Only old jobs reference former employees, and only with them a team can exceed today's staff.
    people = list(STAFF_IDS)
    if progress < 0.4 or team > len(people):
        people += FORMER_STAFF_IDS
    nature, name = random.choice(vocabulary.JOBS)
    day = FIRST_DAY + dt.timedelta(days=int(progress * DAYS))
    worked_on = progress > 0.97
    in_drive = random.random() < 0.02
    first = Assignment(
        org_id=client.org_id,
        con_id=client.con_id or 0,
        loc_id=1,
        job_id=job_id,
        year_id=fiscal_year(day),
        client_id=client.client_id,
        jobdate=day,
        targetdate=day + dt.timedelta(days=random.randint(5, 120)),
        job_nature=nature,
        work_desc=f"{name} for FY {fiscal_year(day) // 10_000 - 1}-{fiscal_year(day) // 10_000 % 100:02}",
        worklocation=random.choice(vocabulary.PLACES_OF_WORK),
        act_man_min=None if worked_on else random.randrange(60, 6_000),
        drivefolderpath=f"/Clients/{client.client_id}/{name}" if in_drive else None,
        drivefolderkey=f"{random.getrandbits(120):030x}" if in_drive else None,
        job_status=random.choice("WAALPPPGD") if worked_on else random.choice("CCCCCCCCCD"),
        jctincharge="Y",
        job_uid=f"{job_id}-{client.client_id % 1000:03}",
        sporg_id=0,
    )
    chosen = random.sample(people, team)
    return [first._replace(sporg_id=chosen[0])] + [
        first._replace(sporg_id=person, jctincharge="N") for person in chosen[1:]
    ]


def _misplace_six(jobs: Sequence[list[Assignment]], except_for: Container[int]) -> None:
    """Gives six rows an organisation or place that does not exist: two whole jobs, and half of a third."""
    for team, org_id, loc_id in ((1, 1, 2), (2, 1, 2), (6, 9, 1)):
        job = next(job for place, job in enumerate(jobs) if len(job) == team and place not in except_for)
        job[:3] = [row._replace(org_id=org_id, loc_id=loc_id) for row in job[:3]]
