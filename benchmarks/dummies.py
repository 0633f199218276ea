"""What an instance with hundreds of idle offices costs: definitions, code server, ticks, queries of the UI."""

import dataclasses
import json
import os
import time
from urllib.request import Request, urlopen

import dagster as dg
from rich.console import Console
from rich.table import Table

from benchmarks.company import (
    DEAD,
    FIRST,
    LARGE,
    SLOW,
    Company,
    await_port,
    describe,
    found_company,
    free_port,
    load,
    run_code_server,
    run_program,
)
from benchmarks.records import record_as_synced, tick

#: Databases that serve as desktops; each serves several offices, under other names of its server.
DATABASES = 10
#: Tables whose partitions are filled.
FILLED = ("climaster",)
#: Ticks of each gate, at most.
TICKS = 12
#: One office of so many is away.
AWAY = 10
#: Measurements of which the smallest counts.
ROUNDS = 5
GRAPH = """{ assetNodes { id assetKey { path } isPartitioned opNames groupName
    dependencyKeys { path } dependedByKeys { path } } }"""
LIVE = """query ($keys: [AssetKeyInput!]!) { assetsLatestInfo(assetKeys: $keys) { assetKey { path }
    latestMaterialization { timestamp runId } latestRun { id status } } }"""
PARTITIONS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } } } }"""


def measure_dummies(console: Console, count: int) -> None:
    """Prints the figures of an instance with `count` offices, all of which are idle and a tenth of them away."""
    with found_company(1) as company, dg.DagsterInstance.get() as instance:
        keys = _multiply(company, count)
        record_as_synced(instance, keys, FILLED)
        figures = Table(title=f"{count} offices, {count // AWAY} of them away", title_justify="left")
        for heading in ("what", "seconds", "CPU s", "other"):
            figures.add_column(heading, justify="left" if heading == "what" else "right")
        began, used = time.monotonic(), time.process_time()
        _load_definitions()
        figures.add_row("definitions", _number(time.monotonic() - began), _number(time.process_time() - used))
        before = _records(instance)
        _measure_ticks(figures, instance)
        runs, events = (after - earlier for after, earlier in zip(_records(instance), before, strict=True))
        figures.add_row("runs and events of these ticks", "", "", f"{runs}, {events}")
        _measure_programs(figures, company)
        console.print(figures)


def _measure_ticks(figures: Table, instance: dg.DagsterInstance) -> None:
    """Adds the ticks of both gates: the first ones, which ask every office once, and those after."""
    cursors: dict[str, str | None] = {"desktop_rows": None, "mobile_rows": None}
    for round_number in range(1, TICKS + 1):
        asked = ""
        for name in cursors:
            data, seconds, processor = tick(instance, name, cursors[name])
            cursors[name] = data.cursor
            asked = str(data.skip_message or f"{len(data.run_requests)} requests")
            figures.add_row(f"tick {round_number} of {name}", _number(seconds), _number(processor), asked[:45])
        if "; 0 of" in asked:
            break


def _records(instance: dg.DagsterInstance) -> tuple[int, int]:
    """Returns the number of runs and the last number of an event."""
    return instance.get_runs_count(), instance.event_log_storage.get_maximum_record_id() or 0


def _number(seconds: float) -> str:
    return f"{seconds:.2f}"


def _multiply(company: Company, count: int) -> list[str]:
    """Writes a file with so many offices; returns their keys."""
    small = next(site.desktop for key, site in company.sites.items() if key not in (LARGE, SLOW))
    for number in range(1, DATABASES + 1):
        desktop = company.add_desktop(f"dummy{number}", number=FIRST + number)
        load(desktop, company.mobile)
    deaf = company.entries().partition(f"[office.{DEAD}]")[2]
    port = int(deaf.partition("port = ")[2].split()[0])
    desktops = {}
    for number in range(count):
        # Two offices with one address would both be refused.
        host = company.folder / f"h{number // DATABASES}"
        if not host.exists():
            host.symlink_to(small.host)
        desktops[f"o{number:04}"] = dataclasses.replace(small, host=str(host), name=f"dummy{number % DATABASES + 1}")
        if number % AWAY == 0:
            desktops[f"o{number:04}"] = dataclasses.replace(small, host="127.0.0.1", port=port, name=f"away{number}")
    company.file.write_text(describe(desktops, company.mobile), encoding="utf-8")
    return list(desktops)


def _load_definitions() -> None:
    from powerca_sync.defs import build_definitions
    from powerca_sync.tables import TABLES

    repository = build_definitions(TABLES, by_office=True).get_repository_def()
    repository.load_all_definitions()


def _measure_programs(figures: Table, company: Company) -> None:
    """Adds the rows of the code server under the daemon, and of the webserver's queries."""
    port = free_port()
    web = ("python", "-m", "powerca_sync.web", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml")
    with (
        run_code_server(company) as code,
        run_program(company, "daemon", "dagster-daemon", "run", "-w", "workspace.yaml") as daemon,
        run_program(company, "webserver", *web) as webserver,
    ):
        await_port(port)
        time.sleep(75)
        spent = {name: program.processor_seconds() for name, program in (("code", code), ("daemon", daemon))}
        time.sleep(120)
        for name, program in (("code", code), ("daemon", daemon)):
            share = (program.processor_seconds() - spent[name]) / 120
            figures.add_row(f"{name}: memory, share of a core", "", "", f"{program.megabytes():.0f} MB, {share:.1%}")
        nodes = _ask(port, GRAPH)[0]["assetNodes"]
        keys = [{"path": node["assetKey"]["path"]} for node in nodes]
        for what, query, variables in (
            ("query of the asset graph", GRAPH, {}),
            ("live data of all assets", LIVE, {"keys": keys}),
            ("partitions of one asset", PARTITIONS, {"key": {"path": ["climaster"]}}),
        ):
            answers = [_ask(port, query, **variables) for _ in range(ROUNDS)]
            size = len(json.dumps(answers[0][0])) / 1000
            figures.add_row(what, _number(min(seconds for _, seconds in answers)), "", f"{size:.0f} kB")
        figures.add_row("webserver: memory", "", "", f"{webserver.megabytes():.0f} MB")
        if seconds := float(os.environ.get("OFFICES_STAY", "0")):
            # For a look with a browser.
            Console().print(f"http://127.0.0.1:{port} for {seconds:.0f} s")
            time.sleep(seconds)


def _ask(port: int, query: str, **variables: object) -> tuple[dict[str, list[dict[str, dict[str, list[str]]]]], float]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    began = time.monotonic()
    with urlopen(request, timeout=120) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"], time.monotonic() - began
