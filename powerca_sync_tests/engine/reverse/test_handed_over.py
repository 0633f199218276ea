"""A reverse-synced row that is handed over on mobile, by its `source`, becomes a desktop row."""

import dataclasses

import pytest

from powerca_sync.engine.requests import Choice
from powerca_sync.engine.result import Transfer
from powerca_sync.specs import Deletes, TableSpec
from powerca_sync_tests.engine.verify.checking import difference_counts, verify_table
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, pulled, row_counts, spec

DIARY = delete_insert("diary", "staff_id", "day")
KEYLESS = delete_insert("diary")
LEAVE = spec("leave", "leave_id", deletes=Deletes.PROPAGATE)
DESKTOP = {"diary": "staff_id int, day date, note text", "leave": "leave_id int, days int, note text"}

WITH_A_MOBILE_KEY = [
    (DIARY, "id bigserial PRIMARY KEY,", ""),
    (DIARY, "id bigserial PRIMARY KEY,", ", source char(1)"),
    (KEYLESS, "id bigserial PRIMARY KEY,", ""),
    (LEAVE, "PRIMARY KEY (leave_id),", ""),
    (LEAVE, "PRIMARY KEY (leave_id),", ", source char(1)"),
]
#: Tables whose rows are identified by their content only.
WITHOUT = [(DIARY, "", ""), (DIARY, "", ", source char(1)"), (KEYLESS, "", ", source char(1)")]

every_table = pytest.mark.parametrize(("table", "mobile_key", "owner"), [*WITH_A_MOBILE_KEY, *WITHOUT])
every_table_with_a_mobile_key = pytest.mark.parametrize(("table", "mobile_key", "owner"), WITH_A_MOBILE_KEY)


def make(pair: Pair, table: TableSpec, mobile_key: str, owner: str) -> None:
    """Creates two reverse-synced phone rows and one office row."""
    columns = DESKTOP[table.mobile]
    pair.source.execute(f"CREATE TABLE {table.mobile} ({columns}{owner})")
    pair.target.execute(
        f"CREATE TABLE {table.mobile} ({mobile_key} {columns}, source char(1) DEFAULT 'M',"
        " created_at timestamptz DEFAULT clock_timestamp())"
    )
    first, second = columns.split()[0], columns.split(", ")[1].split()[0]
    value = second_value(table)
    for connection, one, note in ((pair.target, 5, "a"), (pair.target, 6, "b"), (pair.source, 7, "own")):
        connection.execute(
            f"INSERT INTO {table.mobile} ({first}, {second}, note) VALUES ({one}, {value}, '{note}')"  # type: ignore[call-overload]  # noqa: S608
        )
    assert pair.pull(table).pulled == 2
    assert row_counts(pair.sync(table)) == {"inserted": 1, "echo": 2}


def second_value(table: TableSpec) -> str:
    return "'2025-10-01'" if table.mobile == "diary" else "1"


def hand_over(pair: Pair, table: TableSpec, source: str | None = "D", also: str = "") -> None:
    pair.target.execute(f"UPDATE {table.mobile} SET source = %s{also} WHERE note = 'a'", [source])  # noqa: S608


def on_mobile(pair: Pair, table: TableSpec) -> dict[str, str | None]:
    return dict(pair.rows(f"SELECT note, source FROM {table.mobile} ORDER BY 1"))  # noqa: S608


def run_reverse_if_keyed(pair: Pair, table: TableSpec, mobile_key: str, expected: dict[str, int] | None = None) -> None:
    """Runs reverse sync if mobile has a primary key; without one, forward sync detects the handover itself."""
    if mobile_key:
        assert pulled(pair.pull(table)) == expected or {"already_there": 1, "gone": 1}


