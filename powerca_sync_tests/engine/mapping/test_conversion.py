"""Which pairs of types need a check that a value arrived unchanged."""

import dataclasses

import pytest
from psycopg import sql

from powerca_sync.engine.mapping.conversion import comparable, conversion, equal, tells_apart
from powerca_sync.engine.postgres.catalog import Column
from powerca_sync.engine.postgres.encoding import python_codec
from powerca_sync.engine.staging.refused_rows import parse_row
from powerca_sync.errors import ConfigurationError, SchemaMismatchError


def numeric(precision: int, scale: int) -> int:
    return ((precision << 16) | (scale & 0x7FF)) + 4


#: Types by a short name: base, category, modifier.
TYPES = {
    "int2": ("int2", "N", -1),
    "int4": ("int4", "N", -1),
    "int8": ("int8", "N", -1),
    "float8": ("float8", "N", -1),
    "numeric": ("numeric", "N", -1),
    "numeric(8,2)": ("numeric", "N", numeric(8, 2)),
    "numeric(9,3)": ("numeric", "N", numeric(9, 3)),
    "numeric(4,-2)": ("numeric", "N", numeric(4, -2)),
    "money": ("money", "N", -1),
    "text": ("text", "S", -1),
    "varchar": ("varchar", "S", -1),
    "varchar(5)": ("varchar", "S", 9),
    "varchar(9)": ("varchar", "S", 13),
    "char(5)": ("bpchar", "S", 9),
    "bool": ("bool", "B", -1),
    "date": ("date", "D", -1),
    "time": ("time", "D", -1),
    "timetz": ("timetz", "D", -1),
    "timestamp": ("timestamp", "D", -1),
    "timestamp(0)": ("timestamp", "D", 0),
    "timestamptz": ("timestamptz", "D", -1),
    "jsonb": ("jsonb", "U", -1),
    "uuid": ("uuid", "U", -1),
    "inet": ("inet", "I", -1),
    "bytea": ("bytea", "U", -1),
    "citext": ("public.citext", "S", -1),
    "mood": ("public.mood", "E", -1),
}


def column(kind: str) -> Column:
    base, category, typmod = TYPES[kind]
    return Column(name="v", type=kind, base=base, typmod=typmod, category=category)


@pytest.mark.parametrize("kind", TYPES)
def test_same_type_needs_no_lossless_check(kind: str) -> None:
    how = conversion(column(kind), column(kind))
    assert (how.source_expression, how.lossless_check) == ("{value}", None)


@pytest.mark.parametrize(
    "pair",
    [
        *("int2 int8", "int8 int2", "int4 numeric(8,2)", "int4 text", "int4 varchar(5)"),
        *("numeric(8,2) numeric", "numeric(8,2) numeric(9,3)", "numeric text"),
        *("varchar(5) varchar(9)", "varchar(5) text", "text varchar", "text char(5)", "char(5) varchar(9)"),
        *("timestamp(0) timestamp", "date varchar(9)", "bool varchar(5)", "inet varchar(9)"),
        *("text uuid", "text bool", "text inet", "mood text", "bytea text", "int4 jsonb"),
    ],
)
def test_wider_or_refusing_type_needs_no_lossless_check(pair: str) -> None:
    source, target = map(column, pair.split())
    how = conversion(source, target)
    assert (how.source_expression, how.lossless_check) == ("{value}", None)


@pytest.mark.parametrize(
    "pair",
    [
        *(
            "numeric numeric(8,2)",
            "numeric(9,3) numeric(8,2)",
            "int4 numeric(4,-2)",
            "numeric float8",
            "float8 numeric(8,2)",
        ),
        *(
            "text varchar(5)",
            "varchar varchar(5)",
            "varchar(9) varchar(5)",
            "char(5) citext",
            "text numeric",
            "text int4",
        ),
        *("timestamp timestamp(0)", "timestamp date", "timestamptz date", "timestamp timestamptz", "text date"),
        *("money numeric(8,2)", "numeric money", "text bytea", "text mood", "text jsonb"),
    ],
)
def test_type_that_may_round_cut_or_shift_needs_a_lossless_check(pair: str) -> None:
    source, target = map(column, pair.split())
    assert conversion(source, target).lossless_check is not None


