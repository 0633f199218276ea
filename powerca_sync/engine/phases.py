"""Measure how long the phases of a run take."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class PhaseTimer:
    """Seconds by phase, in the order in which the phases began."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time inside to the phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of the total; outside any phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - began

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by phase so far."""
        return dict(self._seconds)

    @property
    def milliseconds(self) -> int:
        """Milliseconds since the timer was made, without pauses."""
        return round((time.monotonic() - self._started) * 1000)
