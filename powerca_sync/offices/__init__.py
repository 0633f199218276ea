"""The file of offices: several offices served by one Dagster instance.

`POWERCA_OFFICES` names a TOML file with the tables `[defaults]`, `[mobile.NAME]` and `[office.KEY]`. `reading` reads it
into the `records`. The file holds no passwords; they are read when an office's settings are needed. A mistake in an
entry stops that office only.
"""

import logging
import threading
from pathlib import Path
from typing import Final

from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.errors import ConfigurationError
from powerca_sync.offices.entries import Office, Offices
from powerca_sync.offices.reading import load

__all__ = ["OFFICES", "Office", "Offices", "current_offices", "load", "offices_file"]

#: Variable: the path of the file. Not set: one office, configured by the environment.
OFFICES: Final = "POWERCA_OFFICES"

_logger = logging.getLogger(__name__)

#: The content of each file as last read, with its stamp, for processes that live long.
_kept: dict[Path, tuple[object, Offices]] = {}
_lock = threading.Lock()


def offices_file() -> Path | None:
    """Returns the path in `POWERCA_OFFICES`; None if it is not set."""
    path = read_variables(None, ENV_FILE).get(OFFICES, "")
    return Path(path) if path else None


def current_offices() -> Offices | None:
    """Returns the offices of the file in `POWERCA_OFFICES`, read again whenever it has changed; None without one.

    A file that cannot be used any more leaves the offices read before in force. Raises `ConfigurationError` if this
    process has read none before.
    """
    path = offices_file()
    if path is None:
        return None
    with _lock:
        stamp, kept = _stamp(path), _kept.get(path)
        if kept and kept[0] == stamp:
            return kept[1]
        try:
            offices = load(path)
        except ConfigurationError as exc:
            if kept is None:
                raise
            offices = kept[1]
            _logger.warning("[WARN] %s The %d offices read before stay in force.", exc, len(offices.keys))
        _kept[path] = (stamp, offices)
        return offices


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
