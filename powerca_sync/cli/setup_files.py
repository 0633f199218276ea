"""The files of an installation, for `powerca-sync init --files`: settings, Dagster's configuration, the workspace.

They are those of the project's folder. A wheel carries them as data files.
"""

import dataclasses
import importlib.metadata
import os
from pathlib import Path
from typing import Final

import powerca_sync
from powerca_sync.errors import ConfigurationError

#: Name in the project, name in an installation.
FILES: Final = {".env.example": ".env", "dagster.yaml": "dagster.yaml", "workspace.yaml": "workspace.yaml"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetupFiles:
    """The files that `write_files` has written and kept."""

    folder: Path
    written: tuple[str, ...]
    #: They existed, and were not changed.
    kept: tuple[str, ...]


def write_files(folder: Path) -> SetupFiles:
    """Writes the files that `folder` lacks, and creates it if necessary; `.env` can be read by its owner only.

    Raises `ConfigurationError` if a file cannot be written; those written before it remain.
    """
    written, kept = [], []
    for source, name in FILES.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The mode counts from the first moment, because the file will hold passwords.
            mode = 0o600 if name == ".env" else 0o644
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
                file.write(_text(source))
        except FileExistsError:
            if not path.is_file():
                raise ConfigurationError(f"`{path}` is no file. Name a folder for the files.") from None
            kept.append(name)
        except OSError as exc:
            raise ConfigurationError(f"`{path}` cannot be written: {exc.strerror}. Name another folder.") from exc
        else:
            written.append(name)
    return SetupFiles(folder=folder, written=tuple(written), kept=tuple(kept))


def _text(name: str) -> str:
    for file in importlib.metadata.files("powerca-sync") or ():
        if file.name == name and file.parts[-3:-1] == ("share", "powerca-sync"):
            return Path(file.locate()).read_text(encoding="utf-8")
    # Installed from the project's folder with `pip install -e`.
    return (Path(powerca_sync.__file__).parents[1] / name).read_text(encoding="utf-8")
