"""The small office's definitions, for a daemon in a process of its own."""

from powerca_sync.defs import build_definitions
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS

defs = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)