@every_table_with_a_mobile_key
@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
def test_forward_leaves_rows_that_the_ledger_knows_unchanged(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str, transfer: Transfer
) -> None:
    make(pair, table, mobile_key, owner)
    second = "staff_id" if table.mobile == "diary" else "days"
    for owner_now, also in (("D", ""), ("D", ", note = 'corrected'"), (None, f", {second} = 55")):
        pair.target.execute(
            f"UPDATE {table.mobile} SET source = %s{also} WHERE note IN ('a', 'corrected')",  # noqa: S608
            [owner_now],
        )
        for on_desktop in (
            "",
            "UPDATE {} SET note = 'edited' WHERE note = 'a'",
            "DELETE FROM {} WHERE note = 'edited'",
        ):
            pair.source.execute(on_desktop.format(table.mobile))  # type: ignore[call-overload]
            known = pair.text(table.mobile, where="note IN ('a', 'corrected')")
            result = pair.sync(table, options=dataclasses.replace(QUICK, transfer=transfer))
            # Without a key, an edit cannot be attributed to a row.
            assert (result.written, result.unchanged) == (0, 1) or not table.key
            assert pair.text(table.mobile, where="note IN ('a', 'corrected')") == known
            assert verify_table(pair, table).agrees
        pair.source.execute(f"INSERT INTO {table.desktop} VALUES (5, {second_value(table)}, 'a')")  # type: ignore[call-overload]  # noqa: S608


@every_table
def test_row_stays_in_both_databases_until_it_is_handed_back(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str
) -> None:
    make(pair, table, mobile_key, owner)
    hand_over(pair, table)
    before = pair.text(table.mobile), pair.text(table.mobile, on=pair.source)
    run_reverse_if_keyed(pair, table, mobile_key)
    assert difference_counts(verify_table(pair, table)) == {"echo": 1}
    foreseen = pair.plan(table)[table.mobile].foreseen
    for transfer in (Transfer.EVERYTHING, Transfer.DIFFERENCES):
        result = pair.sync(table, options=dataclasses.replace(QUICK, transfer=transfer))
        assert foreseen is not None
        assert row_counts(result) == {"unchanged": 2, "echo": 1} == row_counts(foreseen)
    pair.sync(table, mode="incremental")
    assert pair.pull(table).already_there == 1
    assert pulled(pair.pull(table)) == {"already_there": 1}
    assert row_counts(pair.sync(table)) == {"unchanged": 2, "echo": 1}

    assert (pair.text(table.mobile), pair.text(table.mobile, on=pair.source)) == before
    hand_over(pair, table, "M")
    assert pulled(pair.pull(table)) == {"already_there": 2}
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "echo": 2}
    assert difference_counts(verify_table(pair, table)) == {"echo": 2}
    assert on_mobile(pair, table) == {"a": "M", "b": "M", "own": "D"}


@every_table
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_office_changes_of_the_copy_are_synced_forward(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str, mode: str
) -> None:
    make(pair, table, mobile_key, owner)
    hand_over(pair, table)
    run_reverse_if_keyed(pair, table, mobile_key)
    pair.source.execute(f"UPDATE {table.mobile} SET note = 'edited' WHERE note = 'a'")  # noqa: S608
    if table.key:
        assert pair.sync(table, mode=mode).updated == 1
    else:
        result = pair.sync(table, mode=mode, delete_foreign=not mobile_key)
        assert result.foreign == 0
    assert on_mobile(pair, table) == {"b": "M", "edited": "D", "own": "D"}
    assert verify_table(pair, table).agrees
    assert pair.sync(table, mode=mode).written == 0
    pair.source.execute(f"DELETE FROM {table.mobile} WHERE note IN ('edited', 'own')")  # noqa: S608
    pair.sync(table)
    assert on_mobile(pair, table) == {"b": "M"}
    assert pair.pull(table).already_there == 1


@every_table_with_a_mobile_key
@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
@pytest.mark.parametrize("also", [", note = 'corrected'", ", note = 'corrected', staff_id = 55"])
def test_mobile_change_of_the_content_is_overwritten_by_the_desktop(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str, transfer: Transfer, also: str
) -> None:
    make(pair, table, mobile_key, owner)
    hand_over(pair, table, also=also if table.mobile == "diary" else also.replace("staff_id", "days"))
    run_reverse_if_keyed(pair, table, mobile_key)
    for _ in range(3):
        pair.sync(table, options=dataclasses.replace(QUICK, transfer=transfer))
        assert on_mobile(pair, table) == {"a": "D", "b": "M", "own": "D"}
        assert verify_table(pair, table).agrees


