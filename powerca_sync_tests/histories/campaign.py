"""A campaign of faults against runs in both directions: `make faults ARGS="--faults 1000"`. Not for Windows.

While an office and its phones work, each run is hit by one fault at a random moment. Then runs repeat until they are
no-ops, and both databases must have every row once. A fault that comes too late is not counted. The exit status is 1 if
a row was lost or doubled.
"""

import argparse
import dataclasses
import itertools
import logging
import math
import multiprocessing
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from random import Random
from typing import Self

from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import Transfer
from powerca_sync_tests.histories import disasters, faults
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.site import Kind, Site, make_site
from powerca_sync_tests.histories.tables import NAMES

KINDS = {kind.name: kind for kind in (*faults.KINDS, *disasters.KINDS)}
#: The office is replaced by a new one after this many faults.
FAULTS_PER_OFFICE = 15
#: The tables of an office; incremental runs do not read everything of the first table only.
TABLES = (("leave",), ("leave", "diary"), ("leave", "notes"), ("jobs", "tasks", "leave"), NAMES)
#: Progress is printed after this many faults.
PROGRESS = 50


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """The random choices for one fault, by its number in the campaign."""

    number: int
    kind: str
    direction: str
    mode: Mode
    transfer: Transfer

    def __str__(self) -> str:
        how = [self.direction, *([self.mode, self.transfer] if self.direction == "forward" else [])]
        return f"{self.kind} ({self.number}: {', '.join(how)})"


def plan(seed: str, kinds: tuple[Kind, ...]) -> Iterator[Planned]:
    """Yields faults without end, the same for the same seed; each kind as often as its share says, in any order."""
    dice = Random(seed)
    cards = [kind for kind in kinds for _ in range(kind.share)]
    numbers = itertools.count()
    while cards:
        dice.shuffle(cards)
        for kind in cards:
            yield Planned(
                number=next(numbers),
                kind=kind.name,
                direction=dice.choice(kind.directions),
                mode=dice.choice(list(Mode)),
                transfer=dice.choice((Transfer.EVERYTHING, Transfer.DIFFERENCES)),
            )


@dataclasses.dataclass(kw_only=True)
class Tally:
    """The outcomes of the faults, by kind."""

    times: Counter[str] = dataclasses.field(default_factory=Counter)
    survived: Counter[str] = dataclasses.field(default_factory=Counter)
    lost: Counter[str] = dataclasses.field(default_factory=Counter)
    doubled: Counter[str] = dataclasses.field(default_factory=Counter)
    #: Why a kind of fault could not happen.
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    complaints: list[str] = dataclasses.field(default_factory=list)

    @property
    def all_well(self) -> bool:
        """Returns whether nothing was lost, doubled or otherwise wrong."""
        return not (self.complaints or self.lost.total() or self.doubled.total())

    def enter(self, kind: str, *, struck: bool, lost: int, doubled: int, complaint: str = "") -> bool:
        """Adds one fault; returns whether it was survived. A fault that did not strike counts only if it did harm."""
        fine = not (lost or doubled or complaint)
        counts = struck or not fine
        self.times[kind] += counts
        self.survived[kind] += counts and fine
        self.lost[kind] += lost
        self.doubled[kind] += doubled
        if complaint:
            self.complaints.append(complaint)
        return fine

    def add(self, other: Self) -> None:
        """Adds another tally."""
        for mine, theirs in zip(self._columns, other._columns, strict=True):
            mine.update(theirs)
        self.missing |= other.missing
        self.complaints += other.complaints

    @property
    def _columns(self) -> tuple[Counter[str], ...]:
        return (self.times, self.survived, self.lost, self.doubled)

    def __str__(self) -> str:
        """Returns the table, and the complaints."""
        lines = [f"{'fault':<20}{'times':>8}{'survived':>10}{'rows lost':>11}{'rows doubled':>14}"]
        for name in KINDS:
            if name in self.missing:
                lines.append(f"{name:<20}left out: {self.missing[name]}")
            elif name in self.times:
                lines.append(f"{name:<20}" + _row([column[name] for column in self._columns]))
        lines.append(f"{'all':<20}" + _row([column.total() for column in self._columns]))
        return "\n".join([*lines, "", *self.complaints])


def _row(counts: list[int]) -> str:
    return "".join(f"{count:>{width}}" for count, width in zip(counts, (8, 10, 11, 14), strict=True))


