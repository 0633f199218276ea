"""Dagster's daemon sends messages by web hook and by mail, whatever started the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync_tests.acceptance.shell import configured, empty
from powerca_sync_tests.defs.alerts.mailbox import SECRET, MailServer, WebHook
from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair

DEFINITIONS = "powerca_sync_tests.acceptance.alert_definitions"
#: The command line for the small office.
COMMAND = (
    "import sys\nfrom powerca_sync.cli import commands\nfrom powerca_sync_tests.defs.office import SPECS\n"
    "commands.TABLES = SPECS\ncommands.main(sys.argv[1:])"
)


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office with its own history, passed to each process by its environment."""
    empty(monkeypatch, tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]))
    return configured(pair, monkeypatch)


@contextmanager
def daemon(log: Path) -> Iterator[None]:
    """Starts Dagster's daemon, which evaluates the sensor and starts queued runs."""
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", DEFINITIONS], stdout=output, stderr=output
        )
    try:
        yield
        assert process.poll() is None, log.read_text(encoding="utf-8")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def wait_until(condition: Callable[[], bool], log: Path, *, seconds: float = 180) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, log.read_text(encoding="utf-8")
        time.sleep(0.1)


def powerca_sync(*arguments: str) -> str:
    """Runs the command as a process; returns its progress output."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, timeout=120, text=True)
    return done.stderr


def start_as_the_ui_does(job: str) -> None:
    """Puts a run into the queue, from which the daemon starts it."""
    command = [sys.executable, "-m", "dagster", "job", "launch", "-m", DEFINITIONS, "-j", job]
    subprocess.run(command, capture_output=True, timeout=120, check=True)


def test_failure_and_success_are_each_reported_once_to_all(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    # Created before the processes start: two processes of Dagster would both create it.
    with dg.DagsterInstance.get():
        pass
    with WebHook() as hook, MailServer() as mail:
        monkeypatch.setenv("POWERCA_ALERT_URLS", f"{hook.url}\n{mail.url}")
        monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
        office.pair.target.execute("ALTER TABLE notices RENAME TO notices_away")
        hook.refuses = 1
        with daemon(log):
            assert "[X] notices: Table `notices` does not exist" in powerca_sync("forward")
            wait_until(lambda: bool(hook.messages and mail.messages), log)
        # Another process that reads the same runs does not report them again.
        with daemon(log):
            office.pair.target.execute("ALTER TABLE notices_away RENAME TO notices")
            start_as_the_ui_does("forward_full")
            wait_until(lambda: len(hook.messages) > 1 and len(mail.messages) > 1, log)

    expected = ["[X] Rao & Co: forward_full: 1 problem", "[OK] Rao & Co: forward_full: 1 problem solved"]
    assert hook.titles == expected, hook.messages
    assert [message["subject"] for message in mail.messages] == hook.titles
    told, over = (message["message"] for message in hook.messages)
    assert "[X] notices failed: Table `notices` does not exist on mobile." in told
    assert "http://localhost:3000/runs/" in told
    assert "[OK] Solved: notices." in over
    assert [message.get_content().splitlines() for message in mail.messages] == [told.splitlines(), over.splitlines()]
    for file in (file for file in tmp_path.rglob("*") if file.is_file()):
        assert SECRET.encode() not in file.read_bytes(), file
