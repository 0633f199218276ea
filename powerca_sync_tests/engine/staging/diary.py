"""Diary and leave tables whose rows phones and the office write, for tests of echoes."""

import json

from powerca_sync.engine.postgres import load
from powerca_sync_tests.helpers import Pair, delete_insert, spec

DIARY = delete_insert("diary", "staff_id", "day")


LEAVE = spec("leave", "leave_id")


def make_diary(pair: Pair, desktop_columns: str = "") -> None:
    pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    pair.source.execute(f"CREATE TABLE diary (staff_id int, day date, note text {desktop_columns})")
    pair.target.execute(
        "CREATE TABLE diary (id bigserial PRIMARY KEY, staff_id int, day date, note text, source char(1) DEFAULT 'D')"
    )


def make_leave(pair: Pair) -> None:
    pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    pair.source.execute("CREATE TABLE leave (leave_id int PRIMARY KEY, days numeric(5,2), status text)")
    pair.target.execute(
        "CREATE TABLE leave (leave_id int PRIMARY KEY, days numeric(5,2), status text, source char(1) DEFAULT 'D')"
    )


def phone_writes(pair: Pair, table: str, *rows: dict[str, str | None]) -> None:
    """Creates rows on mobile, their copies on the desktop, and their ledger entries."""
    for number, row in enumerate(rows):
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        values = list(row.values())
        pair.target.execute(f"INSERT INTO {table} ({names}, source) VALUES ({marks}, 'M')", values)  # noqa: S608
        pair.source.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
        pair.source.execute(
            "INSERT INTO powerca_sync.pulled (table_name, mobile_key, image, content_hash) VALUES (%s, %s, %s, 'hash')",
            [table, str(number), json.dumps(row)],
        )


def entry(staff: str | None, note: str, day: str = "2025-10-01") -> dict[str, str | None]:
    return {"staff_id": staff, "day": day, "note": note}


def desktop_writes(pair: Pair, staff: int | None, note: str) -> None:
    pair.source.execute("INSERT INTO diary VALUES (%s, '2025-10-01', %s)", [staff, note])
