"""Play a case through every run of the engine: dry run, full, again, differential, incremental, verify, and reverse."""

import contextlib
import dataclasses
import re
from collections.abc import Mapping

import pytest
from psycopg import sql

from powerca_sync.engine.postgres.encoding import python_codec
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import ForwardResult, ReverseResult, Transfer
from powerca_sync.errors import SyncError
from powerca_sync.specs import Strategy
from powerca_sync_tests.corpus.case import Arrives, Case, Refused
from powerca_sync_tests.corpus.look import SETTINGS, Line, columns, lines, named, written
from powerca_sync_tests.corpus.runs import NEIGHBOURS, Runs
from powerca_sync_tests.helpers import Pair, pulled, row_counts

_NEIGHBOURS = "CREATE TABLE public.neighbours (id int PRIMARY KEY, name text)"


def play(pair: Pair, case: Case) -> None:
    """Creates both databases of the case, and checks every run against the expected outcome."""
    pair.empty()
    for side, statements in ((pair.source, case.desktop), (pair.target, case.mobile)):
        side.execute(_NEIGHBOURS)
        side.execute(statements)  # type: ignore[call-overload]
        side.execute(SETTINGS)
    pair.source.execute("INSERT INTO public.neighbours VALUES (1, 'well')")
    with contextlib.ExitStack() as closing:
        _play(Runs(pair, case, closing), case)


def _play(pair: Runs, case: Case) -> None:
    if isinstance(case.expected, Refused):
        _check_refusal(pair, case, case.expected)
        return
    _check_arrival(pair, case, case.expected)
    _check_noop(pair, case, case.expected)
    if case.mendable:
        _check_repair(pair, case, case.expected)
    if case.back is not None:
        _check_reverse(pair, case, case.back)


def _check_refusal(pair: Runs, case: Case, expected: Refused) -> None:
    plans = pair.plan(case.options)
    if expected.foreseen:
        told = plans[case.table.mobile].error or " ".join(plans[case.table.mobile].refusals)
        _is_clear(told, expected.sentence)
    assert row_counts(_predicted(plans, NEIGHBOURS.mobile)) == {"inserted": 1}
    for _ in range(2):
        with pytest.raises(SyncError) as caught:
            pair.sync(case.table, case.options)
        _is_clear(str(caught.value), expected.sentence)
    assert row_counts(pair.sync(NEIGHBOURS, case.options)) == {"inserted": 1}
    found, neighbours = pair.verify(case.table, NEIGHBOURS)
    assert neighbours.agrees, neighbours
    assert not found.agrees, found
    if found.error is not None:
        _is_clear(found.error, "`")


def _is_clear(sentence: str, pattern: str) -> None:
    assert re.search(pattern, sentence), sentence
    assert sentence.endswith("."), sentence
    assert "\n" not in sentence, sentence


def _check_arrival(pair: Runs, case: Case, expected: Arrives) -> None:
    foreseen = _predicted(pair.plan(case.options), case.table.mobile)
    result = pair.sync(case.table, case.options)
    assert not expected.foreseen or row_counts(result) == row_counts(foreseen)
    _check_quarantine(case, result, expected)
    assert result.superseded == expected.superseded
    assert result.inserted + result.quarantined + result.superseded == result.extracted
    _check_equal_rows(pair, case, expected)


def _check_noop(pair: Runs, case: Case, expected: Arrives) -> None:
    """Asserts that a further run and dry run are no-ops, and verify finds no difference."""
    before = written(pair.target, case.table.mobile)
    by_differences = dataclasses.replace(case.options, transfer=Transfer.DIFFERENCES)
    # Rows that were compared by columns and copied in binary form are unchanged as texts too.
    as_text = dataclasses.replace(case.options, binary_copy=False, typed_hashes=False)
    runs = [(as_text, Mode.FULL), (by_differences, Mode.FULL)]
    if case.table.strategy is Strategy.UPSERT:
        # The other strategy always runs full.
        runs.append((case.options, Mode.INCREMENTAL))
    for options, mode in runs:
        result = pair.sync(case.table, options, mode=mode)
        assert result.written == 0, (options.transfer, mode, row_counts(result))
        _check_quarantine(case, result, expected)
    foreseen = _predicted(pair.plan(by_differences), case.table.mobile)
    if expected.foreseen:
        assert (foreseen.written, foreseen.quarantined) == (0, len(expected.waiting)), row_counts(foreseen)
    assert written(pair.target, case.table.mobile) == before
    _check_verify(pair, case)


