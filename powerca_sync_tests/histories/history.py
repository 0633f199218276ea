"""A history: a seeded list of steps of an `Office`, and functions that play it, shrink it, and print it as a script."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence

from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.dice import Maker, Step
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.tables import Variant

#: Related tables; few at a time, so that much happens to each.
SETS = (
    ("diary",),
    ("leave",),
    ("notes",),
    ("jobs", "tasks"),
    ("jobs", "diary"),
    ("jobs", "tasks", "leave", "diary", "notes"),
)

_VARIANTS = dataclasses.fields(Variant)
#: Without the first, digests are not used; without the second, timestamps are not compared.
OFTEN = ("alike", "stamped")
#: Full runs only, with complete transfers.
SETTLE = Step("settle")


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """An office and its steps; at the end runs converge."""

    tables: tuple[str, ...]
    variant: Variant
    steps: tuple[Step, ...]
    #: The modes of the runs that converge.
    last: Step = SETTLE

    def __str__(self) -> str:
        """Returns a script that needs a `pair` of databases."""
        variant = {
            name: value for name, value in dataclasses.asdict(self.variant).items() if value != getattr(Variant(), name)
        }
        arguments = ["pair", *map(repr, self.tables), *(f"{name}={value}" for name, value in variant.items())]
        return "\n".join([f"office = Office({', '.join(arguments)})", *map(str, self.steps), str(self.last)])

    def play(self, pair: Pair) -> None:
        """Plays the history; raises whatever a step raises, usually an `AssertionError`."""
        office = Office(pair, *self.tables, **dataclasses.asdict(self.variant))
        try:
            for step in self.steps:
                step.play(office)
            self.last.play(office)
        finally:
            office.close()


def make_history(seed: str, tables: Sequence[str], *, length: int) -> History:
    """Returns the history of that seed."""
    dice = random.Random(seed)
    variant = Variant(**{field.name: dice.random() < (field.name in OFTEN) * 0.25 + 0.5 for field in _VARIANTS})
    maker = Maker(dice, tables)
    steps = tuple(maker.step() for _ in range(dice.randint(2, length)))
    return History(tuple(tables), variant, steps, maker.settle())


def shrink(history: History, fails: Callable[[History], bool], *, seconds: float) -> History:
    """Returns a shorter history that fails too: leaves out steps, largest parts first, until the time is up."""
    give_up = time.monotonic() + seconds
    size = len(history.steps) // 2
    while size:
        start = len(history.steps) - size
        while start >= 0 and time.monotonic() < give_up:
            shorter = history.steps[:start] + history.steps[start + size :]
            candidate = dataclasses.replace(history, steps=shorter)
            if fails(candidate):
                history = candidate
            start = min(start - size, len(history.steps) - size)
        size //= 2
    for plainer in _plainer(history.variant):
        candidate = dataclasses.replace(history, variant=plainer)
        if plainer != history.variant and time.monotonic() < give_up and fails(candidate):
            history = candidate
    return history


def _plainer(variant: Variant) -> list[Variant]:
    plain = Variant()
    return [
        plain,
        *(
            dataclasses.replace(variant, **{field.name: getattr(plain, field.name)})
            for field in dataclasses.fields(plain)
        ),
    ]
