"""Render the values in `deploy/helm/` as Dagster's Helm chart does, as far as the tests need it.

Not the chart: its templates are Dagster's. The names and the rules are those of chart 1.13, whose
templates gave the same.
"""

from pathlib import Path
from typing import Any

import yaml

from powerca_sync_tests.acceptance.compose import PROJECT

FOLDER = PROJECT / "deploy" / "helm"
#: The environment variable with the password of Dagster's PostgreSQL, which the chart sets in every pod.
PASSWORD = "DAGSTER_PG_PASSWORD"
#: The keys of the chart's values, of the blocks that we use. The chart ignores others, or refuses them.
KEYS = {
    "": {
        "additionalInstanceConfig",
        "computeLogManager",
        "dagster-user-deployments",
        "dagsterDaemon",
        "dagsterWebserver",
        "generatePostgresqlPasswordSecret",
        "global",
        "postgresql",
        "pythonLogs",
        "rabbitmq",
        "redis",
        "retention",
        "runLauncher",
        "telemetry",
    },
    "global": {"dagsterHome", "postgresqlSecretName", "serviceAccountName", "celeryConfigSecretName"},
    "postgresql": {
        "enabled",
        "image",
        "postgresqlDatabase",
        "postgresqlHost",
        "postgresqlParams",
        "postgresqlScheme",
        "postgresqlUsername",
        "service",
    },
    "dagster-user-deployments": {"deployments", "enableSubchart", "enabled", "imagePullSecrets"},
    "dagster-user-deployments.deployments": {
        "dagsterApiGrpcArgs",
        "env",
        "envSecrets",
        "image",
        "includeConfigInLaunchedRuns",
        "name",
        "podSecurityContext",
        "port",
        "resources",
        "volumeMounts",
        "volumes",
    },
    "dagsterWebserver": {"image", "replicaCount"},
    "dagsterDaemon": {
        "enabled",
        "image",
        "podSecurityContext",
        "resources",
        "runCoordinator",
        "runMonitoring",
        "runRetries",
        "schedules",
        "sensors",
    },
    "dagsterDaemon.runCoordinator": {"config", "enabled", "type"},
    "dagsterDaemon.runCoordinator.config": {"customRunCoordinator", "queuedRunCoordinator"},
    "dagsterDaemon.runCoordinator.config.customRunCoordinator": {"class", "config", "module"},
    "dagsterDaemon.sensors": {"numSubmitWorkers", "numWorkers", "useThreads"},
    "dagsterDaemon.schedules": {"numSubmitWorkers", "numWorkers", "useThreads"},
    "runLauncher": {"config", "type"},
    "runLauncher.config": {"k8sRunLauncher"},
    "runLauncher.config.k8sRunLauncher": {"imagePullPolicy", "jobNamespace", "runK8sConfig"},
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {"containerConfig", "jobSpecConfig", "podSpecConfig"},
    "retention": {"enabled", "schedule", "sensor"},
}


def values() -> dict[str, Any]:
    """Returns the values."""
    return dict(yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8")))


def manifests() -> list[dict[str, Any]]:
    """Returns the manifests of the UI."""
    return list(yaml.safe_load_all((FOLDER / "ui.yaml").read_text(encoding="utf-8")))


def dagster_yaml(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the instance settings that the chart writes."""
    daemon, launcher = given["dagsterDaemon"], given["runLauncher"]
    # The chart writes these blocks unless they are off.
    assert not any(daemon[block]["enabled"] for block in ("runMonitoring", "runRetries"))
    # Without a coordinator it writes one that has no queue.
    coordinator = daemon["runCoordinator"]
    assert (coordinator["enabled"], coordinator["type"]) == (True, "CustomRunCoordinator")
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
        "run_coordinator": coordinator["config"]["customRunCoordinator"],
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
        "python_logs": {
            "python_log_level": given["pythonLogs"]["pythonLogLevel"],
            "managed_python_loggers": given["pythonLogs"]["managedPythonLoggers"],
        },
        "sensors": _workers(daemon["sensors"]),
        "schedules": _workers(daemon["schedules"]),
        "telemetry": {"enabled": given["telemetry"]["enabled"]},
        "retention": {
            **{
                kind: {"purge_after_days": given["retention"][kind]["purgeAfterDays"]}
                for kind in ("sensor", "schedule")
            },
            # The chart's default.
            "auto_materialize": {"purge_after_days": {"failure": -1, "skipped": 7, "started": -1, "success": -1}},
        },
    }
    added = given["additionalInstanceConfig"]
    # They would be written twice.
    assert not written.keys() & added.keys()
    return {**written, **added}


def container_context(deployment: dict[str, Any]) -> dict[str, Any]:
    """Returns what the chart has the code server say of the pods of its runs."""
    return {
        "env": deployment["env"],
        "env_config_maps": [f"dagster-dagster-user-deployments-{deployment['name']}-user-env"],
        "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
        "image_pull_policy": deployment["image"]["pullPolicy"],
        "namespace": "powerca",
        "resources": deployment["resources"],
        "run_k8s_config": {
            "pod_spec_config": {
                "automount_service_account_token": True,
                "security_context": deployment["podSecurityContext"],
            }
        },
        "service_account_name": "dagster-dagster-user-deployments-user-deployments",
        "volumes": deployment["volumes"],
        "volume_mounts": deployment["volumeMounts"],
    }


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
