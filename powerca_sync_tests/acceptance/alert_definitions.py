"""The small office's definitions, with a shorter interval of the sensor `alerts` and without schedules."""

import dataclasses

from powerca_sync.defs import build_definitions
from powerca_sync.defs.alerts import sensor
from powerca_sync.operations import Schedules
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS

sensor.INTERVAL = 2

specs = [dataclasses.replace(spec, reverse=False) for spec in SPECS]
never = Schedules(crons=dict.fromkeys(Schedules().crons, ""))
defs = build_definitions(specs, timeouts=QUICK, retries=ONE_RETRY, schedules=never)
