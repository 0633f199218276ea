"""The sensors of many offices: who is asked, and who gets a run."""

import dataclasses
import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from powerca_sync.defs.offices import desktop_gate, mobile_gate, rounds
from powerca_sync.defs.offices.nights import SPREAD, last_night, last_tick, last_turn
from powerca_sync.defs.offices.rounds import Absence, ask, in_turn, read_states, write_states
from powerca_sync.defs.partitions import OFFICE, OFFICE_PARTITIONS, office_tags
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError
from powerca_sync.offices import Office, load
from powerca_sync_tests.defs.office import SPECS
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company, definitions_by_office

pytestmark = pytest.mark.long

FULL, INCREMENTAL = "forward_full", "forward_incremental"
NIGHT = (FULL, "reverse", "checks", "report")


def states(company: Company) -> dict[str, dict[str, Any]]:
    return read_states(company.instance, "desktop_rows", [DEAD, *NUMBERS])


def asked(data: Any) -> dict[str, tuple[str | None, list[str]]]:
    """Returns job and tables of each request, by office."""
    return {
        request.tags["dagster/partition"]: (
            request.job_name,
            sorted(key.to_user_string() for key in request.asset_selection or ()),
        )
        for request in data.run_requests
    }


@pytest.fixture
def settled(company: Company) -> Company:
    """Returns the offices after a full run, with sensors that know them."""
    for office in NUMBERS:
        company.edit(office, "SELECT")
        assert company.run(office).success
    # Without a token nothing is known of a table; the next run settles it.
    data = company.tick("desktop_rows")
    assert {office: job for office, (job, _) in asked(data).items()} == {
        DEAD: FULL,
        **dict.fromkeys(NUMBERS, INCREMENTAL),
    }
    company.obey(data)
    assert company.tick("desktop_rows").run_requests == []
    return company


def test_new_office_is_loaded_at_once_and_then_once_a_night(company: Company) -> None:
    for office in ("south", "west"):
        company.instance.delete_dynamic_partition(OFFICE, office)
    company.edit("north", "SELECT")
    for job in NIGHT:
        data = company.tick("desktop_rows")
        dead = {DEAD: (FULL, [])} if job == FULL else {}
        assert asked(data) == {"north": (job, []), **dead}, "one run tells that the other is away"
        company.obey(data)
    company.obey(company.tick("desktop_rows"))
    assert company.tick("desktop_rows").run_requests == []
    known = states(company)["north"]
    yesterday = str(datetime.fromisoformat(known["night"]).date() - timedelta(days=1))
    write_states(company.instance, "desktop_rows", {"north": {**known, "night": yesterday}})
    assert [asked(company.tick("desktop_rows")) for _ in NIGHT] == [{"north": (job, [])} for job in NIGHT]
    assert company.tick("desktop_rows").run_requests == []


