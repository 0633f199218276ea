"""Convert values between column types, and check that no value was changed.

Values are copied as text and read by the target type's input function, which silently rounds, truncates or shifts some
values. In these cases the source's text is copied as well (`text`) and compared with the value that was read.
"""

import dataclasses
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.postgres import Column
from powerca_sync.errors import SchemaMismatchError

_INTEGERS = frozenset({"int2", "int4", "int8"})
_FLOATS = frozenset({"float4", "float8"})
_NUMBERS = _INTEGERS | _FLOATS | {"numeric"}
#: Types whose input accepts nothing that its text form would not give back in substance.
_STRICT = frozenset({"bool", "uuid", "json", "jsonb", "xml", "inet", "cidr", "macaddr", "macaddr8"})
_TEXT = frozenset({"text", "varchar"})
#: Categories of types whose text never ends in a space; a length silently truncates only spaces.
_WITHOUT_SPACES = frozenset({"N", "D", "T", "B", "I"})
_DAYTIME = frozenset({"date", "timestamp", "timestamptz", "time", "timetz"})
#: Pairs of date and time types for which a cast back shows a change; all other pairs change every value.
_DAYTIME_WITH_A_WAY_BACK = (
    ("date", "timestamp"),
    ("date", "timestamptz"),
    ("timestamp", "date"),
    ("timestamp", "timestamptz"),
    ("timestamptz", "date"),
    ("timestamptz", "timestamp"),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """The SQL templates for a column: `{value}` is the column, `{text}` its text at the source."""

    #: Over the source's row.
    source_expression: LiteralString = "{value}"
    #: Over the staged row: true if the value is unchanged. None: the input function keeps or rejects every value.
    lossless_check: LiteralString | None = None


def conversion(source: Column, target: Column) -> Conversion:
    """Returns the conversion from `source` to `target`; raises `SchemaMismatchError` if it would change every value."""
    _check_decimals(source, target)
    if source.base == "money" and target.base != "money":
        return _from_money(target)
    if source.base == "bpchar" and target.category != "S":
        # Input functions of other types reject padding.
        trimmed = dataclasses.replace(source, base="text", typmod=-1)
        return dataclasses.replace(conversion(trimmed, target), source_expression="{value}::text")
    if source.base == "bool" and target.base in _NUMBERS:
        # Numbers cannot be read from `t` and `f`; booleans can be read from 1 and 0.
        return Conversion(source_expression="{value}::int")
    if target.base == "jsonb" and source.base in _TEXT | {"json"}:
        return Conversion(lossless_check=_EACH_KEY_ONCE)
    if _widens(source, target):
        return Conversion()
    if {source.base, target.base} <= _DAYTIME and source.base != target.base:
        if (source.base, target.base) not in _DAYTIME_WITH_A_WAY_BACK:
            raise SchemaMismatchError(
                f"Column `{target.name}` is `{source.type}` at the source and `{target.type}` at the target: no value "
                "would arrive unchanged. Give the spec an expression for it, or skip it."
            )
        return Conversion(lossless_check=_there_and_back(source))
    if source.base == target.base and source.base in _DAYTIME | {"interval"}:
        return Conversion(lossless_check=_there_and_back(source))
    if target.base in _INTEGERS and source.base in _FLOATS | {"numeric"}:
        # Makes 5 of 5.00 and of 5e+15; the integer's input function rejects 5.5.
        return Conversion(
            source_expression="trim_scale({value})"
            if source.base == "numeric"
            else "trim_scale({value}::text::numeric)"
        )
    if target.base in _NUMBERS:
        return Conversion(lossless_check=_same_number(target))
    if target.base == "money" and source.base in _NUMBERS:
        return Conversion(lossless_check="{value}::numeric = {text}::numeric")
    if source.base == "bpchar":
        # Padding is insignificant and may be truncated; the cast to text removes it.
        return Conversion(lossless_check="rtrim({value}::text, ' ') = {text}")
    return Conversion(lossless_check="{value}::text = {text}")


def _check_decimals(source: Column, target: Column) -> None:
    """Raises `SchemaMismatchError` if an amount would change: money is stored as an integer of minor units.

    Our transactions read it with two decimals. Between two money columns the integer itself is copied.
    """
    if source.decimals == target.decimals and (source.base == target.base or source.decimals == 2):
        return
    declared = (f"`{one.type}`{_decimals(one)} at the {end}" for one, end in ((source, "source"), (target, "target")))
    raise SchemaMismatchError(
        f"Column `{target.name}` is {' and '.join(declared)}: its amounts would be altered. Make it `numeric` on both "
        "sides, or give both databases an `lc_monetary` with two decimals, or skip the column."
    )


def _decimals(column: Column) -> str:
    return f" with {column.decimals} decimals (by `lc_monetary`)" if column.base in ("money", "_money") else ""


#: jsonb keeps only the last of several values of one key.
_EACH_KEY_ONCE: LiteralString = """(
    WITH RECURSIVE part (document) AS (
        SELECT {text}::json
        UNION ALL
        SELECT inside.value
        FROM part AS p
        CROSS JOIN LATERAL (
            SELECT e.value
            FROM json_each(CASE json_typeof(p.document) WHEN 'object' THEN p.document ELSE '{{}}' END) AS e
            UNION ALL
            SELECT e.value
            FROM json_array_elements(CASE json_typeof(p.document) WHEN 'array' THEN p.document ELSE '[]' END) AS e
        ) AS inside
    )
    SELECT coalesce(bool_and((SELECT count(*) = count(DISTINCT k) FROM json_object_keys(p.document) AS k)), TRUE)
    FROM part AS p
    WHERE json_typeof(p.document) = 'object'
)"""


def _from_money(target: Column) -> Conversion:
    # The text of money has a currency sign; a cast to numeric is exact.
    if target.base in _INTEGERS:
        return Conversion(source_expression="trim_scale({value}::numeric)")
    if target.base in _NUMBERS:
        return Conversion(
            source_expression="{value}::numeric",
            lossless_check="{value}::text::numeric = {text}::money::numeric",
        )
    return Conversion(source_expression="{value}::numeric")


def _widens(source: Column, target: Column) -> bool:
    """Whether the target's input function either keeps or rejects every value of the source."""
    if target.base in _STRICT or (target.base in _TEXT and target.typmod < 0):
        return True
    if source.base in _INTEGERS and target.base in _INTEGERS:
        return True
    if target.base in _TEXT | {"bpchar"} and source.category in _WITHOUT_SPACES:
        return True
    if target.base == "bpchar" and source.base in _TEXT | {"bpchar"}:
        return True
    if source.base in _TEXT | {"bpchar"} and target.base in _TEXT:
        # Only spaces beyond the length are silently truncated, and a source of at most that length has none.
        return 0 <= source.typmod <= target.typmod
    if target.base == "numeric" and source.base in _INTEGERS:
        return target.typmod < 0 or _scale(target) >= 0
    if source.base != target.base:
        return False
    if source.base == "numeric":
        return target.typmod < 0 or (source.typmod >= 0 and _scale(target) >= _scale(source))
    return target.typmod in (-1, source.typmod)


def _scale(column: Column) -> int:
    # The lower eleven bits in two's complement, as in PostgreSQL's numeric_typmod_scale().
    return (((column.typmod - 4) & 0x7FF) ^ 1024) - 1024


def _same_number(target: Column) -> LiteralString:
    if target.base not in _FLOATS:
        return "{value}::numeric = {text}::numeric"
    # A float is compared by its shortest text, not by its binary expansion. It may be written in ways that are not
    # known to numeric (0x1p3), which must not raise.
    return (
        "CASE WHEN {text} ~ '^[-+.0-9eE]+$' THEN {value}::text::numeric = {text}::numeric "
        "ELSE {value}::text = {text} END"
    )


def _there_and_back(source: Column) -> LiteralString:
    templates: dict[str, LiteralString] = {
        "date": "{value}::date = {text}::date",
        "timestamp": "{value}::timestamp = {text}::timestamp",
        "timestamptz": "{value}::timestamptz = {text}::timestamptz",
        "time": "{value}::time = {text}::time",
        "timetz": "{value}::timetz = {text}::timetz",
        "interval": "{value}::text = {text}::interval::text",
    }
    return templates[source.base]


def tells_apart(source: Column, target: Column) -> bool:
    """Whether two different values of the source are two at the target; `01` and `1` are two texts, and one number."""
    return source.category != "S" or source.base in (target.base, "bpchar") or target.base in _TEXT


def is_compared_as_text(column: Column) -> bool:
    """Whether two values of a column that are equal have one text, in the form in which they are compared."""
    return column.base in _EXACT | _TEXT | {"numeric"}


def has_one_value(column: Column) -> bool:
    """Whether equal values of the column are one value: 1.0 and 1.00 of numeric are, `a` and `A` of citext are two."""
    return column.base in _EXACT | {"numeric"}


def comparable(value: sql.Composable, column: Column) -> sql.Composable:
    """An expression over `value` whose equality is equality of the text form in collation "C", as cheap as it can be.

    Equality of some types is wider than that (`interval`, `citext`, floats' signed zero, nondeterministic collations):
    they are compared as text. So is `numeric` without a scale, where 1.5 and 1.50 are two texts.
    """
    if column.base in _EXACT or (column.base == "numeric" and column.typmod >= 0):
        return value
    if column.base in _TEXT:
        return sql.SQL('{} COLLATE "C"').format(value)
    return sql.SQL('{}::text COLLATE "C"').format(value)


def distinguishable(value: sql.Composable, column: Column) -> sql.Composable:
    """As `comparable`, for an equality of columns rather than of rows as text: padding does not count there either."""
    if column.base == "bpchar":
        return sql.SQL('{} COLLATE "C"').format(value)
    return comparable(value, column)


def hashable(value: sql.Composable, column: Column) -> sql.Composable:
    """Returns fields for `hash_record_extended` that differ if the text forms of `comparable` do.

    PostgreSQL's hashes of some types are equal for values that are not: those of `bigint`, `timestamp` and `time` fold
    64 bits into 32, and that of `numeric` leaves out the sign and trailing zeros. The upper half of a `bigint` tells
    apart the values of one fold; the binary forms of the other types have all their bits.
    """
    if column.base == "int8":
        return sql.SQL("{value}, {value} >> 32").format(value=value)
    if column.base == "numeric" and column.typmod >= 0:
        # With a scale, trailing zeros and infinities do not occur; the hash of NaN differs from that of any number.
        return sql.SQL("{value}, {value} < 0").format(value=value)
    if column.base in _SENT:
        return sql.SQL("{}({})").format(sql.SQL(_SENT[column.base]), value)
    return distinguishable(value, column)


#: Functions that return the binary form of a value.
_SENT: dict[str, LiteralString] = {
    "numeric": "numeric_send",
    "time": "time_send",
    "timestamp": "timestamp_send",
    "timestamptz": "timestamptz_send",
}
_EXACT = _INTEGERS | {"bool", "date", "time", "timestamp", "timestamptz", "uuid", "oid", "bytea"}


def equality(column: Column | None) -> sql.SQL:
    """The operator by which a column's unique rules compare, whatever the search path; None: PostgreSQL's own."""
    if column is None or not column.operators:
        return sql.SQL("OPERATOR(pg_catalog.=)")
    return sql.SQL(f"OPERATOR({column.operators}.=)")  # the catalog quotes it


def equal(left: sql.Composable, left_column: Column, right: sql.Composable, right_column: Column) -> sql.Composed:
    """`left = right` over columns whose types may differ; as text where PostgreSQL has no operator for the pair."""
    if left_column.base == right_column.base or left_column.category == right_column.category in ("N", "S"):
        column = left_column if left_column.base == right_column.base else None
        return sql.SQL("{} {} {}").format(left, equality(column), right)
    # Of one type, so that PostgreSQL's own operator comes before any other.
    return sql.SQL("{}::text = {}::text").format(left, right)
