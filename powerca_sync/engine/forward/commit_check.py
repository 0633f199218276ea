"""Verify, before commit, that written rows equal the staged rows."""

from collections.abc import Sequence

from powerca_sync.engine.digests import digest_queries, unlike_staged, unpack
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.errors import MergeError
from powerca_sync.plain_text import counted


def verify_written_rows(cursor: Cursor, mapping: TableMapping) -> None:
    """Raises `MergeError` if a staged row has no equal row at the target after the merge; copies count.

    Stamps, mobile-owned columns and columns that are not synced are not compared. Quarantined rows and rows that match
    a phone row are not expected at the target.
    """
    staged, written = digest_queries.written_sides(mapping)
    rows, keys = one_row(cursor, unlike_staged(staged, written))
    if not rows:
        return
    shown = [_key(mapping, unpack(key)) for key in keys] if mapping.key_names else []
    examples = f", the first of them with {'; '.join(shown)}" if shown else ""
    raise MergeError(
        f"Table `{mapping.table}`: {counted(rows, 'row')} at the target unlike the rows written{examples}. A "
        "trigger or a rule of the target alters them. Nothing was written. Correct it, or run without "
        "`verify_on_commit`."
    )


def _key(mapping: TableMapping, values: Sequence[str | None]) -> str:
    parts = zip(mapping.key_names, values, strict=True)
    return ", ".join(f"{name}={'***' if name in mapping.spec.sensitive else value}" for name, value in parts)
