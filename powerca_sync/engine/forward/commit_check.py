"""Whether the rows that a run has written are at the target as they were meant, asked before it commits."""

from collections.abc import Sequence

from powerca_sync.engine.digests import digest_queries, unlike_staged, unpack
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.errors import MergeError


def check_landed(cursor: Cursor, mapping: TableMapping) -> None:
    """Raises `MergeError` if a staged row has no equal at the target after the merge; copies count.

    What a trigger of the target fills besides (stamps, columns of its own) and what the phones own is not looked at.
    Rows that went to quarantine, and those for which a phone's row stands, were not to land.
    """
    staged, landed = digest_queries.landed_sides(mapping)
    rows, keys = one_row(cursor, unlike_staged(staged, landed))
    if not rows:
        return
    shown = [_key(mapping, unpack(key)) for key in keys] if mapping.spec.key else []
    examples = f", the first of them with {'; '.join(shown)}" if shown else ""
    raise MergeError(
        f"Table `{mapping.spec.mobile}`: {rows} rows are not at the target as they were written{examples}. A trigger "
        "or a rule there alters them. Nothing was written. Mend the trigger, or run without `verify_on_commit`."
    )


def _key(mapping: TableMapping, values: Sequence[str | None]) -> str:
    parts = zip(mapping.spec.key, values, strict=True)
    return ", ".join(f"{name}={'***' if name in mapping.spec.sensitive else value}" for name, value in parts)
