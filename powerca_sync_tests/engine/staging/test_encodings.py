"""Desktops in old encodings: text is converted exactly, and a row with invalid bytes is quarantined alone."""

import dataclasses
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from powerca_sync.demo import Server
from powerca_sync.engine.postgres.database import Connection
from powerca_sync.engine.postgres.encoding import python_codec
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.verify.verification import Known, Verification
from powerca_sync.engine.verify.verifier import verify
from powerca_sync_tests.helpers import QUICK, Pair, row_counts, spec

NOTES = spec("notes", "id")


@pytest.fixture
def encoded(servers: tuple[Server, Server], pair: Pair) -> Iterator[Callable[[str], Pair]]:
    """Yields a function that creates a pair whose source has the given encoding."""
    name = "encoded"
    address = {"host": servers[0].host, "port": servers[0].port, "user": "postgres", "autocommit": True}
    made = []

    def make(encoding: str) -> Pair:
        create = sql.SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0")
        with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
            server.execute(create.format(sql.Identifier(name), encoding))
        made.append(Pair(servers[0].endpoint("desktop", name), pair.settings.mobile))
        return made[0]

    yield make
    for one in made:
        one.close()
    with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def insert(source: Connection, id: int, note: bytes) -> None:
    """Inserts bytes as text unchanged, valid or not."""
    source.execute("INSERT INTO notes VALUES (%s, convert_from(%s, (SELECT getdatabaseencoding())))", [id, note])


def make_notes(pair: Pair, *notes: bytes) -> None:
    pair.both("CREATE TABLE notes (id int PRIMARY KEY, note text)")
    for id, note in enumerate(notes, start=1):
        insert(pair.source, id, note)


@pytest.mark.parametrize(
    ("encoding", "notes"),
    [
        ("UTF8", ["Zoë", "₹ 500", "नमस्ते", "🙂"]),
        ("WIN1252", ["Zoë", "€ 500", "„quoted“ • \\ \t\n", "ÿ"]),
        ("LATIN1", ["Zoë", "£ 500", "\x85\x9f", "ÿ"]),
        ("LATIN9", ["Zoë", "€ 500", "Š", "Ÿ"]),
        ("WIN1251", ["Зоя", "№ 5", "ё", "\xa0"]),
        ("KOI8R", ["Зоя", "─", "ё", "plain"]),
        ("ISO_8859_5", ["Зоя", "№ 5", "ё", "plain"]),
        ("EUC_JP", ["日本", "ｶﾅ", "表\\\t", "plain"]),
    ],
)
def test_text_is_converted_from_the_desktop_encoding(
    encoded: Callable[[str], Pair], encoding: str, notes: list[str]
) -> None:
    pair = encoded(encoding)
    make_notes(pair, *(note.encode(python_codec(encoding)) for note in notes))
    assert row_counts(pair.sync(NOTES)) == {"inserted": len(notes)}
    assert [note for (note,) in pair.rows("SELECT note FROM notes ORDER BY id")] == notes
    assert row_counts(pair.sync(NOTES, mode="incremental")) == {}
    # The server has no conversion for all encodings; otherwise digests show that no row has to be sent.
    sent = pair.sync(NOTES, options=dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES)).bytes
    assert (sent > 0) == (encoding == "EUC_JP")


@pytest.mark.parametrize("declared", ["UTF8", "WIN1252", None])
def test_sql_ascii_database_is_read_in_the_declared_encoding(
    encoded: Callable[[str], Pair], declared: str | None
) -> None:
    pair = encoded("SQL_ASCII")
    make_notes(pair, "Zoë".encode("cp1252" if declared == "WIN1252" else "UTF8"), b"plain")
    pair.sync(NOTES, options=Options(timeouts=QUICK.timeouts, encoding=declared))
    assert pair.rows("SELECT note FROM notes ORDER BY id") == [("Zoë",), ("plain",)]


