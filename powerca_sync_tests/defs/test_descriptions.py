"""Every definition in the UI has a description, a group, and the tags that runs need."""

import dagster as dg
import pytest

from powerca_sync.definitions import defs

REPOSITORY = defs.get_repository_def()
GRAPH = REPOSITORY.asset_graph
#: Prefix of the assets that Dagster creates itself.
JOBS = [job for job in REPOSITORY.get_all_jobs() if not job.name.startswith("__")]
#: The fewest words of a meaningful description.
SHORTEST = 10


@pytest.mark.parametrize("asset", sorted(GRAPH.get_all_asset_keys()), ids=lambda key: key.to_user_string())
def test_every_asset_has_a_description(asset: dg.AssetKey) -> None:
    node = GRAPH.get(asset)
    assert len(node.description or "") > SHORTEST
    assert list(node.owners) == ["team:office"]
    assert node.kinds
    assert node.group_name not in ("", "default")
    assert node.kinds


@pytest.mark.parametrize("check", sorted(GRAPH.asset_check_keys), ids=lambda key: key.to_user_string())
def test_every_check_has_a_description(check: dg.AssetCheckKey) -> None:
    assert len(GRAPH.get(check).description or "") > SHORTEST


@pytest.mark.parametrize("job", sorted(JOBS, key=lambda job: job.name), ids=lambda job: job.name)
def test_every_job_has_a_description_and_a_maximum_runtime(job: dg.JobDefinition) -> None:
    assert len(job.description or "") > SHORTEST
    assert "Executes" not in str(job.description)
    assert float(job.tags["dagster/max_runtime"]) > 0


@pytest.mark.parametrize(
    "automation", [*REPOSITORY.schedule_defs, *REPOSITORY.sensor_defs], ids=lambda automation: automation.name
)
def test_every_schedule_and_sensor_has_a_description(
    automation: dg.ScheduleDefinition | dg.SensorDefinition,
) -> None:
    assert len(automation.description or "") > SHORTEST


def test_every_launchpad_field_has_a_description() -> None:
    for job in JOBS:
        for name, resource in job.resource_defs.items():
            fields = getattr(resource.config_schema.config_type, "fields", None) or {}
            for field, schema in fields.items():
                assert len(schema.description or "") > SHORTEST, f"{job.name}: {name}.{field}"


def test_every_sync_run_is_tagged_with_its_direction() -> None:
    tagged = {job.name: job.tags.get("direction") for job in JOBS}
    assert tagged == {
        "forward_full": "forward",
        "forward_incremental": "forward",
        "checks": None,
        "reverse": "reverse",
        "report": None,
        "retention": None,
    }
