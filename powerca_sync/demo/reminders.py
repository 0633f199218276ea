"""Reminders to staff and clients, and the answers of staff."""

import datetime as dt
from collections.abc import Sequence
from random import Random
from typing import Final

from powerca_sync.demo import vocabulary
from powerca_sync.demo.assigned_jobs import fiscal_year
from powerca_sync.demo.masters import FORMER_STAFF_IDS, STAFF_IDS
from powerca_sync.demo.records import Client, Reminder, Response

REMINDERS: Final = 132
REMINDERS_OF_FORMER_STAFF: Final = 11
RESPONSES: Final = 37
RESPONSES_OF_FORMER_STAFF: Final = 4
#: Clients of a reminder in a hundred: NULL, and none written as 0.
NO_CLIENT, CLIENT_ZERO = 15, 15


def reminders(random: Random, clients: Sequence[Client]) -> list[Reminder]:
    """Returns the reminders by number; numbers have gaps."""
    people = _people(random, REMINDERS, REMINDERS_OF_FORMER_STAFF)
    rows = []
    for rem_id, staff_id in zip(sorted(random.sample(range(1, 200), REMINDERS)), people, strict=True):
        day = dt.date(2025, 4, 1) + dt.timedelta(days=random.randrange(200))
        client = random.choice(clients)
        die = random.randrange(100)
        title = random.choice(vocabulary.REMINDERS)
        rows.append(
            Reminder(
                rem_id=rem_id,
                org_id=1,
                loc_id=1,
                year_id=fiscal_year(day),
                staff_id=staff_id,
                remdate=day,
                client_id=None if die < NO_CLIENT else 0 if die < NO_CLIENT + CLIENT_ZERO else client.client_id,
                client_name=None if die < NO_CLIENT + CLIENT_ZERO else client.clientname,
                remtype=random.choice(vocabulary.REMINDER_TYPES),
                remnotes=random.choice((None, *vocabulary.NOTES)),
                remduedate=day + dt.timedelta(days=random.randint(1, 30)),
                user_create=f"{random.choice(STAFF_IDS)}",
                user_create_dt=day,
                remtotype=random.choice("SC "),
                remstatus=random.randint(0, 1),
                remtime=dt.time(random.randint(9, 18), random.choice((0, 30))) if random.random() < 0.8 else None,
                remtitle=f"{title}: {client.clientname}" if random.random() < 0.3 else title,
                # The desktop's colours are 32 bits with the top one set.
                color=random.choice((-16_776_961, -65_536, -16_744_448, 0, 255)),
            )
        )
    return rows


def responses(random: Random, reminders: Sequence[Reminder]) -> list[Response]:
    """Returns answers to reminders, some by former employees."""
    people = _people(random, RESPONSES, RESPONSES_OF_FORMER_STAFF)
    return [
        Response(
            remdetid=remdetid,
            rem_id=random.choice(reminders).rem_id,
            staff_id=staff_id,
            remresponse=random.choice(vocabulary.RESPONSES),
            remresstatus=random.choice("YN "),
        )
        for remdetid, staff_id in zip(sorted(random.sample(range(1, 60), RESPONSES)), people, strict=True)
    ]


def _people(random: Random, count: int, former: int) -> list[int]:
    people = random.choices(STAFF_IDS, k=count - former) + random.choices(FORMER_STAFF_IDS, k=former)
    random.shuffle(people)
    return people
