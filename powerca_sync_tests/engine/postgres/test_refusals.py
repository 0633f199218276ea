"""Values that the target cannot store unchanged."""

import pytest

from powerca_sync.engine.result import Options
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import Expression
from powerca_sync_tests.helpers import QUICK, Pair, assert_noop, row_counts, spec


def test_skipped_local_time_is_not_shifted(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE visits (id int PRIMARY KEY, at timestamp)")
    pair.target.execute("CREATE TABLE visits (id int PRIMARY KEY, at timestamptz)")
    pair.source.execute("INSERT INTO visits VALUES (1, '2025-03-09 02:30'), (2, '2025-11-02 01:30'), (3, NULL)")
    result = pair.sync(spec("visits", "id"), options=Options(timeouts=QUICK.timeouts, timezone="America/New_York"))
    assert [(sample.reason, sample.key) for sample in result.samples] == [("altered", {"id": "1"})]
    # The second one occurred twice that night; PostgreSQL takes it for the time after the change.
    assert pair.rows("SELECT id, at AT TIME ZONE 'UTC' = '2025-11-02 06:30' FROM visits ORDER BY 1") == [
        (2, True),
        (3, None),
    ]


def test_empty_text_and_null_stay_distinct(pair: Pair) -> None:
    pair.both("CREATE TABLE notes (id int PRIMARY KEY, note text)")
    pair.source.execute("INSERT INTO notes VALUES (1, ''), (2, NULL)")
    pair.sync(spec("notes", "id"))
    assert pair.rows("SELECT id, note FROM notes ORDER BY 1") == [(1, ""), (2, None)]
    pair.source.execute("UPDATE notes SET note = nullif('', note)")
    assert pair.sync(spec("notes", "id")).updated == 2
    assert pair.rows("SELECT id, note FROM notes ORDER BY 1") == [(1, None), (2, "")]


def test_null_refused_by_a_domain_is_quarantined(pair: Pair) -> None:
    pair.both("CREATE DOMAIN grade AS text NOT NULL")
    pair.source.execute("CREATE TABLE marks (id int PRIMARY KEY, grade text)")
    pair.target.execute("CREATE TABLE marks (id int PRIMARY KEY, grade grade)")
    pair.source.execute("INSERT INTO marks VALUES (1, 'A'), (2, NULL)")
    result = pair.sync(spec("marks", "id"))
    assert (result.inserted, [str(sample) for sample in result.samples]) == (
        1,
        ["domain public.grade does not allow null values (column grade)"],
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [("timestamp", "time"), ("timestamptz", "time"), ("time", "timestamp"), ("date", "time"), ("timetz", "time")],
)
def test_pair_of_always_lossy_types_is_refused(pair: Pair, source: str, target: str) -> None:
    pair.source.execute(f"CREATE TABLE diary (id int PRIMARY KEY, began {source})")  # type: ignore[call-overload]
    pair.target.execute(f"CREATE TABLE diary (id int PRIMARY KEY, began {target})")  # type: ignore[call-overload]
    with pytest.raises(SchemaMismatchError, match=r"no value would arrive unchanged. Give the spec an expression"):
        pair.sync(spec("diary", "id"))
    assert pair.one("SELECT error_message FROM _sync_metadata").startswith("Table `diary`: Column `began` is `")


def test_expression_of_the_spec_allows_such_a_pair(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (id int PRIMARY KEY, day date, began timestamp)")
    pair.target.execute("CREATE TABLE diary (id int PRIMARY KEY, day date, began time)")
    pair.source.execute("INSERT INTO diary VALUES (1, '2025-11-30', '2025-11-30 09:15:30.25'), (2, NULL, NULL)")
    began = Expression(column="began", forward='"began"::time', reverse='"day" + "began"')
    diary = spec("diary", "id", expressions=(began,))
    pair.sync(diary)
    assert pair.rows("SELECT id, began::text FROM diary ORDER BY 1") == [(1, "09:15:30.25"), (2, None)]
    assert_noop(pair, diary)


def test_single_too_long_row_is_quarantined_alone(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE names (id int PRIMARY KEY, name text)")
    pair.target.execute("CREATE TABLE names (id int PRIMARY KEY, name varchar(10))")
    pair.source.execute("INSERT INTO names SELECT g, 'name ' || g FROM generate_series(1, 2000) AS g")
    pair.source.execute("UPDATE names SET name = 'much too long' WHERE id = 1234")
    result = pair.sync(spec("names", "id"))
    assert row_counts(result) == {"inserted": 1999, "quarantined": 1}
    (sample,) = result.samples
    assert str(sample) == "value too long for type character varying(10) (column name)"
    assert pair.rows("SELECT key, image FROM powerca_sync.quarantine") == [
        ({"id": "1234"}, {"id": "1234", "name": "much too long"})
    ]
