"""The values for Dagster's Helm chart and the page about them, without a cluster."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator

from powerca_sync_tests.acceptance import chart
from powerca_sync_tests.acceptance.compose import PROJECT, services

PAGE = (PROJECT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
OURS: dict[str, Any] = yaml.safe_load((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
#: Settings that are others in a cluster.
CLUSTER = {
    "concurrency": {"runs": {"max_concurrent_runs": 20}},
    "run_monitoring": {"start_timeout_seconds": 300, "poll_interval_seconds": 60},
    "sensors": {"num_workers": 8, "num_submit_workers": 8},
    "schedules": {"num_submit_workers": 4},
    "retention": {
        "sensor": {"purge_after_days": {"started": 7}},
        "auto_materialize": {"purge_after_days": {"failure": -1, "skipped": 7, "started": -1, "success": -1}},
    },
}


@pytest.fixture
def settings() -> dict[str, Any]:
    return chart.dagster_yaml(chart.values())


def code_server() -> dict[str, Any]:
    (deployment,) = chart.values()["dagster-user-deployments"]["deployments"]
    return dict(deployment)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Returns both, deeply; values of the second win."""
    both = {
        key: merged(first[key], second[key]) for key in first.keys() & second.keys() if isinstance(first[key], dict)
    }
    return {**first, **second, **both}