@pytest.mark.parametrize(
    ("encoding", "declared", "impossible", "words"),
    [
        ("WIN1252", None, b"a\x81b", 'invalid byte sequence for encoding "UTF8": 0x81'),
        # The two bytes of a UTF-8 character, of which only the first is valid in WIN1252.
        ("WIN1252", None, b"\xc3\x81", 'invalid byte sequence for encoding "UTF8": 0x81'),
        ("WIN1252", None, b"caf\xe9 \x9d", 'invalid byte sequence for encoding "UTF8": 0x9d'),
        ("SQL_ASCII", "UTF8", b"caf\xe9", 'invalid byte sequence for encoding "UTF8": 0xe9'),
        ("SQL_ASCII", "WIN1252", b"\xe2\x82\xac \x8d", 'invalid byte sequence for encoding "UTF8": 0x8d'),
        # Two bytes that are invalid in WIN1253 but form one character in UTF-8.
        ("WIN1253", None, b"\xd2\xaa", 'invalid byte sequence for encoding "UTF8": 0xed'),
    ],
)
def test_row_with_invalid_bytes_is_quarantined_alone(
    encoded: Callable[[str], Pair], encoding: str, declared: str | None, impossible: bytes, words: str
) -> None:
    pair = encoded(encoding)
    make_notes(pair, b"before", impossible, b"after")
    options = Options(timeouts=QUICK.timeouts, encoding=declared)
    result = pair.sync(NOTES, options=options)
    assert row_counts(result) == {"inserted": 2, "quarantined": 1}
    assert str(result.samples[0]).startswith(words)
    assert result.samples[0].key == {"id": "2"}
    pair.source.execute("UPDATE notes SET note = 'mended' WHERE id = 2")
    assert row_counts(pair.sync(NOTES, mode="incremental", options=options)) == {"inserted": 1}


def test_non_ascii_names_and_keys_work_in_an_old_encoding(encoded: Callable[[str], Pair]) -> None:
    pair = encoded("WIN1252")
    pair.source.execute('CREATE TABLE "größe" ("schlüssel" text PRIMARY KEY, "maß" text)')
    pair.target.execute('CREATE TABLE "größe" ("schlüssel" text PRIMARY KEY, "maß" varchar(5))')
    pair.source.execute("""INSERT INTO "größe" VALUES ('ä', 'klein'), ('ö', 'riesengroß')""")
    sizes = spec("größe", "schlüssel")
    result = pair.sync(sizes)
    assert (row_counts(result), result.samples[0].key) == ({"inserted": 1, "quarantined": 1}, {"schlüssel": "ö"})
    assert row_counts(pair.sync(sizes, mode="incremental")) == {"quarantined": 1}
    pair.source.execute("""UPDATE "größe" SET "maß" = 'groß' WHERE "schlüssel" = 'ö'""")
    assert row_counts(pair.sync(sizes, mode="incremental")) == {"inserted": 1}
    assert pair.rows('SELECT * FROM "größe" ORDER BY 1') == [("ä", "klein"), ("ö", "groß")]


@pytest.mark.parametrize(
    ("encoding", "declared", "note"),
    [
        ("WIN1252", None, "Zoë\x01"),
        ("LATIN1", None, "Zoë\x01"),
        ("SQL_ASCII", "WIN1252", "Zoë\x01"),
        ("EUC_JP", None, "表"),
    ],
)
def test_verify_finds_agreement_and_difference_in_any_encoding(
    encoded: Callable[[str], Pair], encoding: str, declared: str | None, note: str
) -> None:
    pair = encoded(encoding)
    codec = python_codec(declared or encoding)
    make_notes(pair, *(text.encode(codec) for text in (note, "plain", "")))
    options = Options(timeouts=QUICK.timeouts, encoding=declared)
    pair.sync(NOTES, options=options)

    def look() -> Verification:
        (found,) = verify(source=pair.source, target=pair.target, specs=[NOTES], options=options)
        return found

    assert look().agrees
    pair.target.execute("UPDATE notes SET note = 'Zoe' WHERE id = 1")
    outcome = look().outcome
    assert outcome is not None
    (sample,) = outcome.samples
    assert sample.desktop == {"note": note}


def test_verify_counts_a_row_with_invalid_bytes_as_quarantined(encoded: Callable[[str], Pair]) -> None:
    pair = encoded("WIN1252")
    make_notes(pair, b"before", b"a\x81b", "Zoë".encode("cp1252"))
    pair.sync(NOTES)
    (found,) = verify(source=pair.source, target=pair.target, specs=[NOTES], options=QUICK)
    assert found.agrees
    assert found.outcome is not None
    assert found.outcome.known == {Known.QUARANTINED: 1}


def test_corrected_encoding_is_read_in_full(encoded: Callable[[str], Pair]) -> None:
    pair = encoded("SQL_ASCII")
    make_notes(pair, "caf\xe9".encode(), b"plain", b"caf\xe9")
    wrong, right = (dataclasses.replace(QUICK, encoding=name) for name in ("WIN1252", "UTF8"))
    assert pair.sync(NOTES, mode="incremental", options=wrong).inserted == 3
    assert row_counts(pair.sync(NOTES, mode="incremental", options=right)) == {
        **{"updated": 1, "unchanged": 1, "quarantined": 1, "held": 1}
    }
    assert pair.one("SELECT note FROM notes WHERE id = 1") == "caf\xe9"
