"""Keep the demo's servers running for as long as the process that started this one: `python -m powerca_sync.demo &`.

Under Dagster, each run and each tick of the sensor would otherwise start and stop them; and a server started there as
root would be killed by the forks in a process that uses gRPC.
"""

import os
import time

from powerca_sync.demo import start_pair

if __name__ == "__main__":
    parent = os.getppid()
    start_pair()
    while os.getppid() == parent:
        time.sleep(1)
