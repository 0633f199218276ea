"""One sync in a process of its own, which reports its seconds, processor time and memory as JSON."""

import json
import re
import resource
import sys
import time
from pathlib import Path

from benchmarks.guide import guide
from benchmarks.reverse import DIARY, count_statements
from benchmarks.tables import big
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy


def main() -> None:
    """Arguments: contender, table, strategy, mode, and host, port, name of desktop and mobile."""
    contender, table, strategy, mode, *where = sys.argv[1:]
    spec = big(table, Strategy(strategy))
    desktop, mobile = (
        Endpoint(side=side, host=host, port=int(port), name=name, user="postgres")
        for side, host, port, name in (("desktop", *where[:3]), ("mobile", *where[3:]))
    )
    imports, used, began = _peak(), time.process_time(), time.monotonic()
    statements = 0
    with connect(desktop) as to_desktop, connect(mobile) as to_mobile:
        if contender == "guide":
            guide(to_desktop, to_mobile, spec)
        elif contender == "reverse":
            with count_statements(to_desktop, to_mobile) as sent:
                sync_reverse(TablePull(spec=DIARY), source=to_mobile, target=to_desktop, specs=[DIARY])
            statements = sent()
        else:
            sync_forward(TableExtract(spec=spec, mode=Mode(mode)), source=to_desktop, target=to_mobile, specs=(spec,))
    document = {
        "seconds": time.monotonic() - began,
        "processor": time.process_time() - used,
        "statements": statements,
        "memory": _peak() - imports,
    }
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
