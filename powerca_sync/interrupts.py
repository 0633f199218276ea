"""Ctrl-C, termination and a lost terminal: one interrupt for the program, and the signal that caused it."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

#: Signals that end a command in an orderly way. Windows sends SIGBREAK instead of SIGTERM.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


class NotedSignals:
    """Remembers which of the ending signals arrived first."""

    def __init__(self, reader: socket.socket | None) -> None:
        self._reader = reader
        self._first: int = signal.SIGINT

    @property
    def exit_status(self) -> int:
        """128 plus the number of the signal, as shells report it: 130 for Ctrl-C, 143 for SIGTERM."""
        if self._reader is not None:
            with contextlib.suppress(BlockingIOError):
                arrived = [number for number in self._reader.recv(64) if number in ENDING]
                self._first = next(iter(arrived), self._first)
        return 128 + self._first


@contextlib.contextmanager
def note_signals() -> Iterator[NotedSignals]:
    """Turn the ending signals into `KeyboardInterrupt`, note which one it was, and survive the loss of the terminal.

    Dagster replaces the handlers while a run executes and does not tell the signals apart; the wakeup file descriptor
    sees them whoever handles them. Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield NotedSignals(None)
        return
    reader, writer = socket.socketpair()
    before = {number: signal.getsignal(number) for number in ENDING}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN) if hasattr(signal, "SIGHUP") else None
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, signal.default_int_handler)
        try:
            yield NotedSignals(reader)
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            if hasattr(signal, "SIGHUP"):
                signal.signal(signal.SIGHUP, hangup)
