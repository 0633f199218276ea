"""Rows, names and messages that forge lines, images and escape sequences are escaped in all output."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import Result

from powerca_sync_tests.acceptance import shell
from powerca_sync_tests.acceptance.shell import run
from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair

HOSTILE = "x\n[OK] forged line\r\x1b[2J\x7f\x9b31m\u202e ![i](http://evil.example/i.png) <img src=x> | y"
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: A trigger whose message is the row's own text.
REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.body LIKE 'x%' THEN RAISE EXCEPTION '%', NEW.body; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON notices FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office that has been synced forward."""
    return shell.synced(pair, monkeypatch, tmp_path)


def assert_plain(result: Result) -> None:
    for text in (result.stdout, result.stderr):
        assert not CONTROLS.search(text)
        forged = [line for line in text.splitlines() if "forged line" in line and line.strip().startswith("[OK]")]
        assert not forged


def conflict(office: Office) -> None:
    office.pair.target.execute(
        "INSERT INTO notices (notice_id, org_id, body, source) VALUES (100, 1, %s, 'M')", [HOSTILE]
    )
    office.pair.source.execute("INSERT INTO notices VALUES (100, 1, 'The office''s')")


def refused_on_the_desktop(office: Office) -> None:
    office.pair.source.execute(REFUSING)
    office.phone_writes(HOSTILE, "Sun")


def refused_on_mobile(office: Office) -> None:
    office.pair.target.execute(REFUSING)
    office.pair.source.execute("INSERT INTO notices VALUES (200, 1, %s), (201, 1, 'Sun')", [HOSTILE])


def different(office: Office) -> None:
    office.pair.target.execute("UPDATE notices SET body = %s WHERE notice_id = 1", [HOSTILE])


def hostile_column(office: Office) -> None:
    name = HOSTILE[:50].replace('"', "")
    office.pair.source.execute(f'ALTER TABLE notices ADD "{name}" text NOT NULL DEFAULT 1')
    office.pair.target.execute(f'ALTER TABLE staff ADD "{name}" text')


def failing_table(office: Office) -> None:
    office.pair.source.execute("""
        CREATE FUNCTION refuse(words text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', words; END $$;
        ALTER TABLE notices RENAME TO all_notices;
        CREATE VIEW notices AS SELECT notice_id, org_id, refuse(body) AS body FROM all_notices""")
    office.pair.source.execute("UPDATE all_notices SET body = %s", [HOSTILE])


@pytest.mark.parametrize(
    "happens",
    [conflict, refused_on_the_desktop, refused_on_mobile, different, hostile_column, failing_table],
)
def test_every_command_escapes_hostile_text(office: Office, happens: Callable[[Office], None]) -> None:
    happens(office)
    commands = ("plan", "plan reverse", "verify", "doctor", "reverse", "forward", "status", "verify")
    shown = [run(*command.split()) for command in commands]
    for result in shown:
        assert_plain(result)
    assert any("forged line" in result.output for result in shown), "it is shown, with escapes"


def errors_in(event: dg.DagsterEvent) -> Iterator[str]:
    """Returns every text of an event's error and of its causes."""
    data = event.event_specific_data
    error = getattr(data, "error", None)
    while error is not None:
        yield from (error.message, *error.stack)
        error = error.cause
    if failure := getattr(data, "user_failure_data", None):
        yield failure.description


@pytest.mark.parametrize(
    "happens", [conflict, refused_on_the_desktop, refused_on_mobile, hostile_column, failing_table]
)
def test_events_and_metadata_of_a_run_escape_hostile_text(
    office: Office, happens: Callable[[Office], None], capfd: pytest.CaptureFixture[str]
) -> None:
    happens(office)
    with dg.instance_for_test() as instance:
        office.instance = instance
        results = [office.pull(), office.run()]
        said = [entry.user_message for result in results for entry in instance.all_logs(result.run_id)]
    events = [event for result in results for event in result.all_events]
    errors = [text for event in events for text in errors_in(event)]
    assert bool(errors) == (happens is failing_table)
    assert not [text for text in (*said, *errors) if CONTROLS.search(text)]
    assert not [text for text in (*said, *errors) if "\n[OK] forged" in text]
    made = [event for result in results for event in result.get_asset_materialization_events()]
    landed = [event.step_materialization_data.materialization.metadata for event in made]
    assert landed
    assert not [value for one in landed for value in one.values() if isinstance(value, dg.MarkdownMetadataValue)]
    printed = "".join(capfd.readouterr())
    assert "\n[OK] forged" not in printed
    assert "\x1b[2J" not in printed
    assert "\u202e" not in printed
