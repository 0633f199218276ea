"""Migration from an earlier engine: for every table, rows that it inserted are not inserted a second time."""

import pytest

from powerca_sync.engine.requests import Choice
from powerca_sync.specs import Strategy, TableSpec
from powerca_sync.tables import TABLES
from powerca_sync_tests.engine.small_office import PHONE_ROW, ROWS, make, named_columns
from powerca_sync_tests.helpers import Pair, assert_noop, pulled

PULLED = [spec for spec in TABLES if not spec.defines_offices]


def others(spec: TableSpec) -> list[TableSpec]:
    return [one for one in TABLES if one is not spec]


def insert_copy_of_earlier_engine(pair: Pair, spec: TableSpec, *, altered: bool) -> None:
    """Inserts the earlier engine's copy of the phone row: clock times on the previous day; text cut if altered."""
    computed = {one.column for one in spec.expressions}
    names = named_columns(spec)
    quoted = ", ".join(f'"{name}"' for name in (*names, "label"))
    (values,) = pair.rows(f"SELECT {quoted} FROM {spec.mobile} WHERE label = 'phone {PHONE_ROW}'")
    row = dict(zip((*names, "label"), values, strict=True))
    for name in computed:
        row[name] = f"2025-01-01 {row[name]}"
    if altered:
        row["label"] = "phone"
    columns = ", ".join(f'"{name}"' for name in row)
    holes = ", ".join("%s" for _ in row)
    pair.source.execute(f"INSERT INTO {spec.desktop} ({columns}) VALUES ({holes})", list(row.values()))  # type: ignore[call-overload]


def count(pair: Pair, spec: TableSpec) -> int:
    return int(pair.one(f"SELECT count(*) FROM {spec.desktop}", pair.source))


@pytest.fixture
def office(shared_pair: Pair) -> Pair:
    """Creates the office, with the state tables that the earlier engine created in both databases."""
    make(shared_pair.source, shared_pair.target)
    for connection, name in ((shared_pair.target, "_sync_metadata"), (shared_pair.source, "_reverse_sync_metadata")):
        connection.execute(f"""DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (table_name varchar(100) PRIMARY KEY,
            last_sync_timestamp timestamptz NOT NULL DEFAULT '1970-01-01')""")  # type: ignore[call-overload]
    return shared_pair


@pytest.mark.parametrize("spec", PULLED, ids=lambda spec: spec.mobile)
def test_copies_of_phone_rows_are_adopted(office: Pair, spec: TableSpec) -> None:
    insert_copy_of_earlier_engine(office, spec, altered=False)
    office.sync(spec, *others(spec))
    assert pulled(office.pull(spec, *others(spec))) == {"adopted": 1}
    assert count(office, spec) == ROWS + 1
    office.sync(spec, *others(spec))
    assert pulled(office.pull(spec, *others(spec))) == {"already_there": 1}
    before = office.text(spec.mobile)
    assert office.sync(spec, *others(spec)).written == 0
    assert office.text(spec.mobile) == before


@pytest.mark.parametrize("spec", PULLED, ids=lambda spec: spec.mobile)
def test_altered_copies_are_quarantined_until_a_choice(office: Pair, spec: TableSpec) -> None:
    insert_copy_of_earlier_engine(office, spec, altered=True)
    fate = "conflicts" if spec.strategy is Strategy.UPSERT else "lookalikes"
    for _ in range(2):
        result = office.pull(spec, *others(spec))
        assert pulled(result) == {fate: 1}
        (shown,) = result.conflict_samples
        assert (shown.phone["label"], shown.desktop["label"]) == (f"phone {PHONE_ROW}", "phone")
    assert count(office, spec) == ROWS + 1
    assert pulled(office.pull(spec, *others(spec), lookalikes=Choice.ADOPT)) == {"adopted": 1}
    office.sync(spec, *others(spec))
    assert office.one(f"SELECT count(*) FROM {spec.mobile}") == ROWS + 1
    assert count(office, spec) == ROWS + 1
    assert pulled(office.pull(spec, *others(spec))) == {"already_there": 1}


def test_unchanged_office_is_not_written_again(office: Pair) -> None:
    for spec in PULLED:
        insert_copy_of_earlier_engine(office, spec, altered=False)
    office.sync_all(*TABLES)
    office.pull_all(*TABLES)
    assert_noop(office, *TABLES)
