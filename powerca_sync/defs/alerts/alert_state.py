"""What people have been told, and what still has to reach them; kept with Dagster's own records.

It is not the sensor's cursor, because Dagster throws a cursor away when the tick raises, and a tick that could not send
has to. The same records are on SQLite and on PostgreSQL, and outlive every process.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final, Self

import dagster as dg

from powerca_sync.defs.alerts.notifier import Message, Recipient
from powerca_sync.defs.alerts.problems import Findings, Problem, Told

#: Under which the state is kept; another form of it gets another name.
KEY: Final = "powerca_sync/alerts/1"
#: Seconds after which a problem that no run has had again is forgotten, and a message that nobody took is given up.
FORGOTTEN: Final = 30 * 24 * 60 * 60
GIVEN_UP: Final = 7 * 24 * 60 * 60
#: Seconds for which a recipient that could not be reached is left alone first; doubled each time, up to the longest.
FIRST_REST, LONGEST_REST = 60, 60 * 60


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a run changes in what people know."""

    #: Not told yet, or no longer the same.
    problems: tuple[Problem, ...]
    #: Keys of problems that were told and are over.
    over: tuple[str, ...]
    #: Keys of problems that were told and stay as they are.
    still: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.problems or self.over)


@dataclasses.dataclass(kw_only=True, slots=True)
class Waiting:
    """A message that has not reached everybody."""

    message: Message
    #: When it was written, in seconds since 1970.
    written: float
    #: Recipients it has still to reach.
    to: list[str]


@dataclasses.dataclass(kw_only=True, slots=True)
class Resting:
    """A recipient that could not be reached."""

    failures: int
    #: Seconds since 1970.
    until: float


@dataclasses.dataclass(kw_only=True, slots=True)
class AlertState:
    """Where the alerts stand."""

    #: The last end of a run that was looked at, as Dagster numbers its events; None before the first.
    position: int | None = None
    #: By key of the problem.
    told: dict[str, Told] = dataclasses.field(default_factory=dict)
    #: In the order in which they were written.
    waiting: list[Waiting] = dataclasses.field(default_factory=list)
    #: By recipient.
    resting: dict[str, Resting] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> Self:
        """The state as it was saved last; a new one if it never was."""
        text = instance.daemon_cursor_storage.get_cursor_values({KEY}).get(KEY)
        if text is None:
            return cls()
        kept: dict[str, Any] = json.loads(text)
        return cls(
            position=kept["position"],
            told={key: Told(**told) for key, told in kept["told"].items()},
            waiting=[Waiting(**{**entry, "message": Message(**entry["message"])}) for entry in kept["waiting"]],
            resting={recipient: Resting(**rest) for recipient, rest in kept["resting"].items()},
        )

    def save(self, instance: dg.DagsterInstance) -> None:
        """Keep it."""
        instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(dataclasses.asdict(self))})

    def learn(self, findings: Findings, now: float) -> News:
        """Take in what a run has shown; answers what people do not know of it yet."""
        fresh = [problem for problem in findings.problems if problem.is_news_after(self.told.get(problem.key))]
        over = [key for key in self.told if key in findings.well]
        for key in over:
            del self.told[key]
        for problem in findings.problems:
            before = self.told.get(problem.key)
            # Against what was told, not against the last run: otherwise a count could creep up for ever.
            numbers = problem.numbers if before is None or problem in fresh else before.numbers
            self.told[problem.key] = Told(kind=problem.kind, numbers=dict(numbers), seen=now)
        self.told = {key: told for key, told in self.told.items() if now - told.seen < FORGOTTEN}
        new = {problem.key for problem in fresh}
        return News(problems=tuple(fresh), over=tuple(over), still=tuple(key for key in self.told if key not in new))

    def due(self, recipients: Sequence[Recipient], now: float) -> list[tuple[Recipient, Waiting]]:
        """Who is to be sent what now, oldest first; forgets what has nobody left to reach, or is too old."""
        known = {recipient.id for recipient in recipients}
        for entry in self.waiting:
            entry.to = [recipient for recipient in entry.to if recipient in known]
        self.waiting = [entry for entry in self.waiting if entry.to and now - entry.written < GIVEN_UP]
        self.resting = {recipient: rest for recipient, rest in self.resting.items() if recipient in known}
        return [
            (recipient, entry)
            for recipient in recipients
            if recipient.id not in self.resting or self.resting[recipient.id].until <= now
            for entry in self.waiting
            if recipient.id in entry.to
        ]

    def reached(self, recipient: Recipient, entry: Waiting) -> None:
        """Note that the message has arrived."""
        entry.to.remove(recipient.id)
        self.resting.pop(recipient.id, None)

    def missed(self, recipient: Recipient, now: float) -> None:
        """Note that the recipient could not be reached; all that waits for it waits longer."""
        rest = self.resting.setdefault(recipient.id, Resting(failures=0, until=now))
        rest.until = now + min(FIRST_REST * 2**rest.failures, LONGEST_REST)
        rest.failures += 1
