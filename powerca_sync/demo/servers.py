"""Embedded servers, above all the two of the demo, shared by every process that uses the same folder.

Each process holds a read lock on a file beside a server's folder for as long as it lives. The operating system releases
the lock of a killed process, so the last process to exit always knows that it is the last, and stops the server. A
second lock file is held briefly, by a process that starts, stops or removes the server.
"""

import atexit
import contextlib
import dataclasses
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import fasteners  # type: ignore[import-untyped]

from powerca_sync.demo import cluster
from powerca_sync.demo.databases import prepare_desktop, prepare_mobile
from powerca_sync.settings import Endpoint, Settings

#: The default folder of the demo.
FOLDER: Final = Path(".powerca")
#: The versions closest to an office's desktop and to Supabase that the wheel has.
DESKTOP_VERSION, MOBILE_VERSION = 16, 18

#: For one person's machine: little memory, and the same messages and time zone everywhere.
SMALL: Final[Mapping[str, str]] = {
    "max_connections": "50",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
#: For data that may be lost in a power failure.
NOT_DURABLE: Final[Mapping[str, str]] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# POSIX drops a process's lock on a file as soon as the process closes any handle of that file, so there is one handle
# per folder and process, and one thread at a time.
_one_thread = threading.RLock()
_in_use: dict[Path, fasteners.InterProcessReaderWriterLock] = {}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A running embedded server."""

    #: Its data folder.
    folder: Path
    #: A host address, or the folder of the Unix socket.
    host: str
    port: int

    def endpoint(self, side: str, name: str) -> Endpoint:
        """Returns the endpoint of database `name`, with the server's superuser."""
        return Endpoint(side=side, host=self.host, port=self.port, name=name, user="postgres")

    def stop(self) -> None:
        """Stops the server now, whatever else uses it."""
        with _exclusive(self.folder):
            cluster.stop(self.folder)
            _unregister(self.folder)


def start_server(
    folder: Path, *, version: int, durable: bool = True, settings: Mapping[str, str] | None = None
) -> Server:
    """Starts the server in `folder`, or joins its users; creates it first if it does not exist.

    It stops when the last process that called this for the folder exits. `settings` are lines for postgresql.conf, in
    addition to those for a small and, on request, not durable server; they take effect when the server is created, not
    later.
    """
    folder = folder.expanduser().resolve()
    with _exclusive(folder):
        made = cluster.holds(folder, version=version)
        postmaster = cluster.find(folder)
        if postmaster is None:
            cluster.remove_unfinished(folder)
            if not made:
                wanted = {**SMALL, **({} if durable else NOT_DURABLE), **(settings or {})}
                cluster.create(folder, version=version, settings=wanted)
            postmaster = cluster.start(folder, version=version)
        if folder not in _in_use:
            lock = fasteners.InterProcessReaderWriterLock(_lock_file(folder, "users"))
            lock.acquire_read_lock()
            _in_use[folder] = lock
    return Server(folder=folder, host=postmaster.host, port=postmaster.port)


def start_pair(folder: Path = FOLDER) -> Settings:
    """Starts or joins both servers under `folder`, and creates and fills their databases if that has not been done.

    Safe to call from several processes at once, and again after one of them was killed at any moment.
    """
    desktop = start_server(folder / "desktop", version=DESKTOP_VERSION).endpoint("desktop", "enterprise_db")
    mobile = start_server(folder / "mobile", version=MOBILE_VERSION).endpoint("mobile", "postgres")
    prepare_desktop(desktop)
    prepare_mobile(mobile)
    return Settings(desktop=desktop, mobile=mobile)


def reset(folder: Path = FOLDER) -> None:
    """Stops both servers, whatever uses them, and removes what `start_pair` created; `folder` too if it is then
    empty.
    """
    folder = folder.expanduser().resolve()
    if not folder.exists():
        return
    for server in (folder / "desktop", folder / "mobile"):
        with _exclusive(server):
            cluster.stop(server)
            _unregister(server)
            cluster.remove_unfinished(server)
            if server.exists():
                shutil.rmtree(server)
        for suffix in ("users", "lock"):
            _lock_file(server, suffix).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Excludes other threads and processes that start, stop or remove the server in `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_thread, fasteners.InterProcessLock(_lock_file(folder, "lock")):
        yield


def _lock_file(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


def _unregister(folder: Path) -> None:
    if lock := _in_use.pop(folder, None):
        lock.release_read_lock()


def _after_fork() -> None:
    """Resets a forked child, which has its parent's handles, but not the locks."""
    for lock in _in_use.values():
        lock.lockfile.close()
    _in_use.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _stop_unused() -> None:
    """Stops each server that no other process uses."""
    for folder in [folder for folder in _in_use if folder.exists()]:
        with _exclusive(folder):
            lock = _in_use[folder]
            _unregister(folder)
            # Opened anew, by name: if the folder was removed and created again since, this asks the new one's users.
            if lock.acquire_write_lock(blocking=False):
                cluster.stop(folder)
            lock.lockfile.close()  # Releases the lock as well.
