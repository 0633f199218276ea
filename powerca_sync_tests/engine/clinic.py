"""A small healthy office for the tests of `doctor`, and functions that return its findings."""

import dataclasses
from typing import Any

from powerca_sync.engine.doctor import Finding, Severity, examine, reach
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Reference, Strategy, TableSpec, in_order
from powerca_sync_tests.helpers import ORGS, Pair, spec

ORG = Reference(column="org_id", parent="orgs")
CLIENTS = spec("clients", "client_id", office="org_id", references=(ORG,))
NOTES = spec(
    "notes",
    *("org_id", "client_id"),
    strategy=Strategy.DELETE_INSERT,
    office="org_id",
    references=(ORG, Reference(column="client_id", parent="clients", zero_is_none=True)),
    made_by="client_id",
    sensitive=frozenset({"secret"}),
)
SPECS = in_order((ORGS, CLIENTS, NOTES))

SOURCE = """
CREATE TABLE orgs (org_id int, org_name text);
CREATE TABLE clients (client_id numeric(7), org_id int, client_name varchar(20));
CREATE TABLE notes (org_id int, client_id numeric(7), body varchar(40), amount numeric(8,2), secret text,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
INSERT INTO orgs VALUES (1, 'Rao & Co');
INSERT INTO clients SELECT n, 1, 'Client ' || n FROM generate_series(1, 40) AS n;
INSERT INTO notes SELECT 1, n, 'Note ' || n, n, 'secret' FROM generate_series(1, 40) AS n;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END';
"""
TARGET = """
CREATE TABLE orgs (org_id int PRIMARY KEY, org_name text, source char(1) DEFAULT 'M');
CREATE TABLE clients (client_id numeric(7) PRIMARY KEY, org_id int NOT NULL REFERENCES orgs, client_name varchar(20),
    source char(1) DEFAULT 'M');
CREATE TABLE notes (id bigserial PRIMARY KEY, org_id int NOT NULL, client_id numeric(7), body varchar(40),
    amount numeric(8,2), secret text, source char(1) DEFAULT 'M',
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END';
CREATE TRIGGER stamp BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp();
"""


def settle(pair: Pair) -> Pair:
    """Creates the healthy office in empty databases."""
    pair.source.execute(SOURCE)
    pair.target.execute(TARGET)
    return pair


def examined(
    pair: Pair,
    *specs: TableSpec,
    desktop: Endpoint | None = None,
    mobile: Endpoint | None = None,
    **rest: Any,
) -> tuple[Finding, ...]:
    """Returns all findings about the pair, or about other endpoints of its databases."""
    with reach(desktop or pair.settings.desktop) as source, reach(mobile or pair.settings.mobile) as target:
        return examine(source, target, in_order(specs or SPECS), **rest)


def problems(findings: tuple[Finding, ...]) -> list[Finding]:
    """Returns the findings that are warnings or errors."""
    return [finding for finding in findings if finding.severity is not Severity.FINE]


def only_problem(pair: Pair, *specs: TableSpec, **rest: Any) -> Finding:
    """Returns the only warning or error; asserts that it gives a reason and an action."""
    (finding,) = problems(examined(pair, *specs, **rest))
    assert finding.why.endswith(".")
    assert finding.do.endswith(":" if finding.statements else ".")
    return finding


def change(table: TableSpec, **changes: Any) -> tuple[TableSpec, ...]:
    """Returns the specs with one of them changed."""
    return tuple(dataclasses.replace(one, **changes) if one.mobile == table.mobile else one for one in SPECS)
