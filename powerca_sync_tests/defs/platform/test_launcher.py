"""How it is noticed that a run has lost its process, where no code server can be asked.

One that can be asked is in `acceptance/test_production.py`.
"""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import grpc
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._grpc.__generated__.dagster_api_pb2_grpc import DagsterApiServicer, add_DagsterApiServicer_to_server

from powerca_sync.defs.platform import WatchedRunLauncher


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def launcher(instance: dg.DagsterInstance, *, patience: int) -> WatchedRunLauncher:
    made = WatchedRunLauncher(patience)
    made.register_instance(instance)
    return made


def run_of(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    @dg.job
    def nothing() -> None:
        """A run needs a job."""

    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)


@pytest.fixture
def silent() -> Iterator[dict[str, str]]:
    """The tag of a run whose code server does not answer: its port is taken by somebody who never speaks."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        yield {".dagster/grpc_info": json.dumps({"host": "127.0.0.1", "port": mute.getsockname()[1]})}


def test_a_code_server_that_is_being_replaced_is_given_time(
    instance: dg.DagsterInstance, silent: dict[str, str]
) -> None:
    patient = launcher(instance, patience=60)
    run = run_of(instance, **silent)
    assert patient.supports_check_run_worker_health
    assert [patient.check_run_worker_health(run).status for _ in range(2)] == [WorkerStatus.RUNNING] * 2


def test_the_runs_of_a_code_server_that_stays_away_are_given_up(
    instance: dg.DagsterInstance, silent: dict[str, str]
) -> None:
    health = launcher(instance, patience=0).check_run_worker_health(run_of(instance, **silent))
    assert health.status is WorkerStatus.NOT_FOUND
    assert "the code server has not answered for 0 s" in str(health)


def test_a_proxy_that_does_not_say_which_runs_it_has_is_believed_to_have_them(instance: dg.DagsterInstance) -> None:
    """The server of `dagster dev`; after a reload of the code it would deny runs that go on."""
    with ThreadPoolExecutor() as threads:
        proxy = grpc.server(threads)
        add_DagsterApiServicer_to_server(DagsterApiServicer(), proxy)
        port = proxy.add_insecure_port("127.0.0.1:0")
        proxy.start()
        try:
            tag = json.dumps({"host": "127.0.0.1", "port": port})
            run = run_of(instance, **{".dagster/grpc_info": tag})
            health = launcher(instance, patience=0).check_run_worker_health(run)
        finally:
            proxy.stop(None).wait()
    assert health.status is WorkerStatus.RUNNING


def test_a_run_of_the_command_line_is_left_alone(instance: dg.DagsterInstance) -> None:
    health = launcher(instance, patience=0).check_run_worker_health(run_of(instance))
    assert health.status is WorkerStatus.RUNNING
