"""A history: a seeded list of steps of an `Office`, how to play it, shrink it, and print it as a script."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.office import FAULTS, Office
from powerca_sync_tests.histories.tables import SHARED, Variant

#: Tables that have something to do with each other; few at a time, so that much happens to each.
SETS = (("diary",), ("leave",), ("notes",), ("jobs", "tasks"), ("jobs", "tasks", "leave", "diary", "notes"))

#: Few values, so that rows meet.
VALUES: dict[str, tuple[Any, ...]] = {
    "org_id": (1,),
    "job_id": (1, 1, 1, 2, None),
    "k": (1, 1, 1, 2, 2, 3),
    "name": ("a", "a", "a", "b", "b", "c"),
    "days": (0, 0, 0, 1, 2),
    "ticked": (0, 0, 1),
}
#: Those that do not fit, somewhere or other, or that are of others.
ODD_VALUES: dict[str, tuple[Any, ...]] = {
    "org_id": (2, None),
    "job_id": (3, 12345),
    "k": (None, None, 12345),
    "name": (None, "toolong", "boom", "bang"),
    "days": (13, 13, -1, 40000, None),
}
#: How many new rows, and how many edits, have such a value.
ODD, ODD_EDITS = 0.25, 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A call of a method of `Office`."""

    name: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        """As it stands in a script."""
        arguments = [repr(value) for value in self.arguments]
        arguments += [f"{name}={value!r}" for name, value in self.named]
        return f"office.{self.name}({', '.join(arguments)})"

    def play(self, office: Office) -> None:
        getattr(office, self.name)(*self.arguments, **dict(self.named))


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """An office and what happens to it; at the end everything settles."""

    tables: tuple[str, ...]
    variant: Variant
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """A script that needs a `pair` of databases."""
        variant = {
            name: value for name, value in dataclasses.asdict(self.variant).items() if value != getattr(Variant(), name)
        }
        arguments = ["pair", *map(repr, self.tables), *(f"{name}={value}" for name, value in variant.items())]
        return "\n".join([f"office = Office({', '.join(arguments)})", *map(str, self.steps), "office.settle()"])

    def play(self, pair: Pair) -> None:
        """Raises whatever a step raises, as a rule an `AssertionError`."""
        office = Office(pair, *self.tables, **dataclasses.asdict(self.variant))
        try:
            for step in self.steps:
                step.play(office)
            office.settle()
        finally:
            office.close()


def make_history(seed: str, tables: Sequence[str], *, length: int) -> History:
    """The history of that seed."""
    dice = random.Random(seed)
    variant = Variant(**{field.name: dice.random() < 0.5 for field in dataclasses.fields(Variant)})
    maker = _Maker(dice, tables)
    return History(tuple(tables), variant, tuple(maker.step() for _ in range(dice.randint(2, length))))


def shrink(history: History, fails: Callable[[History], bool], *, seconds: float) -> History:
    """A shorter history that fails too: steps are left out, most first, for as long as there is time."""
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


