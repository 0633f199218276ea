"""DataFrames of Python assets: exact when written, with the database's dtypes when read."""

import datetime
import decimal
import uuid
import zoneinfo
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.frames import copy_rows, copy_text
from powerca_sync.engine.mapping.mapping import FROM_PHONE
from powerca_sync.errors import StagingError
from powerca_sync.specs import in_order
from powerca_sync_tests.defs.office import ORG, Office, attempts, failure, figures
from powerca_sync_tests.helpers import ORGS, spec

KOLKATA = zoneinfo.ZoneInfo("Asia/Kolkata")
KINDS = spec("kinds", "kind_id", office="org_id", references=(ORG,))
PRICES = spec("prices", "price_id", office="org_id", references=(ORG,))
SPECS = in_order((ORGS, KINDS))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.datetime64("NaT"), None),
        ("", ""),
        ("NULL", "NULL"),
        (True, "t"),
        (np.False_, "f"),
        (2**62 + 1, "4611686018427387905"),
        (np.int16(-5), "-5"),
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (5.0, "5"),
        (1e22, "1e+22"),
        (-0.0, "-0"),
        (1.5e-300, "1.5e-300"),
        (float("-inf"), "-Infinity"),
        (decimal.Decimal("1.50"), "1.50"),
        (decimal.Decimal("1E+3"), "1000"),
        (decimal.Decimal("NaN"), "NaN"),
        (decimal.Decimal("123456789012345678901234567890.123456789"), "123456789012345678901234567890.123456789"),
        (datetime.date(1, 1, 1), "0001-01-01"),
        (datetime.time(9, 5, 0, 7), "09:05:00.000007"),
        (datetime.datetime(2024, 2, 29, 23, 59, 59, 999999), "2024-02-29 23:59:59.999999"),  # noqa: DTZ001
        (datetime.datetime(2024, 2, 29, tzinfo=KOLKATA), "2024-02-29 00:00:00+05:30"),
        (pd.Timestamp("2024-02-29 01:02:03.000004", tz="UTC"), "2024-02-29 01:02:03.000004+00:00"),
        (np.datetime64("2024-02-29T01:02"), "2024-02-29 01:02:00"),
        (datetime.timedelta(days=-1, microseconds=5), "-1 days 0 seconds 5 microseconds"),
        (b"\x00\xff\\", r"\x00ff5c"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_value_has_a_text_that_postgresql_parses(value: Any, text: str | None) -> None:
    assert copy_text(value) == text


def test_rows_have_the_requested_columns_in_their_order() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "source": ["D", "M"]})
    assert list(copy_rows(frame, ["b", "a", FROM_PHONE])) == [b"x\t1\tf\n", b"\\N\t2\tt\n"]


def test_special_characters_of_copy_are_escaped() -> None:
    frame = pd.DataFrame({"a": ["tab\there", "line\nfeed", "return\r", "back\\slash", r"\N", r"\."]})
    assert list(copy_rows(frame, ["a"])) == [
        b"tab\\there\n",
        b"line\\nfeed\n",
        b"return\\r\n",
        b"back\\\\slash\n",
        b"\\\\N\n",
        b"\\\\.\n",
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (pd.Timestamp("2024-01-01 00:00:00.000000001"), "nanoseconds"),
        (pd.Timedelta(1, "ns"), "nanoseconds"),
        (object(), "no form"),
        ({"a": float("nan")}, "not JSON compliant"),
        ({"a": object()}, "not JSON serializable"),
    ],
)
def test_value_without_an_exact_form_is_refused_with_its_column(value: Any, reason: str) -> None:
    frame = pd.DataFrame({"odd": pd.Series([value], dtype=object)})
    with pytest.raises(StagingError, match=rf"Column `odd` of the DataFrame.*{reason}"):
        list(copy_rows(frame, ["odd"]))


