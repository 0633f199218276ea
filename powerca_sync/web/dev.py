"""`dagster dev` with the guarded webserver: `python -m powerca_sync.web.dev`, with the options of `dagster dev`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from powerca_sync.defs.platform.dev_server import run_dagster_dev

WORKSPACE = Path(__file__).with_name("workspace.yaml")


def run(arguments: Sequence[str]) -> None:
    """Runs webserver, code server and daemon for the definitions of this package, then exits the process."""
    run_dagster_dev("powerca_sync.web", ["-w", str(WORKSPACE), *arguments])


if __name__ == "__main__":
    run(sys.argv[1:])
