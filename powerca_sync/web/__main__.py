"""Dagster's webserver with the guard: `python -m powerca_sync.web`, with the options of `dagster-webserver`."""

from typing import Any

from dagster_webserver import cli
from starlette.applications import Starlette

from powerca_sync.operations import WebAccess
from powerca_sync.web.guard import guard

#: Dagster's own, of which the command line asks for the application.
_create_app = cli.create_app_from_workspace_process_context  # type: ignore[attr-defined]


def create_guarded_app(*args: Any, **kwargs: Any) -> Starlette:
    """Return Dagster's application behind the guard."""
    return guard(_create_app(*args, **kwargs), WebAccess.from_env())


if __name__ == "__main__":
    # Dagster has no setting for middleware. A test asks a running webserver, in case the name ever moves.
    cli.create_app_from_workspace_process_context = create_guarded_app  # type: ignore[attr-defined]
    cli.main()  # type: ignore[no-untyped-call]
