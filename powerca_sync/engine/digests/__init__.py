"""Digests of rows, computed by each server for itself, so that two tables can be compared without moving rows.

`canonical_text` gives a value the same text on every server; `digest_queries` and `digest_sql` hash it by bucket, by
key and by row. Used by the differential transfer of `forward` and by `verify`.
"""

from powerca_sync.engine.digests.canonical_text import (
    Encoder,
    at_source,
    at_target,
    encoder,
    pack,
    packed,
    source_text,
    unpack,
)
from powerca_sync.engine.digests.digest_sql import Side, probe_hashes, unlike_staged

__all__ = [
    "Encoder",
    "Side",
    "at_source",
    "at_target",
    "encoder",
    "pack",
    "packed",
    "probe_hashes",
    "source_text",
    "unlike_staged",
    "unpack",
]
