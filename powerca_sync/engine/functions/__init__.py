"""Functions of the office on the desktop: looked up in the catalog, and called in one transaction.

`call_refresh` is for the beginning of a forward run, `call_booking` for the end of a reverse run. The phone rows that
no successful booking has followed are counted on the desktop, in the transaction that inserts them. When to call is
left to the caller.
"""

from powerca_sync.engine.functions.calls import FunctionResult, call_booking, call_refresh
from powerca_sync.engine.functions.lookup import FunctionFacts, find_fault, missing_grants, read_function

__all__ = [
    "FunctionFacts",
    "FunctionResult",
    "call_booking",
    "call_refresh",
    "find_fault",
    "missing_grants",
    "read_function",
]
