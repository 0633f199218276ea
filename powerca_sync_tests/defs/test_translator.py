"""Specs and translators decide how Dagster shows the assets."""

import dataclasses
import re
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from typing_extensions import override

from powerca_sync import tables
from powerca_sync.definitions import defs
from powerca_sync.defs import build_definitions
from powerca_sync.defs.freshness import DAILY
from powerca_sync.defs.translator import Layer, TableTranslator
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import Schedules
from powerca_sync.specs import TableSpec
from powerca_sync_tests.defs.office import SPECS, Office


class ByTeam(TableTranslator):
    """Owners by topic, and one description for all."""

    @override
    def owners(self, spec: TableSpec, layer: Layer) -> tuple[str, ...]:
        return ("team:people",) if "staff" in spec.topics else super().owners(spec, layer)

    @override
    def description(self, spec: TableSpec, layer: Layer) -> str:
        return f"{layer}: {spec.mobile}"


def nodes(translator: TableTranslator | None = None, **changes: object) -> dict[str, dg.AssetSpec]:
    """Returns the assets of the small office by key, with those changes to the spec of `staff`."""
    specs = [dataclasses.replace(spec, **changes) if spec.mobile == "staff" else spec for spec in SPECS]
    made = build_definitions(specs, translator=translator, schedules=Schedules(timezone="Asia/Tokyo"))
    return {spec.key.to_user_string(): spec for spec in made.resolve_all_asset_specs()}


def test_spec_decides_group_owners_and_tags() -> None:
    found = nodes(group="people", owners=("hr@example.com",), topics=("staff", "logins"))
    assert found["staff"].group_name == "people"
    assert found["desktop/staff"].group_name == "desktop"
    for key in ("staff", "desktop/staff", "reverse/staff"):
        assert list(found[key].owners) == ["hr@example.com"]
        assert {"staff", "logins"} <= found[key].tags.keys()
    assert list(found["orgs"].owners) == ["team:office"]


def test_translator_overrides_what_specs_say() -> None:
    found = nodes(ByTeam(), topics=("staff",))
    assert [list(found[key].owners) for key in ("staff", "notices")] == [["team:people"], ["team:office"]]
    assert found["reverse/staff"].description == "reverse: staff"
    assert found["staff"].group_name == "transactional"


def test_deadline_is_in_the_offices_time_and_knows_weekdays() -> None:
    found = nodes(fresh_by="30 9 * * 1-6")
    assert found["staff"].freshness_policy == dg.FreshnessPolicy.cron(
        deadline_cron="30 9 * * 1-6", lower_bound_delta=timedelta(hours=9, minutes=30), timezone="Asia/Tokyo"
    )
    assert found["reverse/staff"].freshness_policy == found["notices"].freshness_policy == DAILY


@pytest.mark.parametrize("cron", ["at nine", "0 25 * * *", "*/15 8 * * *", "0 9"])
def test_invalid_deadline_names_a_valid_one(cron: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"`fresh_by` is `{cron}`") + ".*`0 9 \\* \\* 1-6`"):
        nodes(fresh_by=cron)


def test_each_table_is_found_by_its_topics_and_links_to_its_spec() -> None:
    lines = Path(tables.__file__).read_text(encoding="utf-8").splitlines()
    found = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    for spec in tables.TABLES:
        node = found[spec.mobile]
        assert spec.topics
        assert {tag for tag, value in node.tags.items() if value == ""} >= set(spec.topics)
        path, _, line = node.metadata["declared_in"].value.rpartition(":")
        assert path == tables.__file__
        assert lines[int(line) - 1].strip().startswith(("_master(", "_records("))
        assert f'"{spec.desktop}"' in "".join(lines[int(line) - 1 : int(line) + 1])
    assert "clients" in found["climaster"].tags
    assert "leave" in found["reverse/learequest"].tags


def test_columns_have_the_comments_of_the_database_or_of_the_spec(office: Office) -> None:
    office.pair.target.execute("COMMENT ON COLUMN staff.full_name IS 'First name first'")
    office.pair.source.execute("COMMENT ON COLUMN staff.login IS 'Name in the app'")
    comments = {"full_name": "Name", "dept_id": "Department"}
    specs = tuple(
        dataclasses.replace(spec, column_comments=comments) if spec.mobile == "staff" else spec for spec in SPECS
    )
    result = office.run(specs=specs)
    (event,) = (one for one in result.get_asset_materialization_events() if one.asset_key == dg.AssetKey("staff"))
    schema = event.step_materialization_data.materialization.metadata["dagster/column_schema"].value
    described = {column.name: column.description for column in schema.columns}
    assert (described["full_name"], described["dept_id"], described["staff_no"]) == (
        "First name first",
        "Department",
        None,
    )
    recorded = {one.asset_key: one for one in result.get_asset_materialization_events()}
    metadata = recorded[dg.AssetKey(["desktop", "staff"])].step_materialization_data.materialization.metadata
    columns = {column.name: column.description for column in metadata["dagster/column_schema"].value.columns}
    assert columns == {
        "org_id": None,
        "staff_no": None,
        "dept_id": "Department",
        "full_name": "Name",
        "login": "Name in the app",
    }
    assert metadata["dagster/row_count"].value == 40
    assert metadata["snapshot"].value > 0
