"""Steps of a history, and the random choices of them."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from powerca_sync_tests.histories.mischief import FAULTS
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.tables import SHARED

#: Few values, so that rows collide.
VALUES: dict[str, tuple[Any, ...]] = {
    "org_id": (1,),
    "job_id": (1, 1, 1, 2, None),
    "k": (1, 1, 1, 2, 2, 3),
    "name": ("a", "a", "a", "b", "b", "c"),
    "days": (0, 0, 0, 1, 2),
    "badge": (None, None, None, None, 1, 2, 3),
    "ticked": (0, 0, 1),
}
#: Values that do not fit in some column, or that belong to others.
ODD_VALUES: dict[str, tuple[Any, ...]] = {
    "org_id": (2, None),
    "job_id": (3, 12345),
    "k": (None, None, 12345),
    "name": (None, "toolong", "boom", "bang"),
    "days": (13, 13, -1, 40000, None),
}
#: The share of new rows, and of edits, with such a value.
ODD, ODD_EDITS = 0.25, 0.4
#: The owners to which a phone row or an office row is handed over on mobile.
PHONES_BECOME: tuple[str | None, ...] = ("D", "D", "S", None)
OFFICES_BECOME: tuple[str | None, ...] = ("M", "S", None)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A call of a method of `Office`."""

    name: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        """Returns the step as a line of a script."""
        arguments = [repr(value) for value in self.arguments]
        arguments += [f"{name}={value!r}" for name, value in self.named]
        return f"office.{self.name}({', '.join(arguments)})"

    def play(self, office: Office) -> None:
        getattr(office, self.name)(*self.arguments, **dict(self.named))


class Maker:
    """Chooses random steps."""

    def __init__(self, dice: random.Random, tables: Sequence[str]) -> None:
        self.dice = dice
        self.tables = tables
        self.of_phones = [name for name in tables if name in SHARED] or list(tables)

    def step(self) -> Step:
        makers = (
            *((self._insert, 6), (self._phone_inserts, 5), (self._other_inserts, 1)),
            *((self._edit, 5), (self._phone_edits, 2), (self._app_edits, 2), (self._tick, 1), (self._swap, 1)),
            *((self._delete, 2), (self._phone_deletes, 2), (self._app_deletes, 1)),
            *((self._copy, 3), (self._again, 2), (self._comment, 1)),
            *((self._refresh, 1), (self._add_column, 1), (self._finish, 2), (self._sleep, 2)),
            *((self._forward, 12), (self._reverse, 4), (self.settle, 0.4)),
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

    def _stamp(self) -> tuple[tuple[str, Any], ...]:
        """Returns a timestamp: NULL, or off by less than the overlap of two runs."""
        return (("stamp", self.dice.choice((None, -300, 300))),) if self.dice.random() < 0.7 else ()

    def _pick(self) -> int:
        return self.dice.randrange(8)

    def _table(self) -> str:
        return self.dice.choice(self.tables)

    def _insert(self) -> Step:
        return Step("insert", ("desktop", self._table()), (*self._late(), *self._stamp(), *self._values()))

    def _phone_inserts(self) -> Step:
        where = ("mobile", self.dice.choice(self.of_phones))
        return Step("insert", where, (*self._late(), ("source", "M"), *self._values()))

    def _other_inserts(self) -> Step:
        """Another office, an administrator, or a phone that gives no source or the source of the office."""
        owner = self.dice.choice(("D", "D", "S", None))
        values = dict(self._values()) | ({"org_id": 2} if owner == "D" and self.dice.random() < 0.5 else {})
        return Step("insert", ("mobile", self._table()), (("source", owner), *values.items()))

    def _edit(self) -> Step:
        return Step(
            "edit", ("desktop", self._table(), self._pick()), (*self._late(), *self._stamp(), *self._one_value())
        )

    def _phone_edits(self) -> Step:
        where = ("mobile", self.dice.choice(self.of_phones), self._pick())
        return Step("edit", where, (*self._late(), *self._value_or_owner(PHONES_BECOME)))

    def _app_edits(self) -> Step:
        """The app changes an office row."""
        where = ("mobile", self._table(), self._pick())
        return Step("edit", where, (("whose", "D"), *self._late(), *self._value_or_owner(OFFICES_BECOME)))

    def _value_or_owner(self, owners: Sequence[str | None]) -> tuple[tuple[str, Any], ...]:
        """Returns a value or, sometimes, another owner."""
        return self._one_value() if self.dice.random() < 0.85 else (("source", self.dice.choice(owners)),)

    def _app_deletes(self) -> Step:
        return Step("delete", ("mobile", self._table(), self._pick()), (("whose", "D"), *self._late()))

    def _swap(self) -> Step:
        return Step("swap", (self._table(), self._pick(), self._pick(), self.dice.choice(("badge", "badge", "k"))))

    def _sleep(self) -> Step:
        return Step("sleep") if "leave" in self.tables else self._edit()

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
        where = self.dice.choice(("desktop", "mobile"))
        return Step("add_column", (where, self._table(), self.dice.choice((None, "x", "y"))))

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
        mode = self.dice.choice(("full", "incremental"))
        allow = (("allow", True),) if self.dice.random() < 0.5 else ()
        verify = (("verify", True),) if self.dice.random() < 0.25 else ()
        return Step("forward", (mode,), (*allow, *self._apart(), *verify, *self._run()))

    def _apart(self) -> tuple[tuple[str, Any], ...]:
        return (("apart", True),) if self.dice.random() < 0.6 else ()

    def _reverse(self) -> Step:
        again = (("again", True),) if self.dice.random() < 0.5 else ()
        return Step("reverse", (), (*again, *self._run()))

    def settle(self) -> Step:
        incremental = (("incremental", True),) if self.dice.random() < 0.5 else ()
        return Step("settle", (), (*incremental, *self._apart()))
