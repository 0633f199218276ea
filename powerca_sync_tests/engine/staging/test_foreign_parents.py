"""Foreign keys that only mobile has: a row may reference rows of its own office only."""

import dataclasses

import pytest

from powerca_sync.specs import Reference
from powerca_sync_tests.engine.clinic import examined
from powerca_sync_tests.engine.mapping.test_offices import CLIENTS, LINES, NOTES, REMINDERS, offices
from powerca_sync_tests.helpers import ORGS, Pair, pulled, row_counts, spec

__all__ = ["offices"]

#: No spec declares them; the last one leads to a table whose rows have their office from a parent.
KEYS = {
    "clients": "FOREIGN KEY (job_id) REFERENCES clients",
    "clients of the organisation": "FOREIGN KEY (job_id, org_id) REFERENCES clients (client_id, org_id)",
    "notes": "FOREIGN KEY (job_id) REFERENCES notes",
}
ALL = (ORGS, CLIENTS, REMINDERS, NOTES)


def fill(offices: tuple[Pair, Pair], key: str) -> None:
    """Gives each office the rows 1 to 3 or 11 to 13 of all tables, and the lines of mobile the foreign key."""
    first, second = offices
    first.target.execute("ALTER TABLE clients ADD UNIQUE (client_id, org_id)")
    first.target.execute(f"ALTER TABLE lines ADD CONSTRAINT only_on_mobile {key}")  # type: ignore[call-overload]
    for org, office in enumerate((first, second), start=1):
        office.source.execute(f"""
            INSERT INTO clients SELECT n + {org} * 10 - 10, {org}, 'Client ' || n FROM generate_series(1, 3) AS n;
            INSERT INTO reminders SELECT n + {org} * 10 - 10, {org} FROM generate_series(1, 3) AS n;
            INSERT INTO notes SELECT rem_id, rem_id, 'Note' FROM reminders""")  # type: ignore[call-overload]  # noqa: S608
        office.sync_all(*ALL)


@pytest.mark.parametrize("parent", KEYS)
def test_row_that_references_another_offices_row_is_quarantined(offices: tuple[Pair, Pair], parent: str) -> None:
    first, _ = offices
    fill(offices, KEYS[parent])
    first.source.execute("INSERT INTO lines VALUES (1, 1, 'own'), (1, 11, 'crosses'), (1, 77, 'dangles')")
    plan = first.plan(*ALL, LINES, only=[LINES])["lines"]
    result = first.sync(LINES, *ALL)
    assert plan.foreseen
    assert row_counts(result) == row_counts(plan.foreseen) == {"inserted": 1, "quarantined": 2}
    reasons = {str(sample) for sample in result.samples}
    if parent == "clients of the organisation":
        assert reasons == {f"job_id, org_id={n}, 1 has no matching row in clients" for n in (11, 77)}
    else:
        assert reasons == {
            f"job_id=11 is a row of {parent} that belongs to another office",
            f"job_id=77 has no matching row in {parent}",
        }
    assert [str(one) for one in plan.foreseen.rejections] == [str(one) for one in result.rejections]
    assert first.rows("SELECT job_id FROM lines") == [(1,)]
    # Quarantined until the row is the office's own.
    first.source.execute("UPDATE lines SET job_id = 2 WHERE line = 'crosses'")
    assert row_counts(first.sync(LINES, *ALL)) == {"inserted": 1, "unchanged": 1, "quarantined": 1}


