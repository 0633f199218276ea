"""Talk with a database that knows no encoding of its own (SQL_ASCII), and so converts nothing, in that of its text."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

from psycopg.types.json import set_json_dumps, set_json_loads

from powerca_sync.engine.postgres.database import Cursor, apply_settings, server_encoding
from powerca_sync.errors import ConfigurationError


def use_stored_encoding(cursor: Cursor, encoding: str | None) -> None:
    """Until the transaction ends, text goes out and comes in in `encoding`; where that is not said, in UTF-8.

    Does nothing where the database converts by itself.
    """
    if server_encoding(cursor) != "SQL_ASCII":
        return
    encoding = encoding or "UTF8"
    apply_settings(cursor, {"client_encoding": encoding})
    dumps, loads = _documents_in(python_codec(encoding))
    set_json_dumps(dumps, cursor)
    set_json_loads(loads, cursor)


def decode_stored_document(cursor: Cursor, document: bytes, encoding: str | None) -> Any:
    """The document in bytes as the database has them; those that mean nothing in its encoding are shown as marks.

    `encoding` says how to read it where the database does not.
    """
    stored = server_encoding(cursor)
    return _load(document, codec=python_codec((encoding or "UTF8") if stored == "SQL_ASCII" else stored))


@functools.cache
def _documents_in(codec: str) -> tuple[Callable[[Any], bytes], Callable[[str | bytes], Any]]:
    # One of each for all cursors: the driver keeps what it is given.
    return functools.partial(_dump, codec=codec), functools.partial(_load, codec=codec)


def _dump(document: Any, *, codec: str) -> bytes:
    # Without escapes for letters, which such a database does not understand.
    return json.dumps(document, ensure_ascii=False).encode(codec)


def _load(text: str | bytes, *, codec: str) -> Any:
    # What others have written there may be in any encoding.
    return json.loads(text if isinstance(text, str) else text.decode(codec, "replace"))


#: PostgreSQL's names of encodings that Python does not know by the same letters.
_CODECS = {"UTF8": "utf-8", "SQLASCII": "ascii", "KOI8R": "koi8_r", "KOI8U": "koi8_u", "EUCJIS2004": "euc_jis_2004"}


def python_codec(encoding: str) -> str:
    """Python's name for a PostgreSQL encoding."""
    name = re.sub("[^A-Z0-9]", "", encoding.upper())
    name = re.sub(r"^WIN(\d+)$", r"CP\1", name)
    name = re.sub(r"^ISO8859(\d+)$", r"ISO8859-\1", name)
    codec = _CODECS.get(name, name)
    try:
        "".encode(codec)
    except LookupError as exc:
        raise ConfigurationError(
            f"The source's text is said to be in `{encoding}`, which is not a known encoding. Set `LOCAL_DB_ENCODING` "
            "to the one that it is in, for example `WIN1252` or `UTF8`."
        ) from exc
    return codec
