"""The definitions of the office with a product of its own, for a daemon in a process of its own."""

from powerca_sync.defs import build_definitions
from powerca_sync.operations import INCREMENTAL_CRON, Schedules
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK
from powerca_sync_tests.defs.product import FUNCTIONS, VIEWED

EVERY_MINUTE = Schedules(crons={**Schedules().crons, INCREMENTAL_CRON: "* * * * *"})

defs = build_definitions(VIEWED, functions=FUNCTIONS, timeouts=QUICK, retries=ONE_RETRY, schedules=EVERY_MINUTE)
