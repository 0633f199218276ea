"""Rows for which an expression of the spec raises are quarantined alone, in both directions."""

import dataclasses

import pytest

from powerca_sync.engine.result import Transfer
from powerca_sync.engine.verify.verifier import verify
from powerca_sync.errors import UnsafeTargetError
from powerca_sync.specs import Deletes, Expression, TableSpec
from powerca_sync_tests.helpers import QUICK, Pair, assert_noop, delete_insert, pulled, row_counts, spec

BEGUN = Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"')
SHARE = Expression(column="share", forward="60 / share", reverse="60 / share")
DIARY = delete_insert("diary", "id", expressions=(BEGUN,))
RATES = spec("rates", "id", expressions=(SHARE,), sensitive=frozenset({"secret"}))
LINES = delete_insert("rates", "id", expressions=(SHARE,))
BOTH = pytest.mark.parametrize("table", [RATES, LINES], ids=["upsert", "delete-insert"])


def make_rates(pair: Pair) -> None:
    # `r` and `found` are also names in PL/pgSQL.
    pair.source.execute("CREATE TABLE rates (id int, share bigint, secret text, r int, found text, s text)")
    pair.target.execute("CREATE TABLE rates (id int, share int, secret text, r int, found text, s text, source text)")
    pair.source.execute(
        "INSERT INTO rates SELECT n, n, 'secret ' || n, n, 'f' || n, 's' FROM generate_series(1, 30) AS n"
    )


@BOTH
@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
def test_row_for_which_an_expression_raises_is_quarantined_alone(
    pair: Pair, table: TableSpec, transfer: Transfer
) -> None:
    make_rates(pair)
    options = dataclasses.replace(QUICK, transfer=transfer)
    pair.sync(table, options=options)
    pair.source.execute("UPDATE rates SET share = 0 WHERE id IN (7, 9); UPDATE rates SET share = 2 WHERE id = 8")
    result = pair.sync(table, options=options)
    assert row_counts(result) == {"updated": 1, "unchanged": 27, "quarantined": 2, "held": 2}
    assert {str(sample) for sample in result.samples} == {"division by zero"}
    assert pair.rows("SELECT id, share FROM rates WHERE id IN (7, 8, 9) ORDER BY 1") == [(7, 8), (8, 30), (9, 6)]
    assert pair.rows("SELECT key ->> 'id' FROM powerca_sync.quarantine ORDER BY 1") == [("7",), ("9",)]
    assert row_counts(pair.sync(table, mode="incremental", options=options))["quarantined"] == 2
    assert row_counts(pair.plan(table)["rates"].foreseen)["quarantined"] == 2
    pair.source.execute("UPDATE rates SET share = 3 WHERE id IN (7, 9)")
    assert pair.sync(table, mode="incremental", options=options).quarantined == 0
    assert_noop(pair, table)


@BOTH
def test_verify_counts_rows_for_which_an_expression_raises(pair: Pair, table: TableSpec) -> None:
    make_rates(pair)
    pair.sync(table)
    pair.source.execute("UPDATE rates SET share = 0 WHERE id = 7")
    pair.sync(table)
    with pair.connected() as (source, target):
        (found,) = verify(source=source, target=target, specs=[table], options=QUICK)
    assert found.agrees, found
    assert found.outcome is not None
    assert found.outcome.known == {"quarantined": 1, "held": 1}


def test_secrets_of_unreadable_rows_are_not_stored(pair: Pair) -> None:
    make_rates(pair)
    pair.source.execute("UPDATE rates SET share = 0 WHERE id = 7")
    assert pair.sync(RATES).quarantined == 1
    assert "secret 7" not in pair.one("SELECT string_agg(q::text, '') FROM powerca_sync.quarantine AS q")


def test_expression_that_fails_for_every_row_fails_the_table(pair: Pair) -> None:
    make_rates(pair)
    pair.source.execute("UPDATE rates SET share = 0")
    with pytest.raises(UnsafeTargetError, match=r"30 of 30 rows .* division by zero"):
        pair.sync(RATES)


def make_diary(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (id int, day date, begun timestamp, source text)")
    pair.target.execute("CREATE TABLE diary (id int, day date, begun time, source text)")


def test_date_beyond_the_timestamp_range_is_quarantined_alone(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("""
        INSERT INTO diary SELECT n, date '2026-01-01' + n, '10:00', 'M' FROM generate_series(1, 9) AS n;
        INSERT INTO diary VALUES (10, '300000-01-01', '10:00', 'M')""")
    result = pair.pull(DIARY)
    assert pulled(result) == {"pulled": 9, "quarantined": 1}
    assert str(result.samples[0]) == "date out of range for timestamp"
    assert pulled(pair.pull(DIARY)) == {"already_there": 9, "quarantined": 1}
    pair.target.execute("UPDATE diary SET day = '2026-03-01' WHERE id = 10")
    assert pulled(pair.pull(DIARY)) == {"already_there": 9, "pulled": 1}


def test_unreadable_office_row_does_not_stop_reverse_sync(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("""
        INSERT INTO diary VALUES (1, '300000-01-01', '10:00', 'D'), (1, '2026-01-01', '10:00', 'M')""")
    assert pulled(pair.pull(DIARY))["pulled"] == 1


def test_unreadable_reverse_synced_copy_does_not_stop_a_run(pair: Pair) -> None:
    make_rates(pair)
    pair.source.execute("DELETE FROM rates WHERE id > 2; ALTER TABLE rates ADD source text")
    pair.target.execute("INSERT INTO rates VALUES (50, 60, NULL, 1, 'f', 's', 'M'), (51, 6, NULL, 1, 'f', 's', 'M')")
    assert pulled(pair.pull(RATES)) == {"pulled": 2}
    # The changed expression raises for a row that was reverse-synced.
    changed = dataclasses.replace(SHARE, forward="60 / (share - 1)")
    result = pair.sync(dataclasses.replace(RATES, expressions=(changed,), deletes=Deletes.PROPAGATE))
    assert result.quarantined == 2, row_counts(result)
