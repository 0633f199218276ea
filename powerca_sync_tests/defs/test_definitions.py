"""The definitions as Dagster sees them, before anything runs."""

import subprocess
import sys

import dagster as dg
import pytest

from powerca_sync.definitions import defs
from powerca_sync.defs import build_definitions
from powerca_sync.tables import TABLES
from powerca_sync_tests.defs.office import SPECS

#: What a reviewer should see change when a spec does: each asset, its group, and what it comes after.
GRAPH = """\
desktop/climaster (desktop)
desktop/cliunimaster (desktop)
desktop/conmaster (desktop)
desktop/jobmaster (desktop)
desktop/jobshead (desktop)
desktop/jobtasks (desktop)
desktop/learequest (desktop)
desktop/locmaster (desktop)
desktop/mbremdetail (desktop)
desktop/mbreminder (desktop)
desktop/mbstaff (desktop)
desktop/orgmaster (desktop)
desktop/taskchecklist (desktop)
desktop/taskmaster (desktop)
desktop/workdiary (desktop)
climaster (masters): conmaster, desktop/climaster, locmaster, orgmaster
cliunimaster (masters): climaster, conmaster, desktop/cliunimaster, locmaster, orgmaster
conmaster (masters): desktop/conmaster, orgmaster
jobmaster (masters): conmaster, desktop/jobmaster, locmaster, orgmaster
locmaster (masters): desktop/locmaster, orgmaster
mbstaff (masters): conmaster, desktop/mbstaff, locmaster, orgmaster
orgmaster (masters): desktop/orgmaster
taskmaster (masters): conmaster, desktop/taskmaster, locmaster, orgmaster
jobshead (transactional): climaster, conmaster, desktop/jobshead, jobmaster, locmaster, mbstaff, orgmaster
jobtasks (transactional): conmaster, desktop/jobtasks, jobshead, locmaster, orgmaster, taskmaster
learequest (transactional): conmaster, desktop/learequest, locmaster, mbstaff, orgmaster
remdetail (transactional): desktop/mbremdetail, mbstaff, reminder
reminder (transactional): climaster, desktop/mbreminder, locmaster, mbstaff, orgmaster
taskchecklist (transactional): desktop/taskchecklist, jobshead, locmaster, orgmaster, taskmaster
workdiary (transactional): climaster, conmaster, desktop/workdiary, jobshead, locmaster, mbstaff, orgmaster, taskmaster
"""


def test_the_graph_of_the_fifteen_tables_is_as_reviewed() -> None:
    graph = defs.resolve_asset_graph()
    lines = []
    for node in sorted(graph.asset_nodes, key=lambda node: (node.group_name, node.key)):
        parents = ", ".join(sorted(key.to_user_string() for key in node.parent_keys))
        lines.append(f"{node.key.to_user_string()} ({node.group_name}){': ' if parents else ''}{parents}\n")
    assert "".join(lines) == GRAPH


def test_the_definitions_load_with_an_empty_environment(tmp_path) -> None:
    code = "import dagster as dg; from powerca_sync.definitions import defs; dg.Definitions.validate_loadable(defs)"
    path = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=path, cwd=tmp_path, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_each_mode_has_a_job_over_all_mobile_tables_in_one_process(mode: str) -> None:
    job = defs.resolve_job_def(f"forward_{mode}")
    assert job.asset_layer.executable_asset_keys == {dg.AssetKey(spec.mobile) for spec in TABLES}
    assert job.run_config == {"resources": {"sync": {"config": {"mode": mode}}}}
    assert job.executor_def is dg.in_process_executor
    assert job.tags["dagster/max_runtime"] == "7200"


def test_the_launchpad_has_one_field_for_the_mode_and_one_for_the_guard() -> None:
    schema = defs.resolve_job_def("forward_full").resource_defs["sync"].config_schema.config_type
    fields = {name: field.default_value for name, field in schema.fields.items()}
    assert fields == {"mode": "full", "allow_mass_delete": False}
    assert all(field.description for field in schema.fields.values())


def test_each_mobile_table_is_described_for_the_catalog() -> None:
    for node in defs.resolve_asset_graph().asset_nodes:
        assert node.description
        assert node.metadata["dagster/table_name"] == f"public.{node.key.path[-1]}"
        wanted = {"postgres"} if node.group_name == "desktop" else {"postgres", "supabase"}
        assert node.kinds == wanted


def test_any_tuple_of_specs_makes_definitions() -> None:
    graph = build_definitions(SPECS).resolve_asset_graph()
    assert graph.materializable_asset_keys == {dg.AssetKey(spec.mobile) for spec in SPECS}
    assert graph.get(dg.AssetKey("staff")).parent_keys == {
        dg.AssetKey("departments"),
        dg.AssetKey("orgs"),
        dg.AssetKey(["desktop", "staff"]),
    }