@pytest.mark.parametrize("source", ["date", "time", "timetz", "timestamp", "timestamptz"])
@pytest.mark.parametrize("target", ["time", "timetz"])
def test_time_of_day_is_converted_from_no_other_type(source: str, target: str) -> None:
    if source == target:
        return
    with pytest.raises(
        SchemaMismatchError, match=f"Column `v` is `{source}` at the source and `{target}` at the target"
    ):
        conversion(column(source), column(target))


def test_integers_are_read_without_trailing_zeros() -> None:
    for source in ("numeric", "float8", "money"):
        how = conversion(column(source), column("int4"))
        assert how.source_expression.startswith("trim_scale(")
        assert how.lossless_check is None


def test_char_padding_is_removed_for_other_types() -> None:
    assert conversion(column("char(5)"), column("int4")).source_expression == "{value}::text"
    assert conversion(column("char(5)"), column("text")).source_expression == "{value}"


def test_cheapest_comparison_that_detects_every_text_change_is_used() -> None:
    value = sql.Identifier("v")
    for kind in ("int4", "timestamptz", "numeric(8,2)", "uuid", "bool", "bytea"):
        assert comparable(value, column(kind)).as_string() == '"v"'
    for kind in ("text", "varchar(5)"):
        assert comparable(value, column(kind)).as_string() == '"v" COLLATE "C"'
    for kind in ("numeric", "float8", "char(5)", "jsonb", "citext", "timetz", "mood"):
        assert comparable(value, column(kind)).as_string() == '"v"::text COLLATE "C"'


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("int4", "numeric", '"l" OPERATOR(pg_catalog.=) "r"'),
        ("char(5)", "text", '"l" OPERATOR(pg_catalog.=) "r"'),
        ("int4", "text", '"l"::text = "r"::text'),
        ("uuid", "text", '"l"::text = "r"::text'),
    ],
)
def test_two_types_are_compared_by_postgresql_or_as_text(left: str, right: str, expected: str) -> None:
    said = equal(sql.Identifier("l"), column(left), sql.Identifier("r"), column(right))
    assert said.as_string() == expected


def test_different_texts_may_be_one_value_of_another_type() -> None:
    for pair in ("text numeric", "text char(5)", "text citext", "varchar uuid", "citext mood"):
        assert not tells_apart(*map(column, pair.split()))
    for pair in ("text varchar(5)", "varchar text", "char(5) text", "char(5) int4", "int4 text", "numeric int4"):
        assert tells_apart(*map(column, pair.split()))


def test_row_of_copy_text_is_parsed() -> None:
    row = rb"\N	\\N		a\tb\\c\nd\be\ff\rg\vh	" + "ñ".encode() + b"\xff\n"
    assert parse_row(row) == [None, r"\N", "", "a\tb\\c\nd\be\ff\rg\vh", "ñ\\xff"]


@pytest.mark.parametrize(
    "encoding",
    [
        *("UTF8", "SQL_ASCII", "KOI8R", "KOI8U", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_JIS_2004", "JOHAB"),
        *(f"LATIN{n}" for n in range(1, 11)),
        *(f"WIN{n}" for n in (866, 874, *range(1250, 1259))),
        *(f"ISO_8859_{n}" for n in range(5, 9)),
    ],
)
def test_every_server_encoding_known_to_python_is_found(encoding: str) -> None:
    assert "plain".encode(python_codec(encoding)) == b"plain"


def test_unknown_encoding_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"`EUC_TW` is not a known encoding. Set `LOCAL_DB_ENCODING`"):
        python_codec("EUC_TW")


def test_modifier_appears_only_in_the_conversion() -> None:
    plain = column("numeric(8,2)")
    assert conversion(plain, dataclasses.replace(plain, nullable=False)) == conversion(plain, plain)
