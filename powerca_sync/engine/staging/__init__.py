"""Rows on their way into a temporary table, and the rules by which a staged row may be merged.

Copies rows from the source, isolates those that cannot be read or loaded, resolves lookups, skips echoes and
quarantines rows that break a rule of the target. Plans and writes nothing in the target table.
"""

from powerca_sync.engine.staging.large_objects import find_large_objects, sentence
from powerca_sync.engine.staging.oversized import refuse_oversized, shown, split_oversized
from powerca_sync.engine.staging.phone_rows_sql import BORN, HASH, KEY, OCCURRENCE, PHONES
from powerca_sync.engine.staging.quarantine_sql import entry_key
from powerca_sync.engine.staging.references_sql import leads_nowhere
from powerca_sync.engine.staging.rules_sql import answers
from powerca_sync.engine.staging.source_rows import stage_source
from powerca_sync.engine.staging.staging import Staged, read_rows, stage_rows
from powerca_sync.engine.staging.unreadable import (
    Unreadable,
    copy_out_unreadable,
    find_unreadable,
    refuse_unreadable,
    without_unreadable,
)
from powerca_sync.engine.staging.unreadable_entries import pairing_by_rest, readable, renew
from powerca_sync.engine.staging.validation import (
    NONE_REJECTED,
    LookupResult,
    Quarantined,
    Rejected,
    Rejections,
    answered_rejected,
    asked_rejected,
    rejections,
)
from powerca_sync.engine.staging.views import settle_source

__all__ = [
    "BORN",
    "HASH",
    "KEY",
    "NONE_REJECTED",
    "OCCURRENCE",
    "PHONES",
    "LookupResult",
    "Quarantined",
    "Rejected",
    "Rejections",
    "Staged",
    "Unreadable",
    "answered_rejected",
    "answers",
    "asked_rejected",
    "copy_out_unreadable",
    "entry_key",
    "find_large_objects",
    "find_unreadable",
    "leads_nowhere",
    "pairing_by_rest",
    "read_rows",
    "readable",
    "refuse_oversized",
    "refuse_unreadable",
    "rejections",
    "renew",
    "sentence",
    "settle_source",
    "shown",
    "split_oversized",
    "stage_rows",
    "stage_source",
    "without_unreadable",
]
