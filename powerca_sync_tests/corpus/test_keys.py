"""Keys pair if the target takes them for one key, whatever they look like; types that cannot be a key are refused."""

import psycopg
import pytest

from powerca_sync.engine.mapping.compatibility import WITHOUT_EQUALITY
from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.keys import CASES, FOLDING, NONDETERMINISTIC
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.values import MADE_BY_THE_SERVER, TYPES, UNWRITABLE
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keys(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)


def test_types_without_equality_are_those_that_cannot_be_joined(shared_pair: Pair) -> None:
    found = set()
    for (kind,) in shared_pair.rows(TYPES):
        join = f'(SELECT NULL::pg_catalog."{kind}" AS k)'
        try:
            shared_pair.target.execute(f"SELECT FROM {join} AS a FULL JOIN {join} AS b ON a.k = b.k")  # type: ignore[call-overload]
        except (psycopg.ProgrammingError, psycopg.NotSupportedError):
            found.add(kind)
    assert found - {*UNWRITABLE, *MADE_BY_THE_SERVER} == WITHOUT_EQUALITY


@pytest.mark.parametrize("case", NONDETERMINISTIC, ids=str)
def test_keys_of_a_nondeterministic_collation(shared_pair: Pair, case: Case) -> None:
    try:
        for connection in (shared_pair.source, shared_pair.target):
            with connection.transaction(force_rollback=True):
                connection.execute("CREATE SCHEMA IF NOT EXISTS public; SET LOCAL search_path = public")
                connection.execute(FOLDING)  # type: ignore[call-overload]
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("These servers are built without ICU.")
    play(shared_pair, case)
