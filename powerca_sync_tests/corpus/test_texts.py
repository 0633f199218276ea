"""Column contents of an old program arrive exactly, or are quarantined with a correct reason."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.texts import CASES
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_texts(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