def test_only_offices_and_tables_that_changed_get_a_run(settled: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    settled.edit("south", "UPDATE staff SET full_name = 'Renamed' WHERE staff_no = 7")
    data = settled.tick("desktop_rows")
    assert asked(data) == {"south": (INCREMENTAL, ["staff"])}
    assert data.run_requests[0].tags["powerca/mobile"] == "main"
    # While its run is active the office is left alone; the others are not.
    run = settled.instance.create_run_for_job(
        definitions_by_office().resolve_job_def("reverse"),
        tags=office_tags("south"),
        status=dg.DagsterRunStatus.STARTED,
    )
    settled.edit("west", "DELETE FROM staff WHERE staff_no = 3")
    settled.edit("west", "UPDATE notices SET body = 'Open'")
    assert asked(settled.tick("desktop_rows")) == {"west": (INCREMENTAL, ["notices"])}, "the staff may be being rebuilt"
    settled.instance.delete_run(run.run_id)
    # Offices take turns when there are more than a tick may request.
    settled.edit("north", "UPDATE notices SET body = 'Open'")
    monkeypatch.setattr(desktop_gate, "MOST_REQUESTS", 2)
    first = settled.tick("desktop_rows")
    assert (set(asked(first)), first.cursor) == ({"north", "south"}, "south")
    second = settled.tick("desktop_rows", first.cursor)
    assert set(asked(second)) == {"west", "north"}
    settled.obey(first)
    settled.obey(settled.tick("desktop_rows", first.cursor))
    assert settled.tick("desktop_rows").run_requests == []
    for office in NUMBERS:
        assert settled.mobile_rows(office) == settled.desktop_rows(office)
    # What is kept: little in the cursor, which Dagster keeps once for each tick.
    assert len(json.dumps(states(settled)["north"])) < 250 * len(SPECS)
    assert len(first.cursor or "") <= 40


def test_dead_desktop_rests_and_phone_rows_of_others_come(settled: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    absence = states(settled)[DEAD]["absence"]
    assert absence["times"] == 1, "it was asked once and not in the tick that followed"
    assert 0 < absence["until"] - time.time() <= rounds.FIRST_REST
    first = settled.tick("mobile_rows")
    assert set(asked(first)) == set(NUMBERS), "the first reverse run of each"
    settled.obey(first)
    settled.mobile.execute("INSERT INTO notices (notice_id, org_id, body, source) VALUES (300, 3, 'On the way', 'M')")
    settled.mobile.execute("SELECT pg_stat_force_next_flush()")
    data = settled.tick("mobile_rows")
    assert asked(data) == {"west": ("reverse", ["reverse/notices"])}
    settled.obey(data)
    assert settled.tick("mobile_rows").run_requests == []
    assert (300,) in settled.desktops["west"].execute("SELECT notice_id FROM notices").fetchall()
    settled.tick("mobile_rows")
    with monkeypatch.context() as patch:
        patch.setattr("powerca_sync.defs.offices.mobile_gate._look", None)
        skipped = settled.tick("mobile_rows")
    assert skipped.skip_message == "No new phone rows; 0 of 3 offices were asked.", "nothing has changed on mobile"
    later = time.time() + 61
    monkeypatch.setattr(desktop_gate.time, "time", lambda: later)
    assert settled.tick("mobile_rows").skip_message == skipped.skip_message, "its desktop has not answered yet"
    settled.tick("desktop_rows")
    known = states(settled)[DEAD]
    assert known["absence"]["times"] == 2
    night = date.fromisoformat(known["missed"])
    for before, requests in ((night - timedelta(days=1), []), (night - timedelta(days=2), [DEAD])):
        away = {**known, "absence": {}, "night": str(before), "missed": str(before)}
        write_states(settled.instance, "desktop_rows", {DEAD: away})
        assert list(asked(settled.tick("desktop_rows"))) == requests, "it tells when it has missed a whole night"
    assert Absence(times=20).extended(0.0).until == rounds.LONGEST_REST
    settled.file.write_text(settled.file.read_text().replace('[mobile.main]\nhost = "', '[mobile.main]\nhost = "/no'))
    with pytest.raises(DatabaseUnavailableError, match="connecting to mobile"):
        settled.tick("mobile_rows")


def test_only_the_offices_of_new_phone_rows_are_asked(settled: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    settled.obey(settled.tick("mobile_rows"))
    settled.tick("mobile_rows")
    asked_offices, statements = [], []
    look, read = mobile_gate._look, mobile_gate.read_phone_rows_by_office
    monkeypatch.setattr(
        mobile_gate, "_look", lambda office, *rest: asked_offices.append(office.key) or look(office, *rest)
    )
    monkeypatch.setattr(
        mobile_gate,
        "read_phone_rows_by_office",
        lambda *args, **options: statements.append(1) or read(*args, **options),
    )

    def tick_after(statement: str) -> dict[str, tuple[str | None, list[str]]]:
        settled.mobile.execute(statement)  # type: ignore[call-overload]
        settled.mobile.execute("SELECT pg_stat_force_next_flush()")
        asked_offices.clear()
        statements.clear()
        data = settled.tick("mobile_rows")
        settled.obey(data)
        return asked(data)

    new = "INSERT INTO notices (notice_id, org_id, body, source) VALUES "
    assert tick_after(f"{new} (300, 3, 'On the way', 'M')") == {"west": ("reverse", ["reverse/notices"])}
    assert (asked_offices, statements) == (["west"], [1])
    # Asked again after its run, and settled.
    assert tick_after("SELECT") == {}
    assert (asked_offices, statements) == (["west"], [])
    assert tick_after("SELECT") == {}
    assert (asked_offices, statements) == ([], [])
    # Desktop rows and rows of nobody concern no office.
    assert tick_after("UPDATE staff SET full_name = 'x' WHERE org_id = 1") == {}
    assert tick_after(f"{new} (400, 77, 'Of nobody', 'M')") == {}
    assert (asked_offices, statements) == ([], [1])
    # The office of a row without an organisation has to be found out.
    settled.mobile.execute("ALTER TABLE notices ALTER org_id DROP NOT NULL")
    tick_after(f"{new} (500, NULL, 'Whose?', 'M')")
    assert sorted(asked_offices) == sorted(NUMBERS)


def test_runs_that_a_sensor_requests_have_the_configuration_of_their_job(settled: Company) -> None:
    settled.edit("south", "UPDATE staff SET full_name = 'Renamed' WHERE staff_no = 7")
    (request,) = settled.tick("desktop_rows").run_requests
    assert request.run_config["resources"]["sync"]["config"]["mode"] == "incremental"
    settled.obey(settled.tick("desktop_rows"))
    event = settled.instance.get_latest_materialization_event(dg.AssetKey("staff"))
    assert event
    assert event.asset_materialization
    assert event.asset_materialization.metadata["mode_requested"].value == "incremental"


def test_jobs_ask_for_the_office_and_tag_their_runs_with_its_mobile_database(company: Company) -> None:
    for name in (*NIGHT, INCREMENTAL):
        job = definitions_by_office().resolve_job_def(name)
        assert job.partitions_def == OFFICE_PARTITIONS, name
    for name in ("report", "checks"):
        run = company.run("north", name).dagster_run
        assert run.tags["powerca/mobile"] == "main"
        assert run.tags["dagster/partition"] == "north"


def test_lost_password_of_one_desktop_keeps_no_other_office_waiting(company: Company) -> None:
    entries = company.file.read_text()
    for office in NUMBERS:
        before, mark, after = entries.partition(f"[office.{office}]")
        company.file.write_text(
            before + mark + after.replace('password_file = "password"', 'password_file = "lost"', 1)
        )
        assert set(asked(company.tick("mobile_rows"))) == set(NUMBERS) - {office}


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Office]:
    """Returns 600 offices that nobody can reach, in the time zone of India."""
    text = '[mobile.main]\nhost = "localhost"\npassword_env = "X"\n' + "".join(
        f'[office.o{number}]\nhost = "h{number}"\npassword_env = "X"\n' for number in range(600)
    )
    file = tmp_path / "offices.toml"
    file.write_text(text)
    monkeypatch.setenv("POWERCA_OFFICES", str(file))
    return dict(load(file).offices)


def test_night_and_turns_follow_the_cron_strings_of_the_office(many: dict[str, Office]) -> None:
    office = dataclasses.replace(
        many["o1"],
        timezone="Asia/Kolkata",
        crons={"POWERCA_FULL_CRON": "30 22 * * 1-6", "POWERCA_INCREMENTAL_CRON": "*/15 8-20 * * 1-6"},
    )
    saturday = datetime(2026, 11, 28, 22, 30, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert last_night(office, saturday - timedelta(seconds=1)) == "2026-11-27"
    assert last_night(office, saturday) == last_night(office, saturday + timedelta(days=1)) == "2026-11-28"
    assert last_turn(office, saturday, "") == "2026-11-28 20:45"
    assert last_turn(office, saturday.replace(hour=12, minute=44), "") == "2026-11-28 12:30"
    without = dataclasses.replace(office, crons={})
    assert last_turn(without, saturday, "") == ""
    assert last_turn(without, saturday, "0 * * * *") == "2026-11-28 22:00"
    assert last_turn(dataclasses.replace(office, crons={"POWERCA_INCREMENTAL_CRON": ""}), saturday, "0 * * * *") == ""
    assert last_tick("0 0 1 1 *", "UTC", saturday) == "", "longer ago than a week"
    with pytest.raises(ConfigurationError, match=r"`0 0 31 2 \*` is not a valid cron string"):
        last_tick("0 0 31 2 *", "UTC", saturday)


def test_nights_are_spread_and_each_comes_once_a_day(many: dict[str, Office]) -> None:
    began = datetime(2026, 3, 7, 18, 30, tzinfo=UTC)  # Midnight in India.
    changes = []
    for office in many.values():
        nights = [last_night(office, began + timedelta(minutes=minute)) for minute in range(-60, SPREAD + 60)]
        assert sorted(set(nights)) == ["2026-03-07", "2026-03-08"]
        changes.append(nights.index("2026-03-08") - 60)
    assert 0 <= min(changes) < 10
    assert SPREAD - 10 < max(changes) < SPREAD
    assert max(changes.count(minute) for minute in changes) < 12


def test_offices_are_asked_within_the_time_of_a_tick(many: dict[str, Office]) -> None:
    order = [office.key for office in in_turn(many, "o57")]
    assert order[0] == "o570"
    assert sorted(order) == sorted(many)
    assert in_turn(many, "o99")[0].key == "o0"

    def look(office: Office) -> str:
        time.sleep(0.02)
        if office.key.endswith("0"):
            raise DatabaseUnavailableError(f"{office.key} is away")
        return office.key

    began = time.monotonic()
    answers = ask(in_turn(many, None), look, seconds=0.5, threads=8)
    assert time.monotonic() - began < 5
    assert 8 < len(answers) < 600
    assert [office.key for office, _ in answers] == sorted(many)[: len(answers)]
    assert all(isinstance(answer, DatabaseUnavailableError) == office.key.endswith("0") for office, answer in answers)
