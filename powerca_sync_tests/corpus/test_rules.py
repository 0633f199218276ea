"""Whatever a mobile table does with written rows, the other rows land, or one sentence names the correction."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.rules import CASES
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rules(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
