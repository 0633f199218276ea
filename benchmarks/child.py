"""One sync in a process of its own, which reports its seconds and its memory as JSON."""

import json
import re
import resource
import sys
import time
from pathlib import Path

from benchmarks.guide import guide
from benchmarks.tables import big
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.requests import Mode, TableExtract
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy


def main() -> None:
    """Arguments: contender, table, strategy, mode, and host, port, name of source and target."""
    contender, table, strategy, mode, *where = sys.argv[1:]
    spec = big(table, Strategy(strategy))
    source, target = (
        Endpoint(side=side, host=host, port=int(port), name=name, user="postgres")
        for side, host, port, name in (("desktop", *where[:3]), ("mobile", *where[3:]))
    )
    imports = _peak()
    began = time.monotonic()
    phases = {}
    with connect(source) as from_source, connect(target) as to_target:
        if contender == "guide":
            guide(from_source, to_target, spec)
        else:
            result = sync_forward(
                TableExtract(spec=spec, mode=Mode(mode)), source=from_source, target=to_target, specs=(spec,)
            )
            phases = dict(result.seconds)
    document = {"seconds": time.monotonic() - began, "phases": phases, "memory": _peak() - imports}
    sys.stdout.write(json.dumps(document))


def _peak() -> int:
    """Returns bytes. Not `ru_maxrss`, which a new process inherits from its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


if __name__ == "__main__":
    main()
