"""Measure one run of a contender: seconds, processor time of all processes that took part, memory."""

import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.machines import Machines
from powerca_sync.specs import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of one run of a contender."""

    #: From its first statement to its last; a process's start and imports are not counted.
    seconds: float
    #: Processor time of the contender and of both servers.
    processor: float
    #: Seconds of the whole process, its start and imports included.
    process: float
    #: Peak memory above that of Python and its imports, in bytes.
    memory: float | None = None
    #: Write-ahead log of the target, in bytes.
    log: float = 0.0


def process(machines: Machines, run: Callable[[], None]) -> Cost:
    """Measures a contender that is a process of its own, its start included."""
    servers, own, began = machines.seconds(), _children_seconds(), time.monotonic()
    run()
    seconds = time.monotonic() - began
    processor = machines.seconds() - servers + _children_seconds() - own
    return Cost(seconds=seconds, process=seconds, processor=processor)


def child(machines: Machines, contender: str, spec: TableSpec, *, mode: str = "full") -> tuple[Cost, int]:
    """Runs `benchmarks.child`, a process of its own, so that the memory is this run's; returns its cost, without its
    start and imports, and the number of its statements.
    """
    where = [str(part) for end in (machines.desktop, machines.mobile) for part in (end.host, end.port, end.name)]
    command = [sys.executable, "-m", "benchmarks.child", contender, spec.mobile, spec.strategy, mode, *where]
    servers, began = machines.seconds(), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    whole = time.monotonic() - began
    document = json.loads(done.stdout)
    cost = Cost(
        seconds=document["seconds"],
        processor=machines.seconds() - servers + document["processor"],
        process=whole,
        memory=document["memory"],
    )
    return cost, document["statements"]


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
