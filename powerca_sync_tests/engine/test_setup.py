"""Two desktops and tables whose rows cannot be assigned to an office are refused before anything is read or written."""

from collections.abc import Iterator

import pytest

from powerca_sync.engine.setup import introduce
from powerca_sync.errors import UnsafeTargetError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Reference, TableSpec, in_order
from powerca_sync_tests.helpers import ORGS, Pair, delete_insert, everything, pulled, row_counts, spec

ORG = Reference(column="org_id", parent="orgs")
CLIENTS = spec("clients", "client_id", office="org_id", references=(ORG,))
TASKS = delete_insert("tasks", "task", office="org_id", references=(ORG,))
SPECS = (ORGS, CLIENTS, TASKS)

DESKTOP = """
CREATE TABLE orgs (org_id int);
CREATE TABLE clients (client_id int, org_id int, name text);
CREATE TABLE tasks (task text, hours int);
"""
MOBILE = """
CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
CREATE TABLE clients (client_id int PRIMARY KEY, org_id int, name text, source char(1) DEFAULT 'D');
CREATE TABLE tasks (id bigserial PRIMARY KEY, task text, hours int, source char(1) DEFAULT 'D');
"""


@pytest.fixture
def desktops(pair: Pair) -> Iterator[tuple[Pair, Pair]]:
    """Creates two desktops with organisations 1 and 2; `tasks` has no column that leads to one."""
    pair.source.execute("CREATE DATABASE other TEMPLATE template0")
    first = pair.settings.desktop
    other = Endpoint(side=first.side, host=first.host, port=first.port, user=first.user, name="other")
    pair.target.execute(MOBILE)
    with Pair(other, pair.settings.mobile) as second:
        for number, desktop in enumerate((pair, second), start=1):
            desktop.source.execute(DESKTOP)
            desktop.source.execute("INSERT INTO orgs VALUES (%s)", [number])
            desktop.source.execute("INSERT INTO clients VALUES (%s, %s, 'A')", [number * 10, number])
            desktop.source.execute(
                "INSERT INTO tasks SELECT 'desktop ' || %s, n FROM generate_series(1, 3) n", [number]
            )
        yield pair, second
    pair.source.execute("DROP DATABASE other WITH (FORCE)")


def init(pair: Pair, *, accept: bool = False) -> None:
    with pair.connected() as (source, target):
        introduce(source=source, target=target, specs=in_order(SPECS), accept=accept)


def others(table: TableSpec) -> list[TableSpec]:
    return [one for one in SPECS if one is not table]


def test_unscoped_table_belongs_to_the_only_desktop(desktops: tuple[Pair, Pair]) -> None:
    first, _ = desktops
    first.target.execute("INSERT INTO tasks (task, source) VALUES ('stale', 'D'), ('phone', 'M')")
    results = first.sync_all(*SPECS)
    assert row_counts(results["tasks"]) == {"inserted": 3, "deleted": 1}
    assert results["tasks"].notes[-1].startswith("office: unscoped")
    assert pulled(first.pull(TASKS, *others(TASKS))) == {"pulled": 1}
    assert first.one("SELECT unscoped FROM powerca_sync.table_state WHERE table_name = 'tasks'") is True


@pytest.mark.parametrize("table", [ORGS, CLIENTS, TASKS], ids=lambda table: table.mobile)
def test_second_desktop_is_refused_before_anything_is_written(desktops: tuple[Pair, Pair], table: TableSpec) -> None:
    first, second = desktops
    first.sync_all(*SPECS)
    before = everything(first.target) | everything(second.source)
    with pytest.raises(UnsafeTargetError, match=r"registered in this mobile database.*`tasks`.*org_id.*of its own"):
        second.sync(table, *others(table))
    with pytest.raises(UnsafeTargetError, match="not be told apart in `tasks`"):
        second.pull(table, *others(table))
    with pytest.raises(UnsafeTargetError, match="not be told apart in `tasks`"):
        init(second)
    plans = second.plan(*SPECS, only=[table])
    assert "not be told apart in `tasks`" in plans[table.mobile].refusals[0]
    after = everything(first.target) | everything(second.source)
    assert {name for name in after if after[name] != before.get(name)} <= {
        "powerca_sync.failure",
        "public._sync_metadata",
    }


def test_unscoped_tables_of_the_registered_desktop_count_too(desktops: tuple[Pair, Pair]) -> None:
    first, second = desktops
    first.sync_all(*SPECS)
    second.source.execute("ALTER TABLE tasks ADD COLUMN org_id int DEFAULT 2")
    first.target.execute("ALTER TABLE tasks ADD COLUMN org_id int")
    with pytest.raises(UnsafeTargetError, match="not be told apart in `tasks`"):
        second.sync(CLIENTS, *others(CLIENTS))


