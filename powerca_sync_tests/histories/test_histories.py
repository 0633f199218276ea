"""Some random histories of an office and its phones, always the same; `make soak` plays thousands of others."""

from collections.abc import Sequence

import pytest

from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.history import SETS, make_history

pytestmark = pytest.mark.long

HISTORIES = 4
LENGTH = 20


@pytest.mark.parametrize("names", SETS, ids=", ".join)
def test_both_databases_converge_after_any_history(shared_pair: Pair, names: Sequence[str]) -> None:
    for n in range(HISTORIES):
        history = make_history(f"always the same {n}", names, length=LENGTH)
        try:
            history.play(shared_pair)
        except Exception as exc:
            exc.add_note(f"It happened in this history:\n\n{history}")
            raise
