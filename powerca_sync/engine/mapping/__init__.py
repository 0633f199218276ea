"""Specs resolved against both catalogs: which columns are synced, how they are converted, which office has a row.

`resolver` resolves specs, `directions` maps tables, `tenancy` scopes rows by office; `fragments`, `row_sizes` and
`conversion` build SQL expressions that all other packages share. Reads catalogs and organisations, no other rows.
"""

from powerca_sync.engine.mapping.conversion import comparable, equal, equality, hashable, is_compared_as_text
from powerca_sync.engine.mapping.directions import map_back, map_table
from powerca_sync.engine.mapping.expressions import columns_read
from powerca_sync.engine.mapping.fragments import (
    ACTIONS,
    AND,
    COMMA,
    ECHOED,
    ENTRIES,
    HELD,
    LEDGER,
    MISSING,
    MOST_HASHED,
    NOT_ENDED,
    REJECTED,
    STAGING,
    UNSETTLED,
    content_hash,
    content_text,
    from_image,
    image_of,
    is_ours,
    key_text,
    now_in,
    row_text,
    same_key,
    shown_image_of,
)
from powerca_sync.engine.mapping.mapping import FROM_PHONE, ExtraColumn, SyncedColumn, TableMapping
from powerca_sync.engine.mapping.needed_catalogs import needs_all_catalogs, tables_needed
from powerca_sync.engine.mapping.resolution import Resolution, ResolvedSpec, Route
from powerca_sync.engine.mapping.resolver import resolve
from powerca_sync.engine.mapping.row_sizes import SHOWN, shown
from powerca_sync.engine.mapping.snapshot import XID_HORIZON, Snapshot, read_identity, read_snapshot
from powerca_sync.engine.mapping.tenancy import (
    WITHOUT_ORGANISATIONS,
    Office,
    Scope,
    array_literal,
    cast_organisations,
    explain_cast_errors,
    named_office,
    office_condition,
    office_reference,
    organisations_query,
    read_office,
)

__all__ = [
    "ACTIONS",
    "AND",
    "COMMA",
    "ECHOED",
    "ENTRIES",
    "FROM_PHONE",
    "HELD",
    "LEDGER",
    "MISSING",
    "MOST_HASHED",
    "NOT_ENDED",
    "REJECTED",
    "SHOWN",
    "STAGING",
    "UNSETTLED",
    "WITHOUT_ORGANISATIONS",
    "XID_HORIZON",
    "ExtraColumn",
    "Office",
    "Resolution",
    "ResolvedSpec",
    "Route",
    "Scope",
    "Snapshot",
    "SyncedColumn",
    "TableMapping",
    "array_literal",
    "cast_organisations",
    "columns_read",
    "comparable",
    "content_hash",
    "content_text",
    "equal",
    "equality",
    "explain_cast_errors",
    "from_image",
    "hashable",
    "image_of",
    "is_compared_as_text",
    "is_ours",
    "key_text",
    "map_back",
    "map_table",
    "named_office",
    "needs_all_catalogs",
    "now_in",
    "office_condition",
    "office_reference",
    "organisations_query",
    "read_identity",
    "read_office",
    "read_snapshot",
    "resolve",
    "row_text",
    "same_key",
    "shown",
    "shown_image_of",
    "tables_needed",
]
