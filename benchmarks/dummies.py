"""Measure an instance with hundreds of idle offices: definitions, code server, ticks, queries of the UI."""

import dataclasses
import json
import os
import time
from urllib.request import Request, urlopen

import dagster as dg
from rich.console import Console

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
from powerca_sync.defs.offices.overview import OVERVIEW_JOB

#: Databases that serve as desktops; each serves several offices, under other names of its server.
DATABASES = 10
#: Tables whose partitions are filled.
FILLED = ("orgmaster", "climaster")
#: Seconds until the daemon has asked every office, and that are measured then.
WARM, IDLE = 150.0, 120.0
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
        console.print(f"{count} offices, {count // AWAY} of them away")
        began, used = time.monotonic(), time.process_time()
        _load_definitions()
        console.print(f"definitions: {time.monotonic() - began:.2f} s, {time.process_time() - used:.2f} CPU s")
        before = _records(instance)
        _measure_programs(console, company)
        runs, events = (after - earlier for after, earlier in zip(_records(instance), before, strict=True))
        console.print(f"meanwhile {runs} runs and {events} events")
        _print_ticks(console, instance)
        for name in ("desktop_rows", "mobile_rows"):
            data, seconds, processor = tick(instance, name)
            console.print(f"one more tick of {name}: {seconds:.1f} s, {processor:.2f} CPU s; {data.skip_message}")
        _measure_overview(console, instance)


def _measure_overview(console: Console, instance: dg.DagsterInstance) -> None:
    """Prints what a run of the asset `offices` takes in this process, and the size of its metadata."""
    # Reads the file of offices when it is imported.
    from powerca_sync.definitions import defs

    job = defs.resolve_job_def(OVERVIEW_JOB)
    began, used = time.monotonic(), time.process_time()
    result = job.execute_in_process(instance=instance)
    seconds, processor = time.monotonic() - began, time.process_time() - used
    (event,) = result.get_asset_materialization_events()
    size = len(dg.serialize_value(event.materialization)) / 1000
    console.print(f"overview: {seconds:.1f} s, {processor:.2f} CPU s, {size:.0f} kB")


def _print_ticks(console: Console, instance: dg.DagsterInstance) -> None:
    """Prints how long the ticks took under the daemon, those of the first minute included."""
    for state in instance.all_instigator_state():
        if state.name in ("desktop_rows", "mobile_rows"):
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
            seconds = [one.end_timestamp - one.timestamp for one in reversed(ticks) if one.end_timestamp]
            console.print(f"ticks of {state.name}: {', '.join(f'{one:.1f}' for one in seconds)} s")


def _records(instance: dg.DagsterInstance) -> tuple[int, int]:
    """Returns the number of runs and the last number of an event."""
    return instance.get_runs_count(), instance.event_log_storage.get_maximum_record_id() or 0


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


def _measure_programs(console: Console, company: Company) -> None:
    """Prints what code server and daemon take, and the times of the UI's queries."""
    port = free_port()
    web = ("python", "-m", "powerca_sync.web", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml")
    with (
        run_code_server(company) as code,
        run_program(company, "daemon", "dagster-daemon", "run", "-w", "workspace.yaml") as daemon,
        run_program(company, "webserver", *web) as webserver,
    ):
        await_port(port)
        # The first ticks ask every office.
        time.sleep(WARM)
        programs = {"code server": code, "daemon": daemon}
        spent = {name: program.processor_seconds() for name, program in programs.items()}
        time.sleep(IDLE)
        for name, program in programs.items():
            share = (program.processor_seconds() - spent[name]) / IDLE
            console.print(f"{name}: {program.megabytes():.0f} MB, {share:.1%} of a core")
        nodes = _ask(port, GRAPH)[0]["assetNodes"]
        keys = [{"path": node["assetKey"]["path"]} for node in nodes]
        for what, query, variables in (
            ("asset graph", GRAPH, {}),
            ("live data of all assets", LIVE, {"keys": keys}),
            ("partitions of one asset", PARTITIONS, {"key": {"path": ["climaster"]}}),
        ):
            answers = [_ask(port, query, **variables) for _ in range(ROUNDS)]
            size = len(json.dumps(answers[0][0])) / 1000
            console.print(f"query of the {what}: {min(seconds for _, seconds in answers):.2f} s, {size:.0f} kB")
        console.print(f"webserver: {webserver.megabytes():.0f} MB")
        if seconds := float(os.environ.get("OFFICES_STAY", "0")):
            # For a look with a browser.
            console.print(f"http://127.0.0.1:{port} for {seconds:.0f} s")
            time.sleep(seconds)


def _ask(port: int, query: str, **variables: object) -> tuple[dict[str, list[dict[str, dict[str, list[str]]]]], float]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    began = time.monotonic()
    with urlopen(request, timeout=120) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"], time.monotonic() - began
