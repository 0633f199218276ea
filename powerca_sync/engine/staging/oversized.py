"""Quarantine rows over the spec's size limit; the source sends their size instead of their content.

The memory of a run therefore depends on the limit, not on the content of rows.
"""

from collections.abc import Generator, Iterable, Iterator

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor
from powerca_sync.engine.staging.extract_sql import has_size
from powerca_sync.engine.staging.refused_rows import UTF8, Refusal, refuse_row
from powerca_sync.engine.staging.staging import Staged, split_rows

REASON = "oversized"
_FITS = rb"\N"


def split_oversized(
    rows: Iterable[bytes], mapping: TableMapping, oversized: list[bytes]
) -> Generator[bytes, None, None]:
    """Yields the rows of a COPY by `extract_sql.copy_out` within the limit, and appends the others to `oversized`.

    `rows` are blocks of whole rows.
    """
    if not has_size(mapping):
        yield from rows
        return
    fits = b"\t" + _FITS + b"\n"
    for block in rows:
        if block.count(fits) == block.count(b"\n"):
            yield block.replace(fits, b"\n")
            continue
        found = split_rows(block)
        oversized += [row for row in found if not row.endswith(fits)]
        if within := b"".join(row[: -len(fits)] + b"\n" for row in found if row.endswith(fits)):
            yield within


def refuse_oversized(
    target: Cursor, mapping: TableMapping, oversized: Iterable[bytes], staged: Staged, *, codec: str = UTF8
) -> None:
    """Quarantine the rows collected by `split_oversized`; `staged` counts them."""
    for row, size in _sized(oversized):
        refusal = Refusal(reason=REASON, value=format_size(size), parent=format_size(mapping.spec.max_row_bytes))
        refuse_row(target, mapping, row, refusal, codec)
        staged.read += 1
        staged.refused += 1


def _sized(rows: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    for row in rows:
        values, _, size = row.rstrip(b"\n").rpartition(b"\t")
        yield values, int(size)


def format_size(size: int) -> str:
    """Returns a size in megabytes of a million bytes, or in bytes, for messages."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"
