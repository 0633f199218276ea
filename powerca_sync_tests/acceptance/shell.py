"""A shell for the command line: nothing configured, or a small office; and the output of a command."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import termios
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from powerca_sync.cli import commands
from powerca_sync_tests.defs.office import SECRETS, SPECS, Office
from powerca_sync_tests.helpers import Pair

CONFIGURATION = ("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_", "DAGSTER_")


def empty(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Changes to a folder, without any variable of the sync."""
    for name in [name for name in os.environ if name.startswith(CONFIGURATION)]:
        monkeypatch.delenv(name)
    # Set to empty, so that a value set by a command is restored after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(folder)


def configured(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Creates a small office whose tables the command syncs."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Office(pair, instance)
    made.create()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(commands, "TABLES", SPECS)
    return made


def synced(pair: Pair, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Office:
    """Creates a small office that the command has synced forward, in a shell with no other configuration."""
    empty(monkeypatch, folder)
    made = configured(pair, monkeypatch)
    assert run("forward").exit_code == 0
    return made


def run(*arguments: str) -> Result:
    """Runs the command in this process; asserts that it does not raise and prints ASCII without passwords."""
    result = CliRunner().invoke(commands.main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.output.isascii()
    for secret in SECRETS:
        assert secret not in result.output
    return result


def document(result: Result) -> Any:
    """Returns the JSON document on stdout."""
    return json.loads(result.stdout)


def run_on_terminal(*arguments: str, columns: int) -> tuple[int, list[str]]:
    """Runs the command in this process on a pseudo-terminal; returns the exit status and the lines that a person sees.

    Progress that is written over by the next is none of them.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = bytearray()
    reader = threading.Thread(target=_read_until_end, args=(master, shown))
    reader.start()
    with (
        os.fdopen(slave, "w", encoding="utf-8") as terminal,
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
    ):
        try:
            commands.main(arguments, prog_name="powerca-sync", standalone_mode=True)
        except SystemExit as exc:
            status = int(exc.code or 0)
        finally:
            terminal.write(_END.decode())
            terminal.flush()
            reader.join(timeout=30)
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode().removesuffix(_END.decode()))
    return status, [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]


#: Written after a command; the terminal stays open while its console does.
_END = b"\x00"


def _read_until_end(master: int, shown: bytearray) -> None:
    while not shown.endswith(_END):
        shown += os.read(master, 65536)
