"""The sensor `offices`, and what 600 offices cost."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.partitions import OFFICE
from powerca_sync.errors import ConfigurationError
from powerca_sync_tests.defs.office import SPECS
from powerca_sync_tests.defs.offices.conftest import definitions_by_office

MOBILE = '[mobile.main]\nhost = "localhost"\npassword_env = "X"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POWERCA_OFFICES", str(tmp_path / "offices.toml"))
    return tmp_path / "offices.toml"


def write(file: Path, keys: list[str]) -> None:
    entries = "".join(f'[office.{key}]\nhost = "{key}"\npassword_env = "X"\n' for key in keys)
    file.write_text(MOBILE + entries)


def tick(instance: dg.DagsterInstance) -> Any:
    """Evaluates the sensor and does what it requests, as the daemon does."""
    sensor = definitions_by_office().get_repository_def().get_sensor_def("offices")
    with dg.build_sensor_context(instance=instance, definitions=definitions_by_office()) as context:
        data = sensor.evaluate_tick(context)
    for request in data.dynamic_partitions_requests or ():
        for key in request.partition_keys:
            instance.delete_dynamic_partition(OFFICE, key)
    return data


def test_offices_come_and_go_with_the_file(file: Path) -> None:
    everybody = [f"o{number}" for number in range(100)]
    with dg.DagsterInstance.ephemeral() as instance:
        write(file, everybody)
        tick(instance)
        assert set(instance.get_dynamic_partitions(OFFICE)) == set(everybody)
        write(file, [*everybody[5:], "new"])
        assert tick(instance).skip_message == ("96 offices, 0 with mistakes. Added: new. Deleted: o0, o1, o2, o3, o4.")
        assert set(instance.get_dynamic_partitions(OFFICE)) == {*everybody[5:], "new"}
        # More than that is a damaged file; who comes is added all the same.
        write(file, [*everybody[20:], "new", "newer"])
        with pytest.raises(ConfigurationError, match=r"no longer has 15 of 96 offices \(o5, .*so none was deleted"):
            tick(instance)
        assert set(instance.get_dynamic_partitions(OFFICE)) == {*everybody[5:], "new", "newer"}
        # A broken entry is still an office.
        write(file, [*everybody[5:], "new"])
        file.write_text(f"{file.read_text()}[office.newer]\n")
        assert tick(instance).skip_message == "96 offices, 1 with mistakes. Added: none. Deleted: none."
        # Lost or emptied: nobody leaves.
        file.unlink()
        tick(instance)
        file.write_text("")
        tick(instance)
        assert len(instance.get_dynamic_partitions(OFFICE)) == 97


def test_one_of_few_offices_may_leave(file: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        write(file, ["a", "b", "c"])
        tick(instance)
        write(file, ["a", "b"])
        tick(instance)
        assert set(instance.get_dynamic_partitions(OFFICE)) == {"a", "b"}
        write(file, ["x"])
        with pytest.raises(ConfigurationError, match="no longer has 2 of 2 offices"):
            tick(instance)


def test_definitions_cost_the_same_for_any_number_of_offices(file: Path) -> None:
    def seconds(by_office: bool) -> float:
        began = time.process_time()
        build_definitions(SPECS, by_office=by_office).get_repository_def()
        return time.process_time() - began

    seconds(False)
    write(file, [f"o{number}" for number in range(600)])
    assert min(seconds(True) for _ in range(3)) < 1.5 * min(seconds(False) for _ in range(3))
