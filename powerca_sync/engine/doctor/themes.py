"""Findings of an examination, collected theme by theme; a theme without problems becomes one sentence."""

from collections.abc import Iterable, Sequence

from powerca_sync.engine.doctor.findings import Finding, all_fine
from powerca_sync.engine.doctor.side import Side


class Themes:
    """The findings so far, with the failed queries of the databases."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self.sides = tuple(sides)
        self.findings: list[Finding] = []

    def add_theme(self, otherwise: Finding | None, *found: Iterable[Finding]) -> None:
        """Add the findings of one theme, or `otherwise` if it has none and everything could be examined."""
        if self.add(*found) and otherwise is not None:
            self.findings.append(otherwise)

    def add(self, *found: Iterable[Finding]) -> bool:
        """Add findings and failed queries; returns whether there is no problem."""
        new = [finding for findings in found for finding in findings]
        for side in self.sides:
            new += side.failed
            side.failed.clear()
        self.findings += new
        return all_fine(new) and all(side.is_open or side.connection is None for side in self.sides)
