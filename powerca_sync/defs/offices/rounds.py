"""Asks the servers of many offices within the time of one tick; offices that do not answer are asked less often."""

import dataclasses
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import dagster as dg

from powerca_sync.errors import SyncError
from powerca_sync.offices import Office

Answer = TypeVar("Answer")

#: Seconds of a tick after which no further office is asked; the next tick goes on there. Dagster ends a tick after 60.
BUDGET: Final = 30.0
#: Offices that are asked at the same time.
THREADS: Final = 32
#: Run requests of one tick.
MOST_REQUESTS: Final = 100
#: Seconds until an office is asked again after it did not answer, doubled each time, and at most.
FIRST_REST, LONGEST_REST = 60.0, 1800.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """An office that did not answer."""

    #: How often, one time after the other.
    times: int = 0
    #: When it is asked again, in seconds since 1970.
    until: float = 0.0

    def extended(self, now: float) -> "Absence":
        """Returns the absence after one more time without an answer."""
        return Absence(times=self.times + 1, until=now + min(FIRST_REST * 2.0**self.times, LONGEST_REST))


def in_turn(offices: Mapping[str, Office], last: str | None) -> list[Office]:
    """Returns the offices by key, beginning after `last`, so that each has its turn however short a tick is."""
    keys = sorted(offices)
    begin = next((place for place, key in enumerate(keys) if key > (last or "")), 0)
    return [offices[key] for key in [*keys[begin:], *keys[:begin]]]


def ask(
    offices: Sequence[Office], look: Callable[[Office], Answer], *, seconds: float = BUDGET, threads: int = THREADS
) -> list[tuple[Office, Answer | SyncError]]:
    """Returns the answer of each office that was asked in time, in their order, or the error instead of it."""
    deadline = time.monotonic() + seconds

    def asked(office: Office) -> Answer | SyncError | None:
        if time.monotonic() > deadline:
            return None
        try:
            return look(office)
        except SyncError as exc:
            return exc

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(asked, offices))
    return [(office, answer) for office, answer in zip(offices, answers, strict=True) if answer is not None]


def read_states(instance: dg.DagsterInstance, sensor: str, offices: Collection[str]) -> dict[str, dict[str, object]]:
    """Returns what a sensor has stored of these offices.

    It is stored with Dagster's records and not in the sensor's cursor, which Dagster keeps once for each tick.
    """
    keys = {_storage_key(sensor, office): office for office in offices}
    found = instance.daemon_cursor_storage.get_cursor_values(set(keys)) if keys else {}
    return {keys[key]: json.loads(text) for key, text in found.items() if text}


def write_states(instance: dg.DagsterInstance, sensor: str, states: Mapping[str, Mapping[str, object]]) -> None:
    """Stores the states of these offices."""
    if states:
        instance.daemon_cursor_storage.set_cursor_values(
            {_storage_key(sensor, office): json.dumps(state) for office, state in states.items()}
        )


def _storage_key(sensor: str, office: str) -> str:
    return f"powerca_sync/{sensor}/{office}"
