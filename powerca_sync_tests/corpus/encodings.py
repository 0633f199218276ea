"""Desktops whose text is in old encodings, or in SQL_ASCII, with bytes that are invalid in them."""

import dataclasses

from powerca_sync.engine.postgres.encoding import python_codec
from powerca_sync_tests.corpus.case import Arrives, Case
from powerca_sync_tests.helpers import QUICK, delete_insert, spec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A case whose desktop is a database in another encoding."""

    encoding: str
    case: Case

    def __str__(self) -> str:
        return f"{self.encoding}: {self.case}"


#: Text of all encodings, and text that only this encoding and UTF-8 have.
SHARED = ("plain", "", "\\N", "\\.", "a\tb\r\nc\\", "%s{0}")
OWN = {
    "WIN1252": ("Zoë", "€ 500", "„x“ • Ž", "ÿ\xa0\xad"),
    "LATIN1": ("Zoë", "£ 500", "\x80\x9f", "ÿ\xa0\xad"),
    "WIN1251": ("Зоя", "№ 5"),
    "EUC_JP": ("日本", "ｶﾅ", "表"),
    "EUC_KR": ("한국",),
    "WIN1256": ("شركة",),
}


def _rows(texts: tuple[bytes, ...]) -> str:
    return "".join(
        f"INSERT INTO items VALUES ({n}, convert_from('\\x{text.hex()}', getdatabaseencoding()));"
        for n, text in enumerate(texts)
    )


def _encoded(
    encoding: str,
    name: str,
    texts: tuple[bytes, ...],
    *,
    declared: str | None = None,
    waiting: dict[int, str] | None = None,
    delete: bool = False,
    **rest: object,
) -> Encoded:
    case = Case(
        **{  # type: ignore[arg-type]
            "name": f"{name}{f', said to be {declared}' if declared else ''}",
            "desktop": f"CREATE TABLE items (id int PRIMARY KEY, name text); {_rows(texts)}",
            "mobile": "CREATE TABLE items (id int PRIMARY KEY, name text, source text)",
            "table": (delete_insert if delete else spec)("items", "id"),
            "expected": Arrives(waiting={str(n): reason for n, reason in (waiting or {}).items()}),
            "options": dataclasses.replace(QUICK, encoding=declared),
        }
        | rest
    )
    return Encoded(encoding=encoding, case=case)


def _texts(encoding: str, *texts: str) -> tuple[bytes, ...]:
    return tuple(text.encode(python_codec(encoding)) for text in (*SHARED, *texts))


def _impossible(byte: str) -> str:
    return f'invalid byte sequence for encoding "UTF8": 0x{byte}'


CASES = (
    *(_encoded(encoding, "own text", _texts(encoding, *own)) for encoding, own in OWN.items()),
    *(
        _encoded("SQL_ASCII", "own text", _texts(declared, *OWN.get(declared, ("Zoë", "नमस्ते"))), declared=declared)
        for declared in ("WIN1252", "UTF8", "WIN1251")
    ),
    _encoded("SQL_ASCII", "own text, undeclared", _texts("UTF8", "Zoë", "🙂")),
    _encoded(
        "WIN1252",
        "invalid bytes",
        (b"before", b"a\x81b", b"\xc3\x81", "Zoë".encode("cp1252"), b"\x8d\x8f\x90\x9d"),
        waiting={1: _impossible("81"), 2: _impossible("81"), 4: _impossible("8d")},
    ),
    *(
        _encoded(
            "SQL_ASCII",
            "invalid bytes",
            (b"before", b"caf\xe9", "Zoë".encode(), b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf"),
            declared=declared,
            waiting={1: _impossible("e9"), 3: _impossible("ff"), 4: _impossible("ed"), 5: _impossible("c0")},
            delete=declared is None,
        )
        for declared in ("UTF8", None)
    ),
    Encoded(
        encoding="WIN1252",
        case=Case(
            name="own names and keys",
            desktop="""CREATE SCHEMA "größe"; CREATE TABLE "größe"."maße {0}"
                    ("schlüssel %s" text PRIMARY KEY, "€" text);
                INSERT INTO "größe"."maße {0}" VALUES ('ä', '€'), ('ö', 'riesengroß'), ('%s', '')""",
            mobile="""CREATE SCHEMA "größe"; CREATE TABLE "größe"."maße {0}"
                ("schlüssel %s" text PRIMARY KEY, "€" varchar(5), source text)""",
            table=spec("größe.maße {0}", "schlüssel %s"),
            expected=Arrives(waiting={"ö": "value too long"}),
        ),
    ),
)
#: Phone rows with text that the desktop cannot hold, by its encoding.
UNKNOWN = {"WIN1252": "नमस्ते", "LATIN1": "€ 500", "EUC_JP": "🙂", "SQL_ASCII": "नमस्ते"}