@every_table
@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
def test_unowned_row_is_adopted_and_another_owner_is_kept(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str, transfer: Transfer
) -> None:
    options = dataclasses.replace(QUICK, transfer=transfer)
    make(pair, table, mobile_key, owner)
    hand_over(pair, table, "S")
    before = pair.text(table.mobile)
    assert row_counts(pair.sync(table, options=options)) == {"unchanged": 1, "echo": 2, "kept_other": 1}
    run_reverse_if_keyed(pair, table, mobile_key)
    kept = {"kept_mobile": 1, "echo": 1} if mobile_key else {"echo": 2}
    assert row_counts(pair.sync(table, options=options)) == {"unchanged": 1, **kept, "kept_other": 1}
    assert pair.text(table.mobile) == before
    assert len(before) == 3
    hand_over(pair, table, None)
    assert row_counts(pair.sync(table, options=options)) == {"unchanged": 1, "updated": 1, "echo": 1}
    assert on_mobile(pair, table) == {"a": "D", "b": "M", "own": "D"}
    assert verify_table(pair, table).agrees


def test_unowned_row_with_an_echo_matches_no_other_row(pair: Pair) -> None:
    make(pair, DIARY, "", "")
    hand_over(pair, DIARY, "S")
    pair.source.execute("INSERT INTO diary VALUES (5, '2025-10-01', 'a')")
    assert row_counts(pair.sync(DIARY)) == {"unchanged": 1, "inserted": 1, "echo": 2, "kept_other": 1}
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 2, "kept_other": 1}


@every_table
def test_handed_over_row_deleted_on_mobile_is_not_restored(
    pair: Pair, table: TableSpec, mobile_key: str, owner: str
) -> None:
    make(pair, table, mobile_key, owner)
    hand_over(pair, table)
    pair.sync(table)
    pair.target.execute(f"DELETE FROM {table.mobile} WHERE note = 'a'")  # noqa: S608
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "echo": 2}
    assert on_mobile(pair, table) == {"b": "M", "own": "D"}


@pytest.mark.parametrize("mobile_key", ["id bigserial PRIMARY KEY,", ""])
def test_as_many_equal_rows_stay_as_there_were(pair: Pair, mobile_key: str) -> None:
    make(pair, DIARY, mobile_key, "")
    pair.target.execute(
        "INSERT INTO diary (staff_id, day, note) SELECT 5, '2025-10-01', 'a' FROM generate_series(1, 2)"
    )
    pair.source.execute("INSERT INTO diary VALUES (5, '2025-10-01', 'a')")
    pair.pull(DIARY, lookalikes=Choice.PULL)
    pair.sync(DIARY)
    assert pair.one("SELECT string_agg(source, '' ORDER BY source) FROM diary WHERE note = 'a'") == "DMMM"
    pair.target.execute("UPDATE diary SET source = 'D' WHERE ctid = (SELECT min(ctid) FROM diary WHERE note = 'a')")
    pair.target.execute(
        "DELETE FROM diary WHERE ctid = (SELECT max(ctid) FROM diary WHERE note = 'a' AND source = 'M')"
    )
    run_reverse_if_keyed(pair, DIARY, mobile_key, {"already_there": 2, "gone": 2})
    for _ in range(2):
        assert row_counts(pair.sync(DIARY)) == {"unchanged": 3, "echo": 3}
    assert pair.one("SELECT string_agg(source, '' ORDER BY source) FROM diary WHERE note = 'a'") == "DDM"
    pair.source.execute("DELETE FROM diary WHERE note = 'a'")
    pair.sync(DIARY)
    assert on_mobile(pair, DIARY) == {"a": "M", "b": "M", "own": "D"}


def test_reused_mobile_id_restores_nothing(pair: Pair) -> None:
    make(pair, DIARY, "id bigint PRIMARY KEY DEFAULT (random() * 1e15)::bigint,", "")
    pair.target.execute("UPDATE diary SET id = 0 WHERE note = 'own'")
    pair.pull(DIARY)
    taken = pair.one("DELETE FROM diary WHERE note = 'a' RETURNING id")
    pair.target.execute("UPDATE diary SET id = %s WHERE note = 'own'", [taken])
    assert row_counts(pair.sync(DIARY)) == {"unchanged": 1, "echo": 2}
    assert on_mobile(pair, DIARY) == {"b": "M", "own": "D"}
