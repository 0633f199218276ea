"""Rows arrive whatever the names of tables and columns, in both directions and with every transfer."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.names import CASES
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
