"""doctor: the copies of an earlier engine on the desktop, and the statements that repair them."""

import pytest

from powerca_sync.engine.doctor import Severity
from powerca_sync.specs import Expression
from powerca_sync_tests.engine.clinic import examined
from powerca_sync_tests.helpers import Pair, delete_insert, pulled

WORK = delete_insert(
    "work",
    *("staff_id", "day", "job_id"),
    expressions=(Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"'),),
)


@pytest.fixture
def altered(pair: Pair) -> Pair:
    """Creates three phone rows, whose copies the earlier engine shifted and one of which it cut, and one office row."""
    pair.source.execute("""
        CREATE TABLE work (staff_id int, day date, job_id int, begun timestamp, note varchar(20), source char(1));
        CREATE TABLE _reverse_sync_metadata (table_name varchar(100) PRIMARY KEY);
        INSERT INTO work SELECT n, '2025-11-04', n, '2025-11-03 10:01', left(repeat('visit ', n + 1), 20), 'M'
        FROM generate_series(1, 3) AS n;
        INSERT INTO work VALUES (4, '2025-11-04', 4, '2025-11-05 00:10', 'over midnight', 'D')
    """)
    pair.target.execute("""
        CREATE TABLE work (wd_id bigserial PRIMARY KEY, staff_id int, day date, job_id int, begun time, note text,
            source char(1) DEFAULT 'M');
        INSERT INTO work (staff_id, day, job_id, begun, note)
        SELECT n, '2025-11-04', n, '10:01', repeat('visit ', n + 1) FROM generate_series(1, 3) AS n
    """)
    return pair


def test_altered_rows_are_counted_by_alteration(altered: Pair) -> None:
    (finding,) = [one for one in examined(altered, WORK) if one.table == "work" and "earlier engine" in one.what]
    assert finding.severity is Severity.WARNING
    assert finding.side == "desktop"
    assert finding.what == (
        "work: rows that an earlier engine inserted differ from the phones' rows: "
        "note cut to character varying(20) (1) and begun shifted (3)."
    )


def test_printed_statements_repair_the_rows(altered: Pair) -> None:
    (finding,) = [one for one in examined(altered, WORK) if one.table == "work" and "earlier engine" in one.what]
    assert finding.do.endswith(":")
    for statement in finding.statements:
        altered.source.execute(statement)  # type: ignore[call-overload]
    assert altered.rows("SELECT DISTINCT begun::text FROM work WHERE source = 'M'", altered.source) == [
        ("2025-11-04 10:01:00",)
    ]
    assert altered.one("SELECT begun::text FROM work WHERE source = 'D'", altered.source) == "2025-11-05 00:10:00"
    altered.source.execute("UPDATE work SET note = repeat('visit ', 4) WHERE staff_id = 3")
    assert not [one for one in examined(altered, WORK) if one.table == "work" and "earlier engine" in one.what]
    assert pulled(altered.pull(WORK)) == {"adopted": 3}


def test_no_finding_without_an_earlier_engine(altered: Pair) -> None:
    altered.source.execute("DROP TABLE _reverse_sync_metadata")
    assert not [one for one in examined(altered, WORK) if "earlier engine" in one.what]