#: One column of each kind, and rows with ordinary, extreme and NULL values.
TABLE = """
CREATE TABLE kinds (
    kind_id int PRIMARY KEY, org_id int, small smallint, big bigint, flag boolean, exact numeric,
    money_like numeric(12,2), real4 real, real8 double precision, day date, moment timestamp, instant timestamptz,
    clock time, lapse interval, fixed char(6), words text, raw bytea, document jsonb, list int[], label uuid,
    address inet
)"""
ROWS = r"""
INSERT INTO kinds VALUES
(1, 1, 7, 9007199254740993, true, 1.10, 2.50, 0.1, 0.1, '2024-02-29', '2024-02-29 12:00:00.000001',
    '2024-02-29 12:00:00.000001+05:30', '09:30', '1 mon 2 days 03:04:05', 'ab', E'tab\t, line\n, \\N and ü', '\x00ff',
    '{"a": 1.10, "b": null}', '{1,NULL,3}', '00000000-0000-0000-0000-000000000001', '10.0.0.1/8'),
(2, 1, NULL, NULL, NULL, 'NaN', NULL, 'Infinity', 'NaN', 'infinity', '-infinity', 'infinity', '24:00', '-1 days', '',
    '', '', 'null', '{}', NULL, NULL),
(3, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '0044-03-15 BC', '0044-03-15 10:00:00 BC', '0044-03-15 10:00:00+00 BC',
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(4, 1, NULL, NULL, NULL, 123456789012345678901234567890.123456789, -0.01, NULL, -0.0, '0001-01-01', '0001-01-01',
    '9999-12-31 12:00:00+00', '23:59:59.999999', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""


def make_kinds(office: Office) -> None:
    office.pair.both(TABLE)
    office.pair.target.execute("ALTER TABLE kinds ADD COLUMN source char(1) DEFAULT 'D'")
    office.pair.target.execute(ROWS)
    office.pair.target.execute("INSERT INTO kinds (kind_id, org_id) VALUES (5, 2)")


def load(office: Office, where: str = "TRUE") -> pd.DataFrame:
    """Returns the rows for which `where` holds, as the IO manager passes them to an asset written in Python."""
    make_kinds(office)
    office.pair.target.execute(f"DELETE FROM kinds WHERE NOT ({where})")  # type: ignore[call-overload]  # noqa: S608
    frames = []

    @dg.asset
    def reader(kinds: pd.DataFrame) -> None:
        frames.append(kinds)

    definitions = dg.Definitions.merge(build_definitions(SPECS), dg.Definitions(assets=[reader]))
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=office.instance, asset_selection=[reader.key]).success
    return frames[0]


def test_input_has_the_offices_rows_with_the_dtypes_of_the_database(office: Office) -> None:
    frame = load(office, "kind_id IN (1, 5)")
    assert frame["kind_id"].tolist() == [1]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        **dict.fromkeys(["kind_id", "org_id", "small", "big"], "Int64"),
        "flag": "boolean",
        **dict.fromkeys(["exact", "money_like", "day", "clock", "raw"], "object"),
        **dict.fromkeys(["real4", "real8"], "Float64"),
        "moment": "datetime64[us]",
        "instant": "datetime64[us, UTC]",
        **dict.fromkeys(["lapse", "fixed", "words", "document", "list", "label", "address", "source"], "str"),
    }
    (row,) = frame.to_dict("records")
    assert row["big"] == 9007199254740993
    assert row["exact"] == decimal.Decimal("1.10")
    assert str(row["exact"]) == "1.10"
    assert row["day"] == datetime.date(2024, 2, 29)
    assert row["clock"] == datetime.time(9, 30)
    assert row["instant"] == pd.Timestamp("2024-02-29 06:30:00.000001", tz="UTC")
    assert row["raw"] == b"\x00\xff"
    assert row["document"] == '{"a": 1.10, "b": null}'


def test_integers_stay_integers_beside_nulls(office: Office) -> None:
    frame = load(office)
    assert str(frame["big"].dtype) == "Int64"
    assert frame["big"].tolist() == [9007199254740993, pd.NA, pd.NA, pd.NA]


def test_values_beyond_python_types_are_read_as_text(office: Office) -> None:
    frame = load(office).set_index("kind_id")
    assert frame["day"].tolist()[1:] == ["infinity", "0044-03-15 BC", datetime.date(1, 1, 1)]
    assert frame.loc[2, ["moment", "instant", "clock", "real8"]].tolist() == [
        "-infinity",
        "infinity",
        "24:00:00",
        "NaN",
    ]
    assert frame.loc[3, ["moment", "instant"]].tolist() == ["0044-03-15 10:00:00 BC", "0044-03-15 10:00:00+00 BC"]
    assert frame.loc[2, "document"] == "null"
    assert frame.loc[1, "lapse"] == "1 mon 2 days 03:04:05"


def test_table_without_rows_has_its_dtypes(office: Office) -> None:
    frame = load(office, "FALSE")
    assert len(frame) == 0
    assert str(frame["big"].dtype) == "Int64"
    assert str(frame["instant"].dtype) == "datetime64[us, UTC]"


def test_loaded_frame_is_written_back_without_a_change(office: Office) -> None:
    frame = load(office)
    before = office.pair.text("kinds")

    @dg.asset(key="kinds", deps=["orgs"])
    def kinds() -> pd.DataFrame:
        return frame

    result = office.run(specs=SPECS, written=[kinds])
    assert result.success
    assert figures(result, "kinds")["unchanged"] == 4
    assert office.pair.text("kinds") == before


def make_prices(office: Office) -> None:
    office.pair.target.execute(
        "CREATE TABLE prices (price_id int PRIMARY KEY, org_id int, price numeric(8,2), note varchar(5),"
        " source char(1))"
    )


def run_prices(office: Office, columns: dict[Any, object]) -> dg.ExecuteInProcessResult:
    """Runs a Python asset that creates the table `prices`, with these columns besides the keys."""

    @dg.asset(key="prices", deps=["orgs"])
    def prices() -> pd.DataFrame:
        return pd.DataFrame({"price_id": [1, 2], "org_id": [1, 1]} | columns)

    make_prices(office)
    return office.run(specs=in_order((ORGS, PRICES)), written=[prices])


def test_python_asset_reads_one_table_and_writes_another(office: Office) -> None:
    make_kinds(office)
    make_prices(office)

    @dg.asset(key="prices", deps=["orgs"])
    def prices(kinds: pd.DataFrame) -> pd.DataFrame:
        return kinds.assign(price_id=kinds["kind_id"], price=kinds["money_like"])

    result = office.run(specs=in_order((ORGS, KINDS, PRICES)), written=[prices])
    assert figures(result, "prices")["inserted"] == 4
    assert office.pair.rows("SELECT price_id, price, source FROM prices WHERE price IS NOT NULL ORDER BY 1") == [
        (1, decimal.Decimal("2.50"), "D"),
        (4, decimal.Decimal("-0.01"), "D"),
    ]


def test_integers_that_pandas_turned_into_floats_are_written(office: Office) -> None:
    assert run_prices(office, {"price": [2.0, float("nan")]}).success
    assert office.pair.rows("SELECT price_id, price FROM prices ORDER BY 1") == [(1, 2), (2, None)]


def test_unfit_row_of_a_frame_is_quarantined_alone(office: Office) -> None:
    result = run_prices(office, {"note": ["much too long", "ok"]})
    assert figures(result, "prices")["quarantined"] == 1
    assert office.pair.rows("SELECT price_id FROM prices") == [(2,)]


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("numeric(8,2)", [decimal.Decimal("1.005"), decimal.Decimal("1.00")]),
        ("numeric(8,2)", [1 / 3, 0.25]),
        ("int", [2.5, 2.0]),
        ("date", [pd.Timestamp("2024-02-29 12:00"), pd.Timestamp("2024-02-29")]),
        ("timestamp", [pd.Timestamp("2024-02-29 12:00+05:30"), pd.Timestamp("2024-02-29 12:00", tz="UTC")]),
        ("time(0)", [datetime.time(9, 0, 0, 1), datetime.time(9)]),
    ],
)
def test_value_that_would_be_rounded_cut_or_shifted_is_refused(office: Office, type: str, values: Any) -> None:
    make_prices(office)
    office.pair.target.execute(f"ALTER TABLE prices ADD COLUMN value {type}")  # type: ignore[call-overload]

    @dg.asset(key="prices", deps=["orgs"])
    def prices() -> pd.DataFrame:
        return pd.DataFrame({"price_id": [1, 2], "org_id": [1, 1], "value": values})

    result = office.run(specs=in_order((ORGS, PRICES)), written=[prices])
    assert figures(result, "prices")["quarantined"] == 1
    assert office.pair.rows("SELECT price_id FROM prices") == [(2,)]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"note": [object(), "ok"]}, "Column `note` of the DataFrame holds a object"),
        ({7: [1, 2]}, "columns with different names of type str"),
    ],
)
def test_frame_that_cannot_be_sent_fails_without_retry(office: Office, columns: dict[Any, object], reason: str) -> None:
    result = run_prices(office, columns)
    assert attempts(result, "prices") == 1
    assert reason in failure(result, "prices")


def test_value_that_is_not_a_table_is_refused(office: Office) -> None:
    make_prices(office)

    @dg.asset(key="prices", deps=["orgs"])
    def prices() -> list[int]:
        return [1]

    result = office.run(specs=in_order((ORGS, PRICES)), written=[prices])
    assert "returned a list. Return one of: TableExtract, TextRows, DataFrame." in failure(result, "prices")
