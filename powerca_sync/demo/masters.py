"""The master data of the office: organisations, clients and staff."""

import base64
import datetime as dt
from random import Random
from typing import Final

from powerca_sync.demo import vocabulary
from powerca_sync.demo.records import Client, Concern, Location, Organisation, Person

CLIENTS: Final = 729
#: Clients of a place that is not in the table of places.
CLIENTS_ELSEWHERE: Final = 3
#: Clients with concern 0 or NULL.
CLIENTS_WITHOUT_CONCERN: Final = 594
#: The highest client number; unused numbers below it belonged to clients since deleted.
LAST_CLIENT: Final = 1100

FIRST_STAFF: Final = 101
STAFF_IDS: Final = range(FIRST_STAFF, FIRST_STAFF + len(vocabulary.STAFF))
#: Former employees: jobs and reminders still reference them, the table of staff does not have them.
FORMER_STAFF_IDS: Final = range(41, 53)


def organisations() -> list[Organisation]:
    """Returns the two organisations, of which the second does a small part of the work."""
    return [Organisation(org_id, name) for org_id, name in enumerate(vocabulary.ORGANISATIONS, start=1)]


def locations() -> list[Location]:
    """Returns the only place, where both organisations work."""
    return [Location(1, 1, vocabulary.LOCATION)]


def concerns() -> list[Concern]:
    """Returns the names under which the office sends its invoices."""
    return [
        Concern(2 if con_id == 3 else 1, con_id, name, f"billing{con_id}@ria.example", f"+91 00000 0020{con_id}")
        for con_id, name in enumerate(vocabulary.CONCERNS, start=1)
    ]


def clients(random: Random) -> list[Client]:
    """Returns the clients by number; the first ones have plain names."""
    numbers = sorted(random.sample(range(1, LAST_CLIENT + 1), CLIENTS))
    pairs = [(founder, trade) for founder in vocabulary.FOUNDERS for trade in vocabulary.TRADES]
    names = [
        f"{random.choice(('', '', 'Sri ', 'Shree ', 'M/s '))}{founder} {trade} {random.choice(vocabulary.FORMS)}"
        for founder, trade in random.sample(pairs, CLIENTS)
    ]
    for place, name in zip(range(20, CLIENTS, 70), vocabulary.UNUSUAL_CLIENTS, strict=False):
        names[place] = name
    of_concern: list[int | None] = [random.choice((0, 0, None)) for _ in range(CLIENTS_WITHOUT_CONCERN)]
    of_concern += [random.randint(1, len(vocabulary.CONCERNS)) for _ in range(CLIENTS - CLIENTS_WITHOUT_CONCERN)]
    random.shuffle(of_concern)
    elsewhere = set(random.sample(range(20, CLIENTS), CLIENTS_ELSEWHERE))
    return [
        Client(
            org_id=2 if random.random() < 0.05 else 1,
            con_id=con_id,
            loc_id=2 if place in elsewhere else 1,
            client_id=client_id,
            clientname=name,
            clientmail=f"accounts{client_id}@client.example" if random.random() < 0.8 else None,
            clientphone=f"+91 00000 {client_id:05}" if random.random() < 0.9 else random.choice((None, "")),
        )
        for place, (client_id, name, con_id) in enumerate(zip(numbers, names, of_concern, strict=True))
    ]


def staff(random: Random) -> list[Person]:
    """Returns the current staff. Their passwords are random bytes that look encrypted."""
    people = []
    for staff_id, name in zip(STAFF_IDS, vocabulary.STAFF, strict=True):
        login = name.lower().replace("'", "").replace(" ", ".")
        partner = staff_id < FIRST_STAFF + 2
        people.append(
            Person(
                org_id=1,
                con_id=random.randint(1, len(vocabulary.CONCERNS)),
                loc_id=1,
                staff_id=staff_id,
                app_username=login,
                app_pw=base64.b64encode(random.randbytes(32)).decode(),
                stafftype=1 if partner else random.randint(2, 4),
                name=name,
                phonumber=f"+91 00000 10{staff_id}",
                dob=dt.date(1970, 1, 1) + dt.timedelta(days=random.randrange(12_000)),
                email=f"{login}@ria.example",
                whetherca="Y" if partner else "N",
                ca_mem_no=f"{random.randrange(200_000, 300_000)}" if partner else None,
                desc_id=random.randint(1, 6),
                spdoj=dt.date(2012, 4, 1) + dt.timedelta(days=random.randrange(4_700)),
                active_status=0,
            )
        )
    return people
