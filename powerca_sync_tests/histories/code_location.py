"""The code location of a campaign: the definitions for the office that the environment describes."""

import json
import os

from powerca_sync.defs import build_definitions
from powerca_sync.specs import in_order
from powerca_sync_tests.helpers import ORGS
from powerca_sync_tests.histories.restarts import OFFICE
from powerca_sync_tests.histories.site import stamped_specs
from powerca_sync_tests.histories.tables import Variant, specs

_office = json.loads(os.environ[OFFICE])
_tables = specs(_office["names"], Variant(**_office["variant"]))
defs = build_definitions(in_order((ORGS, *(stamped_specs(_tables) if _office["stamped"] else _tables).values())))
