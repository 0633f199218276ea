"""The fields of a spec, and the order of several specs."""

import pytest

from powerca_sync.errors import ConfigurationError
from powerca_sync.specs import Cursor, Deletes, Lookup, Reference, TableSpec, in_order, spec_named
from powerca_sync_tests.helpers import delete_insert, spec


def test_spec_defaults_match_the_contract() -> None:
    table = spec("jobs", "id")
    assert (table.cursor, table.deletes, table.mobile) == (Cursor.XMIN, Deletes.KEEP, "jobs")
    assert (table.warn_share, table.limit_share, table.limit_rows) == (0.01, 0.20, 20)
    assert (table.mass_delete_share, table.mass_delete_rows) == (0.05, 20)
    assert Reference(column="job_id", parent="jobs").names == "job_id"


def test_parents_come_first_from_any_order() -> None:
    jobs = spec("jobs", "id")
    tasks = spec("tasks", "id", references=(Reference(column="job_id", parent="jobs", order_only=True),))
    ticks = delete_insert("ticks", lookups=(Lookup(column="job_id", table="tasks", match="task_id"),))
    assert in_order([ticks, tasks, jobs]) == (jobs, tasks, ticks)


def test_table_may_reference_itself() -> None:
    tree = spec("tree", "id", references=(Reference(column="parent_id", parent="tree", parent_column="id"),))
    assert in_order([tree]) == (tree,)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([spec("a", "id"), spec("b", "id", mobile="a")], "Two specs have the mobile name `a`. Remove one of them."),
        (
            [spec("a", "id", references=(Reference(column="x", parent="b"),)), spec("c", "id")],
            "There is no spec for table `b`. Known tables: a, c.",
        ),
        (
            [
                spec("a", "id", references=(Reference(column="x", parent="b"),)),
                spec("b", "id", references=(Reference(column="x", parent="a"),)),
            ],
            "Tables depend on each other in a circle: ",
        ),
        (
            [spec("a", "id", defines_offices=True), spec("b", "id", defines_offices=True)],
            "More than one spec has `defines_offices`.",
        ),
        (
            [spec("a", "id", made_by="who")],
            "Table `a`: `made_by` names `who`, for which there is no reference. Add one.",
        ),
    ],
)
def test_inconsistent_specs_are_refused(tables: list[TableSpec], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        in_order(tables)
    assert str(caught.value).startswith(words)


def test_spec_without_a_required_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Table `jobs`: UPSERT needs a key"):
        spec("jobs")
    assert delete_insert("jobs").key == ()


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"There is no spec for table `clients`. Known tables: jobs, staff"):
        spec_named((spec("jobs", "id"), spec("staff", "id")), "clients")