def _check_repair(pair: Runs, case: Case, expected: Arrives) -> None:
    """Asserts that rows changed or deleted on mobile are repaired by a differential run."""
    table = named(case.table.mobile)
    first = sql.SQL("SELECT tableoid, ctid::text FROM {} ORDER BY 1, 2 LIMIT 1")
    rows = pair.target.execute(first.format(table)).fetchall()
    left = len(written(pair.target, case.table.mobile)) - len(rows)
    empty = _nullable(pair, case) if case.table.key else []
    for place in rows:
        gone = sql.SQL("DELETE FROM {} WHERE (tableoid, ctid) = ({}, {}::tid)")
        pair.target.execute(gone.format(table, *place))
    if empty:
        values = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in empty)
        pair.target.execute(sql.SQL("UPDATE {} SET {}").format(table, values))
    by_differences = dataclasses.replace(case.options, transfer=Transfer.DIFFERENCES)
    result = pair.sync(case.table, by_differences)
    assert (result.deleted, result.inserted) == (0, len(rows)), row_counts(result)
    # One of them may have been NULL before.
    assert result.updated or not empty or left < 2, row_counts(result)
    _check_equal_rows(pair, case, expected)


def _nullable(pair: Runs, case: Case) -> list[str]:
    """Returns the columns that may be set to NULL: no key, no NOT NULL column, and no generated column."""
    found = pair.target.execute(
        "SELECT attname FROM pg_catalog.pg_attribute AS a WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT (attisdropped OR attnotnull OR attidentity <> '' OR attgenerated <> '')",
        [named(case.table.mobile).as_string(None)],
    )
    travel = set(columns(pair.source, case.table.desktop)) - {*case.table.key, *case.table.skip, "source"}
    return [name for (name,) in found if name in travel - case.not_compared]


def _check_reverse(pair: Runs, case: Case, expected: Arrives | Refused) -> None:
    """Asserts that the same rows, created by phones, are reverse-synced once and then stay unchanged."""
    rows = len(written(pair.target, case.table.mobile))
    pair.target.execute(sql.SQL("UPDATE {} SET source = 'M'").format(named(case.table.mobile)))
    if not isinstance(expected, Refused):
        pair.source.execute(sql.SQL("TRUNCATE {}").format(named(case.table.desktop)))
    before = written(pair.target, case.table.mobile)
    if isinstance(expected, Refused):
        with pytest.raises(SyncError) as caught:
            pair.pull()
        _is_clear(str(caught.value), expected.sentence)
        return
    foreseen = pair.plan_back()
    result = pair.pull()
    assert not expected.foreseen or pulled(result) == pulled(foreseen)
    _check_quarantine(case, result, expected)
    assert result.pulled + result.quarantined == rows, pulled(result)
    _check_equal_rows(pair, case, expected, back=True)
    after = written(pair.source, case.table.desktop)
    again = pair.pull()
    assert (again.pulled, again.already_there, again.quarantined) == (0, result.pulled, result.quarantined)
    assert written(pair.source, case.table.desktop) == after
    echo = pair.sync(case.table, case.options, allow_mass_delete=True)
    assert (echo.written, echo.echo) == (0, result.pulled), row_counts(echo)
    assert written(pair.target, case.table.mobile) == before
    _check_verify(pair, case)


def _predicted(plans: Mapping[str, object], table: str) -> ForwardResult:
    foreseen = getattr(plans[table], "foreseen", None)
    assert isinstance(foreseen, ForwardResult), plans[table]
    return foreseen


def _check_quarantine(case: Case, result: ForwardResult | ReverseResult, expected: Arrives) -> None:
    """Asserts that exactly the expected rows are quarantined, with the expected reasons."""
    told = {", ".join(str(sample.key.get(name)) for name in case.table.key): str(sample) for sample in result.samples}
    assert result.quarantined == len(expected.waiting), told
    assert len(told) <= len(expected.waiting)
    for key, reason in told.items():
        assert re.search(expected.waiting[key], reason), (key, reason)


def _check_equal_rows(pair: Runs, case: Case, expected: Arrives, *, back: bool = False) -> None:
    """Asserts that both databases have the same rows in COPY's format, except quarantined ones (once, if duplicates
    collapse).
    """
    stored = pair.source.info.parameter_status("server_encoding") or ""
    codec = python_codec((case.options.encoding or "UTF8") if stored == "SQL_ASCII" else stored)
    here = lines(pair.source, case, desktop=True, other=pair.target, codec=codec)
    there = lines(pair.target, case, desktop=False, other=pair.source)
    come, gone = (there, here) if back else (here, there)
    come = [line for line in come if line.key not in expected.waiting]
    if expected.superseded:
        come, gone = (sorted(set(side), key=lambda line: line.row) for side in (come, gone))
    assert _rows(come) == _rows(gone), (_rows(come), _rows(gone))


def _rows(found: list[Line]) -> list[bytes]:
    return [line.row for line in found]


def _check_verify(pair: Runs, case: Case) -> None:
    """Asserts that `verify` finds no difference."""
    (found,) = pair.verify(case.table)
    assert found.error is None, found.error
    assert found.agrees, found
