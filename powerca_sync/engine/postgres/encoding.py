"""Use the declared encoding for SQL_ASCII databases, which convert nothing."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

from psycopg.types.json import set_json_dumps, set_json_loads

from powerca_sync.engine.postgres.database import server_encoding
from powerca_sync.engine.postgres.execution import Cursor
from powerca_sync.engine.postgres.session_settings import apply_settings
from powerca_sync.errors import ConfigurationError


def use_stored_encoding(cursor: Cursor, encoding: str | None) -> None:
    """Use `encoding` (default: UTF-8) as client encoding of a SQL_ASCII database until the transaction ends.

    Does nothing for other databases.
    """
    if server_encoding(cursor) != "SQL_ASCII":
        return
    encoding = encoding or "UTF8"
    apply_settings(cursor, {"client_encoding": encoding})
    dumps, loads = _documents_in(python_codec(encoding))
    set_json_dumps(dumps, cursor)
    set_json_loads(loads, cursor)


def decode_stored_document(cursor: Cursor, document: bytes, encoding: str | None) -> Any:
    """Decode a JSON document from the bytes stored in the database; invalid bytes become replacement characters.

    `encoding` is that of a SQL_ASCII database.
    """
    stored = server_encoding(cursor)
    return _load(document, codec=python_codec((encoding or "UTF8") if stored == "SQL_ASCII" else stored))


@functools.cache
def _documents_in(codec: str) -> tuple[Callable[[Any], bytes], Callable[[str | bytes], Any]]:
    # Cached, because psycopg keeps every function that it is given.
    return functools.partial(_dump, codec=codec), functools.partial(_load, codec=codec)


def _dump(document: Any, *, codec: str) -> bytes:
    # SQL_ASCII databases reject Unicode escapes of non-ASCII characters.
    return json.dumps(document, ensure_ascii=False).encode(codec)


def _load(text: str | bytes, *, codec: str) -> Any:
    # Other programs may have written text in any encoding.
    return json.loads(text if isinstance(text, str) else text.decode(codec, "replace"))


#: PostgreSQL's names of encodings to Python's, where the letters differ.
_CODECS = {"UTF8": "utf-8", "SQLASCII": "ascii", "KOI8R": "koi8_r", "KOI8U": "koi8_u", "EUCJIS2004": "euc_jis_2004"}


def python_codec(encoding: str) -> str:
    """Returns Python's name of a PostgreSQL encoding; raises `ConfigurationError` for an unknown one."""
    name = re.sub("[^A-Z0-9]", "", encoding.upper())
    name = re.sub(r"^WIN(\d+)$", r"CP\1", name)
    name = re.sub(r"^ISO8859(\d+)$", r"ISO8859-\1", name)
    codec = _CODECS.get(name, name)
    try:
        "".encode(codec)
    except LookupError as exc:
        raise ConfigurationError(
            f"`{encoding}` is not a known encoding. Set `LOCAL_DB_ENCODING` to the encoding of the source's text, for "
            "example `WIN1252` or `UTF8`."
        ) from exc
    return codec
