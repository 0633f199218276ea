"""The recorded row versions of the target, by which rows that others wrote since the last complete run are recognised.

A row that the merge wants to delete, and that others inserted or changed on mobile, was not lost by the desktop. It is
kept and reported until somebody decides, so that what phones can write does not stop the office at the guard against
mass deletes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

#: Transactions of one kind that a mark names.
MOST_VERSIONS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TargetMark:
    """The known row versions of the target.

    They are those visible in `snapshot`, taken by the last complete run before it looked at the rows, and its `own`
    and those of later runs, but for the `foreign` ones that it kept. All are 64-bit transaction ids.
    """

    #: Object ids and files of the table. A table that was restored or rewritten has others; its rows look new.
    files: str
    snapshot: str
    own: tuple[int, ...] = ()
    foreign: tuple[int, ...] = ()
    #: The highest primary key of the sync's rows, if that counts upwards: foreign rows above it were inserted.
    highest: int | None = None
    #: Foreign rows that were kept.
    rows: int = 0

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Self | None:
        """Returns the stored mark, or None without a mark, or if it is not one of the table as it is `now`."""
        if stored is None or stored["files"] != now["files"]:
            return None
        return cls(**{**stored, "own": tuple(stored["own"]), "foreign": tuple(stored["foreign"])})

    @property
    def oldest(self) -> int:
        """The oldest transaction of a version that may be foreign."""
        return min([int(self.snapshot.split(":")[0]), *self.foreign])


def mark_after(
    before: TargetMark | None,
    now: Mapping[str, Any],
    *,
    complete: bool,
    own: Sequence[int] = (),
    foreign: Sequence[int] = (),
    highest: int | None = None,
    rows: int = 0,
) -> TargetMark | None:
    """Returns the mark that a run leaves, which began when the table was as `now` says.

    None is left, so that no row is foreign then, if there is too much to remember. The mark of `before` stays, with
    more of its `own`, after a run that was not `complete`, and while there are more foreign versions than
    `MOST_VERSIONS`.
    """
    mark: TargetMark | None
    if complete and len(foreign) <= MOST_VERSIONS:
        mark = TargetMark(**now, own=tuple(own), foreign=tuple(foreign), highest=highest, rows=rows)
    else:
        mark = before and dataclasses.replace(before, own=(*before.own, *own), rows=rows if complete else before.rows)
    return mark if mark and len(mark.own) <= MOST_VERSIONS else None