def test_both_desktops_work_after_the_columns_exist(desktops: tuple[Pair, Pair]) -> None:
    first, second = desktops
    first.sync_all(*SPECS)
    for number, desktop in enumerate(desktops, start=1):
        desktop.source.execute(f"ALTER TABLE tasks ADD COLUMN org_id int DEFAULT {number}")  # type: ignore[call-overload]
    first.target.execute("ALTER TABLE tasks ADD COLUMN org_id int; UPDATE tasks SET org_id = 1")
    assert row_counts(first.sync(TASKS, *others(TASKS))) == {"unchanged": 3}
    assert row_counts(second.sync_all(*SPECS)["tasks"]) == {"inserted": 3}
    for desktop in desktops:
        assert row_counts(desktop.sync(TASKS, *others(TASKS))) == {"unchanged": 3}
    assert first.rows("SELECT org_id, count(*) FROM tasks GROUP BY 1 ORDER BY 1") == [(1, 3), (2, 3)]


def test_unscoped_table_is_blocked_once_two_desktops_are_registered(desktops: tuple[Pair, Pair]) -> None:
    first, _ = desktops
    first.sync_all(*SPECS)
    first.target.execute("INSERT INTO powerca_sync.office VALUES ('2', 'another/desktop')")
    first.source.execute("DELETE FROM tasks WHERE hours = 1; INSERT INTO clients VALUES (11, 1, 'B')")
    before = first.text("tasks")
    for run in (first.sync, first.pull):
        with pytest.raises(
            UnsafeTargetError, match="`tasks`: no column leads to exactly one organisation, and another desktop"
        ):
            run(TASKS, *others(TASKS))
    assert first.text("tasks") == before
    assert row_counts(first.sync(CLIENTS, *others(CLIENTS))) == {"inserted": 1, "unchanged": 1}


def test_registration_is_blocked_by_a_run_of_an_unscoped_table(desktops: tuple[Pair, Pair]) -> None:
    """A run that has seen no other desktop ends before another one is registered."""
    first, second = desktops
    first.sync_all(*SPECS)
    second.source.execute("DROP TABLE tasks; CREATE TABLE tasks (task text, hours int, org_id int DEFAULT 2)")
    with first.target.transaction():
        first.target.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('powerca_sync:registration', 0))")
        with second.sync_that_waits(CLIENTS, *others(CLIENTS)) as run:
            assert not run.done()
            first.target.execute("SELECT 1")
            first.target.execute("ROLLBACK")
            with pytest.raises(UnsafeTargetError, match="not be told apart"):
                run.result()


def test_desktop_without_organisations_excludes_others(desktops: tuple[Pair, Pair]) -> None:
    first, second = desktops
    for connection in (first.source, first.target):
        connection.execute("DROP TABLE orgs")
    results = first.sync_all(*SPECS)
    assert row_counts(results["orgs"]) == {}
    assert row_counts(results["clients"]) == {"inserted": 1}
    assert first.rows("SELECT org_id FROM powerca_sync.office") == [("*",)]
    with pytest.raises(UnsafeTargetError, match="not be told apart in"):
        second.sync(CLIENTS, *others(CLIENTS))
    second.source.execute("DROP TABLE orgs")
    with pytest.raises(UnsafeTargetError, match="A desktop without organisations belongs to another desktop"):
        second.sync(CLIENTS, *others(CLIENTS))
    init(second, accept=True)
    assert row_counts(second.sync(CLIENTS, *others(CLIENTS)))["inserted"] == 1


def test_desktop_that_gets_organisations_is_registered_by_them(desktops: tuple[Pair, Pair]) -> None:
    first, _ = desktops
    first.source.execute("ALTER TABLE orgs RENAME TO kept")
    first.target.execute("ALTER TABLE orgs RENAME TO kept")
    first.sync(CLIENTS, *others(CLIENTS))
    first.source.execute("ALTER TABLE kept RENAME TO orgs")
    first.target.execute("ALTER TABLE kept RENAME TO orgs")
    first.sync_all(*SPECS)
    assert first.rows("SELECT org_id FROM powerca_sync.office") == [("1",)]


def test_organisations_missing_on_the_desktop_block_their_rows(desktops: tuple[Pair, Pair]) -> None:
    first, _ = desktops
    first.source.execute("DROP TABLE orgs")
    assert row_counts(first.sync(TASKS, *others(TASKS))) == {"inserted": 3}
    with pytest.raises(Exception, match=r"`orgs`, or its key, does not exist on the desktop .* unknown to which organ"):
        first.sync(CLIENTS, *others(CLIENTS))
