"""Bisect a batch that a database refuses, down to the rows at fault."""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

Error = TypeVar("Error", bound=Exception)


def bisect(
    run: Callable[[int, int], None],
    first: int,
    last: int,
    *,
    refusals: tuple[type[Exception], ...],
    check: Callable[[Error], None],
    smallest: Callable[[], int] = lambda: 1,
) -> Iterator[tuple[int, int, Error]]:
    """Run the rows `first` to `last` as one batch, and in halves where it is refused.

    Yields (first, last, error) of each part that is refused and has at most `smallest()` rows, in order. If `run`
    raises one of `refusals`, it must have left the transaction as it was; `check` raises the error if it does not
    concern single rows.
    """
    parts = [(first, last)] if first <= last else []
    while parts:
        first, last = parts.pop()
        try:
            run(first, last)
        except refusals as exc:
            error = cast("Error", exc)
            check(error)
            if last - first < smallest():
                yield first, last, error
            else:
                middle = (first + last) // 2
                parts += [(middle + 1, last), (first, middle)]