class Campaign:
    """A sequence of offices at one site, and the outcome of each fault."""

    def __init__(self, site: Site, seed: str, kinds: tuple[Kind, ...]) -> None:
        self.site = site
        self.seed = seed
        self.tally = Tally(missing={kind.name: why for kind in kinds if (why := kind.missing(site))})
        self.kinds = tuple(kind for kind in kinds if kind.name not in self.tally.missing)
        self._in_office = 0
        self._told_to_stop = False

    def go(self, *, faults: int, seconds: float) -> Tally:
        """Hits runs until there were enough faults, the time is up, or `stop` is called."""
        give_up = time.monotonic() + seconds
        for planned in plan(self.seed, self.kinds):
            if self.tally.times.total() >= faults or time.monotonic() > give_up or self._told_to_stop:
                break
            if self._in_office % FAULTS_PER_OFFICE == 0:
                self._open_office(self._dice(planned, "office"))
            self._in_office += 1
            if not self.hit(planned):
                # The complaints about this office must not be counted again.
                self._in_office = 0
                _tell(self.tally.complaints[-1])
            elif planned.number % PROGRESS == PROGRESS - 1:
                _tell(f"{self.seed}: {self.tally.times.total()} faults")
        return self.tally

    def stop(self, *signal_and_frame: object) -> None:
        """Ends the campaign after the current fault, which does not count: the caller may have affected it too."""
        self._told_to_stop = True

    def _open_office(self, dice: Random) -> None:
        # Few tables, or all.
        self.site.open_office(dice, *dice.choice(TABLES))
        if dice.random() < 0.5:
            # Otherwise the first load may be hit too.
            self.site.work(dice)
            self.site.office.settle()

    def _dice(self, planned: Planned, what: str) -> Random:
        """Returns a random generator for one part of a fault, independent of the others."""
        return Random(f"{self.seed}/{planned.number}/{what}")

    def hit(self, planned: Planned) -> bool:
        """Lets one fault happen with its consequences; returns whether it was survived."""
        site, kind = self.site, KINDS[planned.kind]
        struck, complaint, dice = True, "", self._dice(planned, "fault")
        try:
            site.work(self._dice(planned, "work"))
            run = site.run(
                direction=planned.direction,
                mode=planned.mode,
                transfer=planned.transfer,
                typed=planned.number % 2 == 0,
                at_once=1 + planned.number // 2 % 2,
            )

            def strike() -> None:
                nonlocal struck
                struck = kind.strike(site, run, dice)

            if kind.watched:
                site.office.disturbed(planned.direction, strike)
            else:
                strike()
            if planned.mode is Mode.INCREMENTAL and kind.by_increments:
                self._settle_by_increments()
            site.office.settle()
        except Exception:
            logs = "".join(f"\nserver of {where}: {machine.last_words()}" for where, machine in site.machines.items())
            complaint = f"{planned}: {traceback.format_exc()}{logs}"
            # Whatever the failure, rows can be counted.
            for machine in site.machines.values():
                machine.start_again()
            site.reconnect()
        if self._told_to_stop:
            return True
        lost, doubled = count(site.office, site.forgotten)
        if (lost or doubled) and not complaint:
            complaint = f"{planned}: {lost} rows are missing, {doubled} are doubled"
        return self.tally.enter(planned.kind, struck=struck, lost=lost, doubled=doubled, complaint=complaint)

    def _settle_by_increments(self) -> None:
        """Runs incremental and reverse sync, which must suffice without a full run."""
        office = self.site.office
        assert office.forward("incremental", allow=True), "a run failed without an active fault"
        assert office.reverse(), "a run failed without an active fault"
        lost, doubled = count(self.site.office, self.site.forgotten)
        assert lost == doubled == 0, f"after an incremental run {lost} rows are missing, {doubled} are doubled"


def _tell(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def count(office: Office, forgotten: Set[tuple[str, int]] = frozenset()) -> tuple[int, int]:
    """Returns lost and doubled rows by their numbers: each must be in both databases once, unless it may be
    forgotten.
    """
    lost = doubled = 0
    desktop, mobile = office.look()
    for table in office.names:
        sides = [Counter(row["k"] for row, _ in side[table].values()) for side in (desktop, mobile)]
        for number in sides[0] | sides[1]:
            if (table, number) not in forgotten:
                lost += sum(side[number] < 1 for side in sides)
                doubled += sum(side[number] > 1 for side in sides)
    return lost, doubled


def campaign(seed: str, faults: int, seconds: float, kinds: tuple[str, ...]) -> Tally:
    """Runs one site's share of a campaign, in a process of its own."""
    # Expected failures need no log.
    logging.disable()
    multiprocessing.set_forkserver_preload([__name__])
    with (
        tempfile.TemporaryDirectory(prefix="powerca-faults-", ignore_cleanup_errors=True) as folder,
        make_site(Path(folder)) as site,
    ):
        one = Campaign(site, seed, tuple(KINDS[name] for name in kinds))
        # Interruption must end the servers too, and print the table.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, one.stop)
        return one.go(faults=faults, seconds=seconds)


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make faults")
    parser.add_argument("--faults", type=int, default=1000, help="number of faults (default: 1000)")
    parser.add_argument("--minutes", type=float, default=60, help="maximum duration (default: 60)")
    parser.add_argument("--seed", default=str(time.time_ns()), help="the random seed (default: the time)")
    parser.add_argument("--jobs", type=int, default=2, help="number of sites at a time (default: 2)")
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS), help="only these kinds of faults")
    asked = parser.parse_args()
    tally = Tally()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not a `Pool`, whose processes may not have children.
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as jobs:
        share = math.ceil(asked.faults / asked.jobs)
        parts = [
            jobs.submit(campaign, f"{asked.seed}/{n}", share, asked.minutes * 60, tuple(asked.kind))
            for n in range(asked.jobs)
        ]
        try:
            wait(parts)
        except KeyboardInterrupt:
            # The sites then report their results.
            for site in multiprocessing.active_children():
                site.terminate()
        for part in parts:
            tally.add(part.result())
    sys.stdout.write(f"{tally}\nseed {asked.seed}\n")
    return 0 if tally.all_well else 1


if __name__ == "__main__":
    sys.exit(main())