def test_dagster_accepts_the_instance_settings_of_the_chart(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(chart.PASSWORD, "secret")
    chart.write(settings, tmp_path)
    checked, _ = dagster_instance_config(str(tmp_path))
    assert checked["run_retries"] == {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    reference = InstanceRef.from_dir(str(tmp_path))
    assert reference.run_coordinator_data
    coordinator = reference.run_coordinator_data.rehydrate()
    assert isinstance(coordinator, QueuedRunCoordinator)
    # Otherwise each launch would wait until the process of the run before it has started.
    assert coordinator.dequeue_use_threads
    assert coordinator.dequeue_num_workers == 4
    chart.write({**settings, "run_monitoring": {"enabled": True, "max_runtime": 1}}, tmp_path)
    with pytest.raises(Exception, match="max_runtime"):
        dagster_instance_config(str(tmp_path))


def test_instance_settings_are_those_of_the_project(settings: dict[str, Any]) -> None:
    # Where processes of one machine are launched, and where records are.
    local = {"storage", "run_launcher"}
    expected = merged({name: block for name, block in OURS.items() if name not in local}, CLUSTER)
    assert {name: settings[name] for name in expected} == expected
    assert settings.keys() - expected.keys() == {
        "scheduler",
        "schedule_storage",
        "run_storage",
        "event_log_storage",
        "run_launcher",
        "compute_logs",
    }


def test_run_launcher_of_the_cluster_can_be_constructed(settings: dict[str, Any], tmp_path: Path) -> None:
    dagster_k8s = pytest.importorskip("dagster_k8s", reason="the extra `k8s` is not installed")
    # Outside of a cluster it cannot be loaded from it.
    settings["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(_kubeconfig(tmp_path)),
    }
    chart.write(settings, tmp_path)
    reference = InstanceRef.from_dir(str(tmp_path))
    assert reference.run_launcher_data
    launcher = reference.run_launcher_data.rehydrate()
    assert isinstance(launcher, dagster_k8s.K8sRunLauncher)
    assert launcher.supports_check_run_worker_health
    deployment = code_server()
    context = launcher.get_container_context_for_run(_run(deployment))
    image = "{repository}:{tag}".format_map(deployment["image"])
    job = dagster_k8s.job.construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(image, launcher),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    pod = job.spec.template.spec
    (container,) = pod.containers
    assert (container.image, job.spec.ttl_seconds_after_finished) == (image, 600)
    assert {volume.name: volume.secret.secret_name for volume in pod.volumes} == {
        volume["name"]: volume["secret"]["secretName"] for volume in deployment["volumes"]
    }
    assert {mount.name: mount.mount_path for mount in container.volume_mounts} == {
        mount["name"]: mount["mountPath"] for mount in deployment["volumeMounts"]
    }
    names = {variable["name"] for variable in deployment["env"]} | {chart.PASSWORD, "DAGSTER_HOME"}
    assert {variable.name for variable in container.env} == names
    secrets = {source.secret_ref.name for source in container.env_from if source.secret_ref}
    assert secrets == {secret["name"] for secret in deployment["envSecrets"]}
    assert container.resources.to_dict()["requests"] == deployment["resources"]["requests"]
    assert pod.security_context.run_as_user == deployment["podSecurityContext"]["runAsUser"]


def _run(deployment: dict[str, Any]) -> dg.DagsterRun:
    """Returns a run of the code server of that deployment."""
    repository = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("powerca_sync.definitions", "defs"),
        entry_point=["dagster"],
        container_context={"k8s": chart.container_context(deployment)},
    )
    return dg.DagsterRun(job_name="forward_full", job_code_origin=JobPythonOrigin("forward_full", repository))


def _kubeconfig(folder: Path) -> Path:
    """Writes the configuration of a client; nothing is asked of the cluster."""
    document = {
        "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "only", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "only",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_values_have_no_keys_that_the_chart_does_not_know() -> None:
    for path, known in chart.KEYS.items():
        block: Any = chart.values()
        for key in filter(None, path.split(".")):
            block = block[key]
        for one in block if isinstance(block, list) else [block]:
            assert one.keys() <= known, path
    # A run has the resources of its code server, whatever the launcher says.
    assert "containerConfig" not in chart.values()["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]


def test_values_name_nothing_for_processes_of_one_machine() -> None:
    text = re.sub(r"#.*", "", (chart.FOLDER / "values.yaml").read_text(encoding="utf-8"))
    assert "powerca_sync.defs" not in text
    assert OURS["run_launcher"]["class"] not in text
    assert OURS["storage"]["custom"]["class"] not in text
    # SQLAlchemy 2.1 takes another driver for a plain one.
    assert chart.values()["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert "password:" not in text.lower().replace("postgresql-password", "")


def test_code_server_finds_the_offices_where_they_are_mounted() -> None:
    deployment = code_server()
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in deployment["volumeMounts"]}
    assert not any("subPath" in mount for mount in deployment["volumeMounts"]), "changes would need a restart"
    environment = {one["name"]: one.get("value") for one in deployment["env"]}
    assert Path(environment["POWERCA_OFFICES"]).parent == mounts["offices"]
    (written,) = re.findall(r'password_file = "(.*?)/rao"', PAGE)
    assert (mounts["offices"] / written).resolve() == mounts["passwords"]
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}
    # The same as on one machine.
    command = services()["code"]["command"]
    assert deployment["dagsterApiGrpcArgs"] == command[command.index("-m") :]
    assert str(deployment["port"]) in command
    home = re.findall(r"DAGSTER_HOME=(\S+)", (PROJECT / "Dockerfile").read_text(encoding="utf-8"))
    assert [chart.values()["global"]["dagsterHome"]] == home


def test_page_creates_every_secret_and_config_map_that_is_used() -> None:
    created = set(re.findall(r"kubectl create (?:configmap|secret generic) (\S+)", PAGE))
    # The chart makes these.
    made = {"dagster-instance", "dagster-workspace-yaml"}
    text = json.dumps([chart.values(), *chart.manifests()])
    used = set(re.findall(r'"(?:configMap|secretKeyRef|secretRef)": \{"name": "(.*?)"', text))
    used |= set(re.findall(r'"(?:secretName|postgresqlSecretName)": "(.*?)"', text))
    used |= {secret["name"] for secret in code_server()["envSecrets"]}
    assert used == created | made


def test_ui_of_the_cluster_is_guarded_and_has_the_image_of_the_others() -> None:
    given, (deployment, service) = chart.values(), chart.manifests()
    assert given["dagsterWebserver"]["replicaCount"] == 0
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    here = services()["webserver"]
    assert container["command"][:3] == here["command"][:3] == ["python", "-m", "powerca_sync.web"]
    assert container["readinessProbe"]["exec"]["command"] == here["healthcheck"]["test"][1:]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["instance"]["mountPath"] == f"{given['global']['dagsterHome']}/dagster.yaml"
    assert container["command"][-1] == f"{mounts['workspace']['mountPath']}/workspace.yaml"
    image = code_server()["image"]
    assert container["image"] == f"{image['repository']}:{image['tag']}"
    assert given["dagsterDaemon"]["image"] == given["dagsterWebserver"]["image"] == image
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_extra_of_the_cluster_is_pinned_and_installed_on_request_only() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = project["optional-dependencies"]["k8s"]
    (postgres,) = (one for one in project["dependencies"] if one.startswith("dagster-postgres"))
    assert wanted.removeprefix("dagster-k8s") == postgres.removeprefix("dagster-postgres")
    assert not any("k8s" in one for one in (*project["dependencies"], *project["optional-dependencies"]["dev"]))
    assert "k8s" not in (PROJECT / "Makefile").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (PROJECT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert pins["dagster-k8s"] == pins["dagster-postgres"]
    assert set(re.findall(r"--version (\S+)", PAGE)) == {pins["dagster"]}, "the chart's version is Dagster's"
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert 'ARG EXTRAS=""' in dockerfile
    (what,) = re.findall(r'-c constraints.txt ("\S+")', dockerfile)
    for extras, package in (("", "."), ("k8s", ".[k8s]")):
        said = subprocess.run(
            ["sh", "-c", f"printf %s {what}"], env={"EXTRAS": extras}, capture_output=True, check=True
        )
        assert said.stdout.decode() == package
    assert "--build-arg EXTRAS=k8s" in PAGE
