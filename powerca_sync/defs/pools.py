"""Pools of the assets and checks: where the instance limits pools by run, a second run of a pool is queued."""

from typing import Final

#: Forward runs, and checks that compare both databases: a comparison in the middle of a run finds differences.
FORWARD_POOL: Final = "forward"
REVERSE_POOL: Final = "reverse"
