"""`dagster dev` with the guarded webserver: `python -m powerca_sync.web.dev`, with the options of `dagster dev`."""

from collections.abc import Sequence
from typing import Any

# Private, but `dagster dev` has no option for the webserver that it starts. A test asks a running one.
from dagster._cli import dev

_start = dev.open_ipc_subprocess  # type: ignore[attr-defined]


def start_guarded(parts: Sequence[str], **options: Any) -> Any:
    """Start a program of `dagster dev`; in place of Dagster's webserver, the guarded one."""
    return _start(["powerca_sync.web" if part == "dagster_webserver" else part for part in parts], **options)


if __name__ == "__main__":
    dev.open_ipc_subprocess = start_guarded  # type: ignore[attr-defined]
    dev.dev_command(prog_name="dagster dev")
