"""The definitions of the small offices, for a daemon in its own process."""

from powerca_sync.defs import build_definitions
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS

defs = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY, by_office=True)
