"""The same rows arrive whatever the settings of either database."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.settings import CASES
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_settings(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
