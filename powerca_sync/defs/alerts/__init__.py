"""Alerts: one message for each new problem of an ended run, and one when it is well again.

The sensor `alerts` reads the ended runs, finds their problems, compares them with those already told, and sends the
messages with `apprise`. Undelivered messages are kept and retried. Runs and checks know nothing of it; the addresses
are read from the environment by `powerca_sync.operations`.
"""

from powerca_sync.defs.alerts.sensor import build_alerts

__all__ = ["build_alerts"]
