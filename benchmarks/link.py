"""A network connection between two machines, simulated on this one: a proxy with latency and limited bandwidth.

A process of its own, so that its cost is not counted as the sync's: `python -m benchmarks.link HOST PORT` prints the
port at which it listens on the loopback address. It ends with its standard input.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from powerca_sync.settings import Endpoint

#: Bytes read at a time: at 20 Mbit/s, 6 ms of transmission.
BLOCK = 16 * 1024
#: Seconds of a round trip, and bits a second in either direction.
LATENCY, BITS = 0.03, 20e6


class Link:
    """The state shared by all connections: the bandwidth, and the transferred bytes."""

    def __init__(self, host: str, port: int, *, seconds: float, bits: float) -> None:
        self.host, self.port = host, port
        self.delay = seconds / 2
        self.bytes_a_second = bits / 8
        #: When the link is free again, by direction.
        self.free = {"up": 0.0, "down": 0.0}
        self.transferred = {"up": 0, "down": 0}
        #: The number of responses of the server.
        self.round_trips = 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join one client with the server until either leaves; or, asked for a report, give it."""
        if self.host.startswith("/"):
            to_server = await asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.port}")
        else:
            to_server = await asyncio.open_connection(self.host, self.port)
        asked = asyncio.Event()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._pass(reader, to_server[1], "up", asked), self._pass(to_server[0], writer, "down", asked)
            )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str, asked: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(maxsize=64)

        async def deliver() -> None:
            while (item := await waiting.get()) is not None:
                due, block = item
                await asyncio.sleep(max(0.0, due - loop.time()))
                writer.write(block)
                await writer.drain()
            writer.close()

        delivery = asyncio.create_task(deliver())
        while block := await reader.read(BLOCK):
            self.transferred[way] += len(block)
            if way == "up":
                asked.set()
            elif asked.is_set():
                asked.clear()
                self.round_trips += 1
            self.free[way] = max(self.free[way], loop.time()) + len(block) / self.bytes_a_second
            await waiting.put((self.free[way] + self.delay, block))
        await waiting.put(None)
        await delivery


@contextlib.contextmanager
def simulate_link(endpoint: Endpoint, *, seconds: float = LATENCY, bits: float = BITS) -> Iterator["Line"]:
    """Yields the endpoint behind a link with that round-trip time and that many bits a second in either direction."""
    command = [sys.executable, "-m", "benchmarks.link", endpoint.host, str(endpoint.port), str(seconds), str(bits)]
    checkout = Path(__file__).parents[1]  # `-m` finds the module from there, wherever the benchmark works
    with subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = Line(process, endpoint)
        try:
            yield line
        finally:
            process.stdin.close()
            process.wait(10)


class Line:
    """The near end of a link."""

    def __init__(self, process: "subprocess.Popen[str]", endpoint: Endpoint) -> None:
        self._process = process
        assert process.stdout is not None
        self.endpoint = dataclasses.replace(endpoint, host="127.0.0.1", port=int(process.stdout.readline()))

    def transferred(self) -> tuple[int, int]:
        """Returns the bytes transferred so far, in both directions; and the round trips."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        octets, round_trips = json.loads(self._process.stdout.readline())
        return octets, round_trips


async def main() -> None:
    """Serves until standard input ends; prints the transferred bytes for each line read there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float, nargs="?", default=LATENCY)
    parser.add_argument("bits", type=float, nargs="?", default=BITS)
    arguments = parser.parse_args()
    link = Link(arguments.host, arguments.port, seconds=arguments.seconds, bits=arguments.bits)
    server = await asyncio.start_server(link.connect, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps([sum(link.transferred.values()), link.round_trips]) + "\n")
        sys.stdout.flush()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
