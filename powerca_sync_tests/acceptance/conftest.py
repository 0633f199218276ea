"""The generated office on both servers, planned and synced once for all tests that only read it or restore it."""

import dataclasses
from collections.abc import Iterator
from importlib import import_module

import pytest

from powerca_sync.demo import (
    Server,
    create_desktop,
    create_mobile,
    create_phone_rows,
    edit_office,
    fill_desktop,
    fill_mobile,
)
from powerca_sync.engine.dry_run import TablePlan
from powerca_sync.engine.result import ForwardResult
from powerca_sync.tables import TABLES
from powerca_sync_tests.helpers import QUICK, Pair

new_databases = import_module("powerca_sync_tests.conftest")._new_databases


@dataclasses.dataclass(frozen=True, kw_only=True)
class Day:
    """The counts of the dry run of all tables, and those of the run right after it; by mobile name."""

    plans: dict[str, TablePlan]
    results: dict[str, ForwardResult]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedOffice:
    """An office of real size that has been synced."""

    pair: Pair
    #: First contact with a full run; then an incremental run after a day of edits and phone rows.
    days: tuple[Day, Day]


@pytest.fixture(scope="session")
def generated_office(servers: tuple[Server, Server]) -> Iterator[GeneratedOffice]:
    """Yields the office after the second run; tests that change its tables restore them."""
    with new_databases(servers) as endpoints, Pair(*endpoints) as pair:
        create_desktop(pair.source)
        fill_desktop(pair.source)
        create_mobile(pair.target)
        fill_mobile(pair.target)
        first = Day(plans=pair.plan(*TABLES, options=QUICK), results=pair.sync_all(*TABLES, options=QUICK))
        create_phone_rows(pair.target)
        edit_office(pair.source)
        second = Day(
            plans=pair.plan(*TABLES, mode="incremental", options=QUICK),
            results=pair.sync_all(*TABLES, mode="incremental", options=QUICK),
        )
        yield GeneratedOffice(pair=pair, days=(first, second))
