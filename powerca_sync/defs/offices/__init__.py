"""Starting runs, and the overview, where one instance serves the offices of a file; each office is a partition.

`membership` keeps the partitions in step with the file. `desktop_gate` and `mobile_gate` ask all offices in one tick
and request runs only for the offices and tables that changed; they decide of an office as the sensors of one office do.
`rounds` asks many servers within a time, `nights` says when an office's nightly runs are due. `overview` is the asset
with the state of all offices, from what `office_view` reads of each.
"""

from powerca_sync.defs.offices.desktop_gate import build_desktop_gate
from powerca_sync.defs.offices.membership import build_membership
from powerca_sync.defs.offices.mobile_gate import build_mobile_gate
from powerca_sync.defs.offices.overview import build_overview

__all__ = ["build_desktop_gate", "build_membership", "build_mobile_gate", "build_overview"]
