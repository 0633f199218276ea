"""Detection of runs that have lost their process when no code server responds.

A code server that responds is tested in `acceptance/test_production.py`.
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


def create_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    @dg.job
    def empty_job() -> None:
        """A job, because a run needs one."""

    return instance.create_run_for_job(empty_job, status=dg.DagsterRunStatus.STARTED, tags=tags)


@pytest.fixture
def silent() -> Iterator[dict[str, str]]:
    """Returns the tag of a run whose code server does not respond: a silent program listens on its port."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        yield {".dagster/grpc_info": json.dumps({"host": "127.0.0.1", "port": mute.getsockname()[1]})}


def test_restarting_code_server_is_given_time(instance: dg.DagsterInstance, silent: dict[str, str]) -> None:
    patient = launcher(instance, patience=60)
    run = create_run(instance, **silent)
    assert patient.supports_check_run_worker_health
    assert [patient.check_run_worker_health(run).status for _ in range(2)] == [WorkerStatus.RUNNING] * 2


def test_runs_of_an_absent_code_server_fail(instance: dg.DagsterInstance, silent: dict[str, str]) -> None:
    health = launcher(instance, patience=0).check_run_worker_health(create_run(instance, **silent))
    assert health.status is WorkerStatus.NOT_FOUND
    assert "the code server has not answered for 0 s" in str(health)


def test_runs_of_a_proxy_without_a_run_list_are_kept(instance: dg.DagsterInstance) -> None:
    """The server of `dagster dev` would deny live runs after a reload of the code."""
    with ThreadPoolExecutor() as threads:
        proxy = grpc.server(threads)
        add_DagsterApiServicer_to_server(DagsterApiServicer(), proxy)
        port = proxy.add_insecure_port("127.0.0.1:0")
        proxy.start()
        try:
            tag = json.dumps({"host": "127.0.0.1", "port": port})
            run = create_run(instance, **{".dagster/grpc_info": tag})
            health = launcher(instance, patience=0).check_run_worker_health(run)
        finally:
            proxy.stop(None).wait()
    assert health.status is WorkerStatus.RUNNING


def test_run_of_the_command_line_is_left_alone(instance: dg.DagsterInstance) -> None:
    health = launcher(instance, patience=0).check_run_worker_health(create_run(instance))
    assert health.status is WorkerStatus.RUNNING
