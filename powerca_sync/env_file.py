"""The file `.env`: its variables exactly as written, and its permissions.

Parsers of such files expand `${x}` and end an unquoted value at ` #`, in passwords too. Here a password is used as
written, or refused.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from powerca_sync.errors import ConfigurationError

#: In the current folder.
ENV_FILE = Path(".env")
_PASSWORD = "PASSWORD"


def read_variables(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    """Returns the variables of the file, if it exists, overridden by those of `environ` (default: the process's).

    Raises `ConfigurationError` for a line that cannot be parsed, and for a password that the parser would alter.
    """
    environ = os.environ if environ is None else environ
    written = _read(env_file) if env_file and env_file.is_file() else {}
    if not written:
        return dict(environ)
    # Dagster has already put the expanded variables of the file into the environment.
    expanded = dotenv_values(env_file, encoding="utf-8-sig")
    own = {name: value for name, value in environ.items() if name not in written or value != expanded.get(name)}
    return written | own


def exposure(env_file: Path = ENV_FILE) -> str | None:
    """Returns a warning if every user of this machine may read or change the file; None otherwise.

    Always None on Windows, whose permissions are not part of the file's mode.
    """
    if os.name == "nt" or not env_file.is_file():
        return None
    mode = env_file.stat().st_mode
    if not mode & (stat.S_IROTH | stat.S_IWOTH):
        return None
    return f"`{env_file}` holds passwords, and every user of this machine may {'change' if mode & 2 else 'read'} it."


def _read(env_file: Path) -> dict[str, str]:
    try:
        # Windows editors begin a file with a byte order mark.
        with env_file.open(encoding="utf-8-sig") as lines:
            bindings = list(parse_stream(lines))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"`{env_file}` cannot be read: {exc}. Save it in UTF-8, for this user to read."
        ) from exc
    for binding in bindings:
        line = f"Line {binding.original.line} of `{env_file}`"
        if binding.error:
            raise ConfigurationError(
                f"{line} cannot be read. Write NAME=value, and put a value with quotes in it between single quotes, "
                "with \\ before each single quote."
            )
        if binding.key and binding.key.endswith(_PASSWORD) and not _is_literal(binding):
            raise ConfigurationError(
                f"{line}: the value of {binding.key} would be altered: an unquoted value ends before ` #`, and \\ "
                "is an escape in double quotes. Put it between single quotes."
            )
    return {binding.key: binding.value or "" for binding in bindings if binding.key}


def _is_literal(binding: Binding) -> bool:
    """Whether the value is the text after the equals sign, without the quotes and spaces around it."""
    text = binding.original.string.partition("=")[2].strip()
    quote = text[:1]
    if len(text) > 1 and quote in ("'", '"') and text.endswith(quote):
        text = text[1:-1]
        if quote == "'":
            text = text.replace("\\'", "'").replace("\\\\", "\\")
    return binding.value in (text, None)
