"""The definitions as Dagster sees them, before anything runs."""

import dataclasses
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync.definitions import defs
from powerca_sync.defs import build_definitions
from powerca_sync.defs.runs.in_process import CODE_LOCATION
from powerca_sync.tables import TABLES
from powerca_sync.web import dev
from powerca_sync_tests.defs.office import SPECS


def expected_graph() -> set[str]:
    """Returns one line for each asset of the specs: its key, its group and its parents."""
    lines = {"status_report (reports)"}
    for spec in TABLES:
        lines.add(f"desktop/{spec.desktop} (desktop)")
        lines.add(
            f"{spec.mobile} ({spec.category}): {', '.join(sorted((f'desktop/{spec.desktop}', *spec.depends_on)))}"
        )
        parents = ", ".join(sorted((spec.mobile, *(f"reverse/{name}" for name in spec.depends_on))))
        lines.add(f"reverse/{spec.mobile} (reverse): {parents}")
    return lines


def test_graph_of_the_assets_follows_the_specs() -> None:
    lines = []
    for node in defs.resolve_asset_graph().asset_nodes:
        parents = ", ".join(sorted(key.to_user_string() for key in node.parent_keys))
        lines.append(f"{node.key.to_user_string()} ({node.group_name}){': ' if parents else ''}{parents}")
    assert len(lines) == 3 * len(TABLES) + 1
    assert set(lines) == expected_graph()


def test_definitions_load_with_an_empty_environment(tmp_path) -> None:
    code = "import dagster as dg; from powerca_sync.definitions import defs; dg.Definitions.validate_loadable(defs)"
    path = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=path, cwd=tmp_path, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_of_offices_nothing_is_partitioned() -> None:
    graph = defs.resolve_asset_graph()
    keys = [*graph.get_all_asset_keys(), *graph.asset_check_keys]
    assert [key for key in keys if graph.get(key).partitions_def] == []
    found = defs.get_repository_def()
    assert {sensor.name for sensor in found.sensor_defs} == {
        "mobile_rows",
        "desktop_rows",
        "follow_up",
        "first_report",
        "alerts",
    }
    assert len(found.schedule_defs) == 6


def test_module_in_the_folder_of_additions_is_loaded(tmp_path) -> None:
    package = shutil.copytree(Path(__file__).parents[2] / "powerca_sync", tmp_path / "powerca_sync")
    (package / "additions" / "mine.py").write_text("import dagster as dg\n@dg.asset\ndef mine(): ...\n")
    code = "from powerca_sync.definitions import defs; print(defs.resolve_asset_graph().get_all_asset_keys())"
    path = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=path, cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True)
    assert "AssetKey(['mine'])" in done.stdout
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["dg"]["project"]["defs_module"] == "powerca_sync.additions"


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_each_mode_has_a_job_over_all_mobile_tables_in_one_process(mode: str) -> None:
    job = defs.resolve_job_def(f"forward_{mode}")
    assert job.asset_layer.executable_asset_keys == {dg.AssetKey(spec.mobile) for spec in TABLES}
    options = {
        resource: {
            name: field.default_value
            for name, field in job.resource_defs[resource].config_schema.config_type.fields.items()
        }
        for resource in ("sync", "io_manager")
    }
    options["sync"]["mode"] = mode
    assert job.run_config == {"resources": {name: {"config": values} for name, values in options.items()}}
    assert job.executor_def is dg.in_process_executor
    assert job.tags["dagster/max_runtime"] == "7200"


def test_reverse_job_has_all_reverse_assets_in_one_process() -> None:
    job = defs.resolve_job_def("reverse")
    assert job.asset_layer.executable_asset_keys == {dg.AssetKey(["reverse", spec.mobile]) for spec in TABLES}
    assert job.executor_def is dg.in_process_executor
    assert job.tags["dagster/max_runtime"] == "1800"
    assert job.tags["direction"] == "reverse"


def test_reverse_job_has_its_fields_in_the_launchpad() -> None:
    job = defs.resolve_job_def("reverse")
    fields = job.resource_defs["pull"].config_schema.config_type.fields
    assert {name: field.default_value for name, field in fields.items()} == {"again": False, "lookalikes": "hold"}
    assert fields["again"].description
    assert job.run_config["resources"]["pull"] == {"config": {"again": False, "lookalikes": "hold"}}
    assert job.run_config["resources"]["desktop_io_manager"]["config"]["retries"] == 2


def test_sensor_runs_by_default_and_has_a_description() -> None:
    sensor = defs.get_repository_def().get_sensor_def("mobile_rows")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30
    assert sensor.job_name == "reverse"
    assert "new phone rows" in sensor.description


def test_table_without_reverse_sync_has_no_reverse_asset() -> None:
    one_way = [dataclasses.replace(spec, reverse=False) if spec.mobile == "orgs" else spec for spec in SPECS]
    graph = build_definitions(one_way).resolve_asset_graph()
    assert not graph.has(dg.AssetKey(["reverse", "orgs"]))
    assert graph.get(dg.AssetKey(["reverse", "staff"])).parent_keys == {
        dg.AssetKey("staff"),
        dg.AssetKey(["reverse", "departments"]),
    }


def test_without_reverse_tables_there_is_no_job_and_no_sensor() -> None:
    one_way = [dataclasses.replace(spec, reverse=False) for spec in SPECS]
    repository = build_definitions(one_way).get_repository_def()
    assert not repository.has_job("reverse")
    assert not repository.has_sensor_def("mobile_rows")


def test_launchpad_has_fields_for_mode_guard_and_commit_check() -> None:
    schema = defs.resolve_job_def("forward_full").resource_defs["sync"].config_schema.config_type
    fields = {name: field.default_value for name, field in schema.fields.items()}
    assert fields == {
        "mode": "full",
        "allow_mass_delete": False,
        "allow_mass_insert": False,
        "allow_emptied": False,
        "delete_foreign": False,
        "verify_on_commit": False,
    }
    assert all(field.description for field in schema.fields.values())


def test_each_table_has_a_description() -> None:
    desktop_names = {spec.mobile: spec.desktop for spec in TABLES}
    for node in defs.resolve_asset_graph().asset_nodes:
        if node.group_name == "reports":
            continue
        name = node.key.path[-1]
        assert node.description
        database = "desktop" if node.group_name in ("desktop", "reverse") else "mobile"
        wanted = f"{database}.public.{desktop_names[name] if node.group_name == 'reverse' else name}"
        assert node.metadata["dagster/table_name"] == wanted
        assert node.kinds - {"supabase"} == {"postgres", "reverse" if node.group_name == "reverse" else database}


def test_any_tuple_of_specs_makes_definitions() -> None:
    graph = build_definitions(SPECS).resolve_asset_graph()
    names = [spec.mobile for spec in SPECS]
    tables = {dg.AssetKey([*way, name]) for name in names for way in ([], ["reverse"])}
    assert graph.materializable_asset_keys == tables | {dg.AssetKey("status_report")}
    assert graph.get(dg.AssetKey("staff")).parent_keys == {
        dg.AssetKey("departments"),
        dg.AssetKey("orgs"),
        dg.AssetKey(["desktop", "staff"]),
    }


def test_code_location_has_one_name() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["dagster"]["code_location_name"] == CODE_LOCATION
    for workspace in (root / "workspace.yaml", dev.WORKSPACE):
        assert f"location_name: {CODE_LOCATION}\n" in workspace.read_text(encoding="utf-8")
