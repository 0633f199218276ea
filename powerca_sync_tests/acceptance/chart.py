"""Render the values in `deploy/helm/` as Dagster's Helm chart does, as far as the tests need it.

Not the chart: its templates are Dagster's. The names and the rules are those of chart 1.13.
"""

from pathlib import Path
from typing import Any

import yaml

from powerca_sync_tests.acceptance.compose import PROJECT

FOLDER = PROJECT / "deploy" / "helm"
#: The environment variable with the password of Dagster's PostgreSQL, which the chart sets in every pod.
PASSWORD = "DAGSTER_PG_PASSWORD"


def values() -> dict[str, Any]:
    """Returns the values."""
    return dict(yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8")))


def manifests() -> list[dict[str, Any]]:
    """Returns the manifests of the UI."""
    return list(yaml.safe_load_all((FOLDER / "ui.yaml").read_text(encoding="utf-8")))


def dagster_yaml(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the instance settings that the chart writes."""
    daemon, launcher = given["dagsterDaemon"], given["runLauncher"]
    # The chart writes these blocks, with few settings, unless they are off.
    assert not any(daemon[block]["enabled"] for block in ("runCoordinator", "runMonitoring", "runRetries"))
    assert launcher["type"] == "K8sRunLauncher"
    assert given["computeLogManager"] == {"type": "NoOpComputeLogManager"}
    run_config = launcher["config"]["k8sRunLauncher"]["runK8sConfig"]
    names = {
        "containerConfig": "container_config",
        "podSpecConfig": "pod_spec_config",
        "jobSpecConfig": "job_spec_config",
    }
    written = {
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        **{
            storage: {"module": f"dagster_postgres.{module}", "class": name, "config": _postgres(given["postgresql"])}
            for storage, module, name in (
                ("schedule_storage", "schedule_storage", "PostgresScheduleStorage"),
                ("run_storage", "run_storage", "PostgresRunStorage"),
                ("event_log_storage", "event_log", "PostgresEventLogStorage"),
            )
        },
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": {
                "load_incluster_config": True,
                "job_namespace": "powerca",
                "image_pull_policy": launcher["config"]["k8sRunLauncher"]["imagePullPolicy"],
                "service_account_name": "dagster",
                "dagster_home": given["global"]["dagsterHome"],
                "instance_config_map": "dagster-instance",
                "postgres_password_secret": given["global"]["postgresqlSecretName"],
                "run_k8s_config": {names[name]: config for name, config in run_config.items()},
            },
        },
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
        "python_logs": {
            "python_log_level": given["pythonLogs"]["pythonLogLevel"],
            "managed_python_loggers": given["pythonLogs"]["managedPythonLoggers"],
        },
        "sensors": _workers(daemon["sensors"]),
        "schedules": _workers(daemon["schedules"]),
        "telemetry": {"enabled": given["telemetry"]["enabled"]},
        "retention": {
            kind: {"purge_after_days": given["retention"][kind]["purgeAfterDays"]} for kind in ("sensor", "schedule")
        },
    }
    added = given["additionalInstanceConfig"]
    # They would be written twice.
    assert not written.keys() & added.keys()
    return {**written, **added}


def _postgres(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "postgres_db": {
            "username": given["postgresqlUsername"],
            "password": {"env": PASSWORD},
            "hostname": given["postgresqlHost"],
            "db_name": given["postgresqlDatabase"],
            "port": 5432,
            "params": {},
            "scheme": given["postgresqlScheme"],
        }
    }


def _workers(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "use_threads": given["useThreads"],
        "num_workers": given["numWorkers"],
        "num_submit_workers": given["numSubmitWorkers"],
    }


def write(settings: dict[str, Any], home: Path) -> None:
    """Writes the instance settings to a folder, as the chart's ConfigMap is mounted."""
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
