"""`dagster dev` with another program in place of Dagster's webserver."""

from collections.abc import Sequence
from typing import Any

# Private, because `dagster dev` has no option for the webserver that it starts.
from dagster._cli import dev


def run_dagster_dev(webserver: str, arguments: Sequence[str] | None = None) -> None:
    """Runs `dagster dev` with these arguments (default: the process's), then exits the process.

    `webserver` is the module to run instead of Dagster's.
    """

    start_program = dev.open_ipc_subprocess  # type: ignore[attr-defined]

    def start(parts: Sequence[str], **options: Any) -> Any:
        return start_program([webserver if part == "dagster_webserver" else part for part in parts], **options)

    dev.open_ipc_subprocess = start  # type: ignore[attr-defined]
    dev.dev_command(arguments, prog_name="dagster dev")
