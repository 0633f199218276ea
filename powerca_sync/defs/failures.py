"""Retries of transient errors by Dagster."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Final

import dagster as dg

from powerca_sync.engine.postgres import strip_row_content
from powerca_sync.engine.requests import Allowances
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import in_lines

#: Metadata of a failure: the name of the error's class.
ERROR = "error"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Retries:
    """Number of retries of a table, and the delay before each."""

    most: int = 2
    #: Seconds. The engine itself has already waited for locks.
    wait: float = 20
    #: Messages name the switches of the command, not the settings of the launchpad.
    in_command: bool = False


#: The command's switches, and the settings of the launchpad that do the same.
_SWITCHES: Final = {
    **{
        f"--{field.name.replace('_', '-')}": f"{field.name}: true` of the resource `sync"
        for field in dataclasses.fields(Allowances)
    },
    "--adopt-lookalikes": "lookalikes: adopt` of the resource `pull",
    "--pull-lookalikes": "lookalikes: pull` of the resource `pull",
}


def name_launchpad_switches(text: str) -> str:
    """Returns a message of the engine, which names switches of the command, with the settings of the launchpad."""
    for switch, setting in _SWITCHES.items():
        text = text.replace(f"`{switch}`", f"`{setting}` in the launchpad")
    return text


@contextlib.contextmanager
def retry_transient_errors(retries: Retries) -> Iterator[None]:
    """Retry the step after a retryable error; fail it without retries after any other.

    What Dagster keeps is the error's own message, and the name of its class as metadata. This is not a `RetryPolicy` of
    the asset, because under one Dagster also tries a step again that somebody has interrupted, so that neither Ctrl-C
    nor the UI's Terminate would end a run.
    """
    try:
        yield
    except Exception as exc:
        strip_row_content(exc)
        message = str(exc) if retries.in_command else name_launchpad_switches(str(exc))
        failure = dg.Failure(
            description=in_lines(message or repr(exc)), metadata={ERROR: type(exc).__name__}, allow_retries=False
        )
        retryable = getattr(exc, "retryable", False)
        if isinstance(exc, SyncError) and not retryable:
            # The message says it all; a second stack trace would hide it.
            raise failure from None
        failure.__cause__ = exc
        if retryable:
            raise dg.RetryRequested(max_retries=retries.most, seconds_to_wait=retries.wait) from failure
        raise failure from exc
