"""Several offices under Dagster's daemon, from their entries in the file to their rows on mobile."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync.defs.partitions import OFFICE
from powerca_sync_tests.acceptance.compose import PROJECT
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company
from powerca_sync_tests.helpers import wait_until

pytestmark = pytest.mark.long


def test_offices_of_the_file_are_loaded_under_the_daemon(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    # The storage of `dagster.yaml` lies below it, in this process too.
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)])}
    command = [
        sys.executable,
        "-m",
        "dagster._daemon",
        "run",
        "-m",
        "powerca_sync_tests.defs.offices.daemon_definitions",
    ]
    with (home / "log").open("w") as log:
        daemon = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(
            company.mobile,
            "(SELECT count(*) = 120 FROM staff)",
            unless=lambda: daemon.poll() is not None,
            seconds=400,
        )
        with dg.DagsterInstance.from_config(str(home)) as instance:
            assert set(instance.get_dynamic_partitions(OFFICE)) == {DEAD, *NUMBERS}
            runs = instance.get_runs(dg.RunsFilter(job_name="forward_full"))
        assert daemon.poll() is None, (home / "log").read_text()
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(60)
    assert Counter(run.tags["dagster/partition"] for run in runs) == Counter([DEAD, *NUMBERS])
    for office in NUMBERS:
        assert company.mobile_rows(office) == company.desktop_rows(office)