def test_dry_run_sees_parents_that_it_would_insert(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    fill(offices, KEYS["notes"])
    first.source.execute("""
        INSERT INTO reminders VALUES (4, 1); INSERT INTO notes VALUES (4, 4, 'New');
        INSERT INTO lines VALUES (1, 4, 'own'), (1, 3, 'own'), (1, 11, 'crosses')""")
    order = Reference(column="job_id", parent="notes", parent_column="note_id", order_only=True)
    lines = dataclasses.replace(LINES, references=(order,))
    plans = first.plan(*ALL, lines)
    found = first.sync_all(*ALL, lines)
    for name in ("notes", "lines"):
        assert plans[name].foreseen
        assert row_counts(plans[name].foreseen) == row_counts(found[name])  # type: ignore[arg-type]
    assert row_counts(found["lines"]) == {"inserted": 2, "quarantined": 1}


def test_parent_that_references_itself_is_found_in_staging(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    for office in offices:
        office.source.execute("ALTER TABLE clients ADD COLUMN above int")
    first.target.execute("ALTER TABLE clients ADD COLUMN above int REFERENCES clients")
    second.source.execute("INSERT INTO clients VALUES (11, 2, 'Of another office')")
    second.sync_all(ORGS, CLIENTS)
    first.source.execute("INSERT INTO clients VALUES (1, 1, 'top', NULL), (2, 1, 'below', 1), (3, 1, 'crosses', 11)")
    result = first.sync_all(ORGS, CLIENTS)["clients"]
    assert row_counts(result) == {"inserted": 2, "quarantined": 1}
    assert str(result.samples[0]) == "above=11 is a row of clients that belongs to another office"


def test_only_office_may_reference_rows_without_an_office(pair: Pair) -> None:
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1);
        CREATE TABLE clients (client_id int, org_id int, name text);
        CREATE TABLE lines (org_id int, job_id int, line text); INSERT INTO lines VALUES (1, 5, 'a')""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE clients (client_id int PRIMARY KEY, org_id int, name text, source char(1) DEFAULT 'D');
        INSERT INTO clients VALUES (5, NULL, 'Whose?');
        CREATE TABLE lines (id bigserial PRIMARY KEY, org_id int, job_id int REFERENCES clients, line text,
            source char(1) DEFAULT 'D')""")
    assert row_counts(pair.sync(LINES, ORGS, CLIENTS)) == {"inserted": 1}


def test_phone_row_may_reference_every_row_of_its_desktop(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    fill(offices, KEYS["clients"])
    first.source.execute("""
        ALTER TABLE clients ADD PRIMARY KEY (client_id);
        UPDATE clients SET org_id = NULL WHERE client_id = 2;
        ALTER TABLE lines ADD FOREIGN KEY (job_id) REFERENCES clients""")
    first.target.execute("INSERT INTO lines (org_id, job_id, line, source) VALUES (1, 2, 'by phone', 'M')")
    assert pulled(first.pull(LINES, *ALL)) == {"pulled": 1}


def test_doctor_names_foreign_keys_whose_offices_it_cannot_tell(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    fill(offices, KEYS["clients"])
    first.target.execute("""
        CREATE TABLE teams (team_id int PRIMARY KEY, org_id int, UNIQUE (org_id, team_id));
        CREATE TABLE colours (colour_id int PRIMARY KEY);
        INSERT INTO teams VALUES (1, 1); INSERT INTO colours VALUES (1);
        ALTER TABLE clients ADD COLUMN team_id int REFERENCES teams, ADD COLUMN colour_id int REFERENCES colours,
            ADD COLUMN only_mobile int REFERENCES teams""")
    first.source.execute("ALTER TABLE clients ADD COLUMN team_id int, ADD COLUMN colour_id int")

    def findings() -> list[str]:
        return [one.what for one in examined(first, *ALL, LINES) if "Foreign keys" in one.what]

    assert findings() == [
        "Foreign keys to tables with the column org_id that are not synced: clients.team_id to public.teams."
    ]
    # A spec of the parent, or the organisation in the key, lets the offices be told.
    teams = spec("teams", "team_id", office="org_id", references=(Reference(column="org_id", parent="orgs"),))
    assert [one.what for one in examined(first, *ALL, LINES, teams) if "Foreign keys" in one.what] == []
    first.target.execute("""
        ALTER TABLE clients DROP CONSTRAINT clients_team_id_fkey,
            ADD FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, team_id)""")
    assert findings() == []
    first.target.execute("ALTER TABLE clients ADD FOREIGN KEY (team_id) REFERENCES teams")
    assert len(findings()) == 1
    first.target.execute("DELETE FROM powerca_sync.office WHERE org_id = '2'")
    assert findings() == [], "nobody else is there"
    second.sync(ORGS)
