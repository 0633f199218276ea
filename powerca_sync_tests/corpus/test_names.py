"""Whatever a table or a column is called, its rows arrive, in all directions and by all ways."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.names import CASES
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
