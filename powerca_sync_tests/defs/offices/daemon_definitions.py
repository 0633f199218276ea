"""The definitions of the small offices, for a daemon in its own process."""

import dataclasses

from powerca_sync.defs import build_definitions
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS

#: The server may notice late that the process of a run was killed, and keeps its locks until then.
PATIENT = dataclasses.replace(QUICK, table=30)

defs = build_definitions(SPECS, timeouts=PATIENT, retries=ONE_RETRY, by_office=True)
