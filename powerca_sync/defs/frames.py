"""DataFrames at the edge of the engine: rendered as COPY text for a load, built with faithful types when loaded.

Nothing is guessed and nothing is rounded: integers and numerics never pass through floats, and a value that has no text
form is refused by name.
"""

import datetime
import decimal
import functools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from powerca_sync.engine.load import LoadedRows
from powerca_sync.engine.mapping import FROM_PHONE
from powerca_sync.engine.postgres import Column
from powerca_sync.errors import StagingError
from powerca_sync.specs import OWNER, PHONE

#: Rows rendered at a time; the frame itself is in memory already.
SLICE = 10_000
NULL = rb"\N"
#: Characters that COPY text escapes, by https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_rows(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[bytes]:
    """Yields the frame's rows as COPY text, each ending in a newline, with the named columns in that order.

    `FROM_PHONE` is answered from the frame's own column `source`. Raises `StagingError` for a value that PostgreSQL
    cannot hold.
    """
    for start in range(0, len(frame), SLICE):
        part = frame.iloc[start : start + SLICE]
        columns = [_from_phone(part) if name == FROM_PHONE else _fields(part[name]) for name in names]
        for fields in zip(*columns, strict=True):
            yield b"\t".join(fields) + b"\n"


def _fields(column: "pd.Series[Any]") -> Iterator[bytes]:
    for value in column.array:
        try:
            text = copy_text(value)
        except (TypeError, ValueError) as exc:
            raise StagingError(
                f"Column `{column.name}` of the DataFrame holds a {type(value).__name__} that cannot be sent: {exc}. "
                "Nothing was written. Convert the column, for example to text."
            ) from exc
        # PostgreSQL refuses a lone surrogate, so that the row is quarantined.
        yield NULL if text is None else text.translate(_ESCAPES).encode(errors="surrogatepass")


def _from_phone(part: pd.DataFrame) -> Iterator[bytes]:
    return (b"t" if value == PHONE else b"f" for value in part[OWNER].fillna(""))


def types_of(frame: pd.DataFrame) -> dict[str, str]:
    """Returns PostgreSQL's type of each column whose values are all of one kind; omits text and mixtures.

    The engine holds what arrived against it: no hour vanishes into a date, and no cent into an integer.
    """
    types = {name: _type_of(frame[name]) for name in frame.columns}
    return {name: known for name, known in types.items() if known is not None}


def _type_of(column: "pd.Series[Any]") -> str | None:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("datetime", "datetime64"):
        zones = {value.tzinfo is not None for value in column.dropna()}
        return {frozenset({True}): "timestamptz", frozenset({False}): "timestamp"}.get(frozenset(zones))
    return _TYPES.get(kind)


#: PostgreSQL's type by pandas' name of the kind of a column's values.
_TYPES: Final[Mapping[str, str]] = {
    "integer": "numeric",
    "decimal": "numeric",
    "floating": "float8",
    "date": "date",
    "time": "time",
}


@functools.singledispatch
def copy_text(value: object) -> str | None:
    """Returns a value as PostgreSQL reads it, before escaping; None for NULL."""
    raise TypeError("PostgreSQL has no form for it that is known here")


@copy_text.register(type(None))
@copy_text.register(type(pd.NA))
@copy_text.register(type(pd.NaT))
def _(value: object) -> None:
    return None


@copy_text.register
def _(value: str) -> str:
    return value


@copy_text.register(bool)
@copy_text.register(np.bool_)
def _(value: object) -> str:
    return "t" if value else "f"


@copy_text.register(int)
@copy_text.register(np.integer)
@copy_text.register(uuid.UUID)
def _(value: object) -> str:
    return str(value)


@copy_text.register(float)
@copy_text.register(np.floating)
def _(value: float) -> str | None:
    # pandas uses NaN for a missing value, and turns a column of integers into floats as soon as one is missing; without
    # the point a whole number fits an integer column.
    return None if value != value else str(value).removesuffix(".0").replace("inf", "Infinity")


@copy_text.register
def _(value: decimal.Decimal) -> str:
    return format(value, "f")


@copy_text.register(datetime.date)
@copy_text.register(datetime.time)
def _(value: datetime.date | datetime.time) -> str:
    return value.isoformat()


@copy_text.register
def _(value: datetime.datetime) -> str:
    return value.isoformat(sep=" ")


@copy_text.register
def _(value: pd.Timestamp) -> str:
    if value.nanosecond:
        raise ValueError("it has nanoseconds, and PostgreSQL would round them to microseconds")
    return value.isoformat(sep=" ")


@copy_text.register
def _(value: np.datetime64) -> str | None:
    return copy_text(pd.Timestamp(value))


@copy_text.register
def _(value: datetime.timedelta) -> str:
    if getattr(value, "nanoseconds", 0):
        raise ValueError("it has nanoseconds, and PostgreSQL would round them to microseconds")
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"


@copy_text.register(bytes)
@copy_text.register(bytearray)
@copy_text.register(memoryview)
def _(value: bytes | bytearray | memoryview) -> str:
    return rf"\x{value.hex()}"


@copy_text.register(dict)
@copy_text.register(list)
def _(value: dict[str, Any] | list[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def to_frame(loaded: LoadedRows) -> pd.DataFrame:
    """Returns the rows as a DataFrame whose dtypes follow the database's types.

    Integers are `Int64`, booleans `boolean`, floats `Float64`, numerics `decimal.Decimal`, dates and times of day
    Python's own, timestamps `datetime64[us]` (in the office's zone where they have one), and all else text. A column
    with a value that its dtype cannot hold, such as an infinite date, is of dtype `object`, with that value as text.
    """
    columns = list(zip(*loaded.rows, strict=True)) or [() for _ in loaded.columns]
    series = (_series(column, values, loaded) for column, values in zip(loaded.columns, columns, strict=True))
    return pd.concat(list(series), axis="columns")


def _series(column: Column, values: Sequence[Any], loaded: LoadedRows) -> "pd.Series[Any]":
    dtype: Any = _DTYPES.get(column.base, object if column.base in _PYTHON_VALUES else "str")
    if column.base == "timestamptz":
        dtype = pd.DatetimeTZDtype("us", loaded.timezone)
    if column.base in ("float4", "float8"):
        values = ["NaN" if value is not None and value != value else value for value in values]
    fits = _FITS.get(column.base)
    if fits and not all(value is None or isinstance(value, fits) for value in values):
        dtype = object
    series: pd.Series[Any] = pd.Series(values, name=column.name, dtype=dtype)
    return series


_DTYPES: Final[Mapping[str, str]] = {
    "int2": "Int64",
    "int4": "Int64",
    "int8": "Int64",
    "bool": "boolean",
    "float4": "Float64",
    "float8": "Float64",
    "timestamp": "datetime64[us]",
}
#: Types whose values stay as the driver returns them.
_PYTHON_VALUES: Final = frozenset({"numeric", "date", "time", "bytea"})
#: The Python type that every value must have for the dtype; other values arrive as text.
_FITS: Final[Mapping[str, type]] = {
    "float4": float,
    "float8": float,
    "timestamp": datetime.datetime,
    "timestamptz": datetime.datetime,
}
