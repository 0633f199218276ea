"""Copy rows of the source into a temporary table of the target, and quarantine those that cannot be merged.

Isolates rows that cannot be read or loaded, skips echoes, fills lookups, and applies the rules of the target. Does not
plan a merge and does not write to the target table.
"""

from powerca_sync.engine.staging.echoes import Echoes, skip_echoes
from powerca_sync.engine.staging.large_objects import find_large_objects, large_object_warning
from powerca_sync.engine.staging.oversized import format_size
from powerca_sync.engine.staging.phone_rows_sql import BORN, HASH, KEY, OCCURRENCE, PHONES
from powerca_sync.engine.staging.quarantine_sql import entry_key
from powerca_sync.engine.staging.references_sql import has_dangling_reference
from powerca_sync.engine.staging.rules_sql import FOREIGN_PARENT, QUARANTINED_PARENT, lookup_query
from powerca_sync.engine.staging.source_rows import stage_source
from powerca_sync.engine.staging.staging import WORTH_ANALYZING, Staged, read_rows, stage_rows
from powerca_sync.engine.staging.unreadable_entries import (
    StoredValues,
    check_stored_values,
    pair_by_readable_columns,
    refresh_unreadable_values,
)
from powerca_sync.engine.staging.validation import (
    NO_REJECTIONS,
    LookupResult,
    Quarantined,
    Rejected,
    Rejections,
    parse_rejections,
    read_rejections,
    rejection_queries,
)
from powerca_sync.engine.staging.views import prepare_source

__all__ = [
    "BORN",
    "FOREIGN_PARENT",
    "HASH",
    "KEY",
    "NO_REJECTIONS",
    "OCCURRENCE",
    "PHONES",
    "QUARANTINED_PARENT",
    "WORTH_ANALYZING",
    "Echoes",
    "LookupResult",
    "Quarantined",
    "Rejected",
    "Rejections",
    "Staged",
    "StoredValues",
    "check_stored_values",
    "entry_key",
    "find_large_objects",
    "format_size",
    "has_dangling_reference",
    "large_object_warning",
    "lookup_query",
    "pair_by_readable_columns",
    "parse_rejections",
    "prepare_source",
    "read_rejections",
    "read_rows",
    "refresh_unreadable_values",
    "rejection_queries",
    "skip_echoes",
    "stage_rows",
    "stage_source",
]