class _Maker:
    """Throws dice for steps."""

    def __init__(self, dice: random.Random, tables: Sequence[str]) -> None:
        self.dice = dice
        self.tables = tables
        self.of_phones = [name for name in tables if name in SHARED] or list(tables)

    def step(self) -> Step:
        makers = (
            *((self._insert, 6), (self._phone_inserts, 5), (self._somebody_inserts, 1)),
            *((self._edit, 5), (self._phone_edits, 2), (self._tick, 1)),
            *((self._delete, 2), (self._phone_deletes, 2), (self._copy, 3), (self._again, 2), (self._comment, 1)),
            *((self._refresh, 1), (self._add_column, 1), (self._finish, 2)),
            *((self._forward, 7), (self._reverse, 5), (self._settle, 1)),
        )
        (maker,) = self.dice.choices([maker for maker, _ in makers], [weight for _, weight in makers])
        return maker()

    def _values(self) -> tuple[tuple[str, Any], ...]:
        values = {name: self.dice.choice(values) for name, values in VALUES.items()}
        if self.dice.random() < ODD:
            column = self.dice.choice(tuple(ODD_VALUES))
            values[column] = self.dice.choice(ODD_VALUES[column])
        return tuple(values.items())

    def _one_value(self) -> tuple[tuple[str, Any], ...]:
        column = self.dice.choice(tuple(VALUES))
        odd = column in ODD_VALUES and self.dice.random() < ODD_EDITS
        return ((column, self.dice.choice((ODD_VALUES if odd else VALUES)[column])),)

    def _late(self) -> tuple[tuple[str, Any], ...]:
        return (("late", True),) if self.dice.random() < 0.15 else ()

    def _pick(self) -> int:
        return self.dice.randrange(8)

    def _table(self) -> str:
        return self.dice.choice(self.tables)

    def _insert(self) -> Step:
        return Step("insert", ("desktop", self._table()), (*self._late(), *self._values()))

    def _phone_inserts(self) -> Step:
        where = ("mobile", self.dice.choice(self.of_phones))
        return Step("insert", where, (*self._late(), ("source", "M"), *self._values()))

    def _somebody_inserts(self) -> Step:
        """Another office, an administrator, or a phone that does not say who it is."""
        owner = self.dice.choice(("D", "S", None))
        values = dict(self._values()) | ({"org_id": 2} if owner == "D" else {})
        return Step("insert", ("mobile", self._table()), (("source", owner), *values.items()))

    def _edit(self) -> Step:
        return Step("edit", ("desktop", self._table(), self._pick()), (*self._late(), *self._one_value()))

    def _phone_edits(self) -> Step:
        where = ("mobile", self.dice.choice(self.of_phones), self._pick())
        return Step("edit", where, (*self._late(), *self._one_value()))

    def _tick(self) -> Step:
        return Step("edit", ("mobile", self._table(), self._pick()), (("ticked", self.dice.choice((0, 1))),))

    def _delete(self) -> Step:
        return Step("delete", ("desktop", self._table(), self._pick()), self._late())

    def _phone_deletes(self) -> Step:
        return Step("delete", ("mobile", self.dice.choice(self.of_phones), self._pick()), self._late())

    def _copy(self) -> Step:
        return Step("copy", (self.dice.choice(("desktop", "mobile")), self._table(), self._pick()))

    def _again(self) -> Step:
        return Step("again", (self.dice.choice(self.of_phones), self._pick()), (("same", self.dice.random() < 0.3),))

    def _comment(self) -> Step:
        return Step("comment", (self._pick(),)) if "tasks" in self.tables else self._tick()

    def _refresh(self) -> Step:
        return Step("refresh", (self._table(),), (("in_place", self.dice.random() < 0.5),))

    def _add_column(self) -> Step:
        return Step("add_column", (self._table(), self.dice.choice((None, "x")), self.dice.choice((None, "x", "y"))))

    def _finish(self) -> Step:
        return Step("finish", (self.dice.choice(("desktop", "mobile")),), (("commit", self.dice.random() < 0.8),))

    def _run(self) -> tuple[tuple[str, Any], ...]:
        named: list[tuple[str, Any]] = []
        if self.dice.random() < 0.2:
            named.append(("only", self._table()))
        if self.dice.random() < 0.25:
            fault = (self.dice.choice(tuple(FAULTS)), self.dice.choice(("desktop", "mobile")), self.dice.randint(1, 40))
            named.append(("fault", fault))
        return tuple(named)

    def _forward(self) -> Step:
        allow = (("allow", True),) if self.dice.random() < 0.5 else ()
        return Step("forward", (self.dice.choice(("full", "incremental")),), (*allow, *self._run()))

    def _reverse(self) -> Step:
        return Step("reverse", (), self._run())

    def _settle(self) -> Step:
        return Step("settle")
