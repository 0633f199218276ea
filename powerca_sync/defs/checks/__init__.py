"""Asset checks: `run_checks` evaluates the result of a run in its own step, the others query both databases.

The engine does the reading and comparing; this package turns its results into `AssetCheckResult`s. Which checks an
asset declares stands in `assets` and `reverse_assets`, and when the others run in `jobs`.
"""

from powerca_sync.defs.checks.parity import PARITY, build_parity_checks, parity_key
from powerca_sync.defs.checks.run_checks import (
    CONFLICTS,
    FOREIGN_KEYS,
    QUARANTINE,
    ROWS,
    check_conflicts,
    check_foreign_keys,
    check_quarantine,
    check_rows,
)
from powerca_sync.defs.checks.table_checks import SCHEMA_DRIFT, build_table_checks

__all__ = [
    "CONFLICTS",
    "FOREIGN_KEYS",
    "PARITY",
    "QUARANTINE",
    "ROWS",
    "SCHEMA_DRIFT",
    "build_parity_checks",
    "build_table_checks",
    "check_conflicts",
    "check_foreign_keys",
    "check_quarantine",
    "check_rows",
    "parity_key",
]
