"""The run launcher, which detects runs that have lost their process; `dagster.yaml` names the class.

Runs are processes beside the code server, as with Dagster's own launcher. But that one cannot say whether a run is
alive, so that after a crash of the code server its runs would keep their places in the queue for the two hours of
`dagster/max_runtime`. What is to be done with a run that has none is the business of Dagster's run monitoring.
"""

import time
from collections.abc import Mapping
from typing import Any, Self

import dagster as dg

# Private, but there is no other way to answer Dagster's run monitoring.
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import ConfigurableClassData, deserialize_value
from typing_extensions import override


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's own launcher, which also asks the code server whether it still has the process of a run."""

    def __init__(self, patience: int, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._patience = patience
        #: Since when the code server of a run has not answered.
        self._silent_since: dict[str, float] = {}

    @override
    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Returns the options that `dagster.yaml` may set."""
        return {
            "patience_seconds": dg.Field(
                int, default_value=120, description="How long a code server may be silent before its runs are given up."
            )
        }

    @override
    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """The launcher as `dagster.yaml` wants it."""
        return cls(config_value["patience_seconds"], inst_data)

    @override
    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: that is what it is for."""
        return True

    @override
    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is there; a run of the command line, which no server has, counts as there.

        A code server that is silent is given time: it may be replaced while its last runs end. One that answers and
        does not know the run has been started after the run.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            known = deserialize_value(client.get_current_runs(), GetCurrentRunsResult).current_runs
        except DagsterUserCodeUnreachableError as exc:
            if "UNIMPLEMENTED" in str(exc):
                # The proxy of `dagster dev`, which keeps runs across a reload of the code, but does not say which.
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            now = time.monotonic()
            silent = now - self._silent_since.setdefault(run.run_id, now)
            if silent < self._patience:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"the code server has not answered for {silent:.0f} s")
        self._silent_since.pop(run.run_id, None)
        if run.run_id in known:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server no longer has its process")
