"""The office's own functions on the desktop, where one instance serves several offices."""

import time
from functools import cache
from typing import Any

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.operations import INCREMENTAL_CRON, Schedules
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS
from powerca_sync_tests.defs.offices import conftest
from powerca_sync_tests.defs.offices.conftest import NUMBERS, Company
from powerca_sync_tests.defs.product import FUNCTIONS, PRODUCT

pytestmark = pytest.mark.long


@cache
def definitions() -> dg.Definitions:
    return build_definitions(
        SPECS,
        functions=FUNCTIONS,
        timeouts=QUICK,
        retries=ONE_RETRY,
        schedules=Schedules(crons={**Schedules().crons, INCREMENTAL_CRON: "*/5 * * * *"}),
        by_office=True,
    )


@pytest.fixture
def product(company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Returns the offices with functions of their own; nothing is due by the clock."""
    monkeypatch.setattr(conftest, "definitions_by_office", definitions)
    for office in NUMBERS:
        company.desktops[office].execute(PRODUCT)  # type: ignore[call-overload]
        company.edit(office, "SELECT")
        assert company.run(office).success
        assert company.run(office, "reverse").success
    company.file.write_text(company.file.read_text().replace("[defaults]\n", '[defaults]\nincremental_cron = ""\n'))
    company.obey(company.tick("desktop_rows"))
    company.tick("desktop_rows")
    for office in NUMBERS:
        company.desktops[office].execute("TRUNCATE office.calls")
    return company


def calls(company: Company) -> dict[str, list[str]]:
    return {
        office: [name for (name,) in company.desktops[office].execute("SELECT called FROM office.calls").fetchall()]
        for office in NUMBERS
    }


def offices_of(data: Any) -> list[str]:
    return [request.tags["dagster/partition"] for request in data.run_requests]


def test_runs_of_an_office_call_the_functions_of_its_own_desktop(product: Company) -> None:
    assert product.run("south").success
    product.mobile.execute("INSERT INTO notices (notice_id, org_id, body, source) VALUES (300, 3, 'On the way', 'M')")
    product.mobile.execute("SELECT pg_stat_force_next_flush()")
    data = product.tick("mobile_rows")
    assert "west" in offices_of(data)
    product.obey(data)
    assert calls(product)["south"][:1] == ["refresh"]
    assert "book" in calls(product)["west"]
    assert "refresh" not in calls(product)["west"]


def test_failed_booking_of_one_office_is_repeated_for_it_alone(product: Company) -> None:
    product.obey(product.tick("mobile_rows"))
    product.tick("mobile_rows")
    west = product.desktops["west"]
    west.execute("ALTER FUNCTION office.book() RENAME TO book_away")
    product.mobile.execute("INSERT INTO notices (notice_id, org_id, body, source) VALUES (300, 3, 'On the way', 'M')")
    product.mobile.execute("SELECT pg_stat_force_next_flush()")
    assert product.obey(product.tick("mobile_rows")) == {"west": ["reverse"]}
    assert (300,) in west.execute("SELECT notice_id FROM notices").fetchall()
    west.execute("ALTER FUNCTION office.book_away() RENAME TO book")
    assert product.tick("mobile_rows").run_requests == [], "the booking has a backoff"
    later = time.time() + 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        data = product.tick("mobile_rows")
        assert [
            (request.tags["dagster/partition"], [key.to_user_string() for key in request.asset_selection])
            for request in data.run_requests
        ] == [("west", ["desktop_booking"])]
        product.obey(data)
    assert calls(product)["west"][-1:] == ["book"]
    assert all("book" not in calls(product)[office] for office in ("north", "south"))


def test_refresh_is_called_at_the_times_of_the_office(product: Company) -> None:
    # Its copies cannot be watched: what the desktop's own program writes comes with the next refresh.
    product.edit("north", "INSERT INTO product_notices VALUES (11, 1, 'Open on Sunday')")
    product.edit("south", "UPDATE notices SET body = 'by the function only'")
    assert product.tick("desktop_rows").run_requests == []
    text = product.file.read_text()
    product.file.write_text(text.replace("[office.north]\n", '[office.north]\nincremental_cron = "*/5 * * * *"\n'))
    product.tick("desktop_rows")
    later = time.time() + 301
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        data = product.tick("desktop_rows")
        assert [(request.job_name, request.asset_selection) for request in data.run_requests] == [
            ("forward_incremental", None)
        ]
        assert product.obey(data) == {"north": ["forward_incremental"]}
        assert product.tick("desktop_rows").run_requests == []
    assert calls(product) == {"north": ["refresh"], "south": [], "west": []}
    assert (11, 1, "Open on Sunday") in product.mobile_rows("north")["notices"]


def test_without_cron_strings_in_the_file_offices_have_that_of_the_environment(product: Company) -> None:
    product.file.write_text(product.file.read_text().replace('incremental_cron = ""\n', ""))
    assert product.tick("desktop_rows").run_requests == []
    later = time.time() + 301
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        data = product.tick("desktop_rows")
    assert {(request.job_name, request.tags["dagster/partition"]) for request in data.run_requests} == {
        ("forward_incremental", office) for office in NUMBERS
    }
