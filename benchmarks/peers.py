"""Other tools that copy a table from one PostgreSQL to another, where the extra `peers` is installed.

Each runs as its users run it, as a process of its own, with the fastest of its settings that were tried: dlt by
connectorx, sling and ingestr by their own programs. Each writes tables of its own.

Usage as a program: `python -m benchmarks.peers TABLE STRATEGY FOLDER SOURCE TARGET` runs dlt, which is a library.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from psycopg import sql

from powerca_sync.engine.postgres import Connection
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy, TableSpec

SCHEMAS = ("dlt_peer", "sling_peer", "ingestr_peer")
QUIET = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "SLING_DISABLE_TELEMETRY": "TRUE",
    "DISABLE_TELEMETRY": "true",
    "INGESTR_DISABLE_TELEMETRY": "true",
}
PROGRAMS = Path(sys.executable).parent


def prepare(source: Connection, target: Connection, spec: TableSpec) -> None:
    """Creates the view that gives the peers finished rows, so that they have nothing to transform; and their schemas,
    empty.
    """
    source.execute(
        sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT *, 'D'::text AS source FROM {}").format(
            sql.Identifier(_view(spec)), sql.Identifier(spec.desktop)
        )
    )
    for schema in SCHEMAS:
        target.execute(sql.SQL("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}").format(sql.Identifier(schema)))


def installed(source: Endpoint, target: Endpoint, spec: TableSpec, folder: Path) -> dict[str, Callable[[], None]]:
    """Returns the installed peers; each call syncs the table in full.

    sling has no mode that replaces the desktop's rows and keeps those of phones: its `DELETE_INSERT` truncates.
    """
    upsert = spec.strategy is Strategy.UPSERT
    desktop, mobile = (f"{_url(endpoint)}?sslmode=disable" for endpoint in (source, target))
    found: dict[str, Callable[[], None]] = {}
    if importlib.util.find_spec("dlt"):
        dlt = (sys.executable, "-m", "benchmarks.peers", spec.mobile, spec.strategy, str(folder / "dlt"))
        found["dlt"] = _command(*dlt, _url(source), _url(target))
    if sling := _sling():
        mode = ("--mode", "incremental", "--primary-key", spec.key[0]) if upsert else ("--mode", "truncate")
        places = ("--src-conn", desktop, "--src-stream", f"public.{_view(spec)}", "--tgt-conn", mobile)
        found["sling"] = _command(
            str(sling), "run", *places, "--tgt-object", f"sling_peer.{spec.mobile}", *mode,
            SLING_HOME_DIR=str(folder / "sling"),
        )  # fmt: skip
    if (PROGRAMS / "ingestr").exists():
        strategy = (
            ("merge", "--primary-key", spec.key[0]) if upsert else ("delete+insert", "--incremental-key", "source")
        )
        places = ("--source-uri", desktop, "--source-table", f"public.{_view(spec)}", "--dest-uri", mobile)
        found["ingestr"] = _command(
            str(PROGRAMS / "ingestr"), "ingest", *places, "--dest-table", f"ingestr_peer.{spec.mobile}",
            "--incremental-strategy", *strategy, "--yes", "--progress", "log",
        )  # fmt: skip
    return found


def _sling() -> Path | None:
    found = importlib.util.find_spec("sling_linux_amd64")
    program = Path(found.origin).parent / "bin" / "sling-linux-amd64" if found and found.origin else None
    if program is not None and not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def _view(spec: TableSpec) -> str:
    return f"{spec.desktop}_finished"


def _url(endpoint: Endpoint) -> str:
    # dlt insists on a password; the servers trust this machine.
    return f"postgresql://{endpoint.user}:unused@{endpoint.host}:{endpoint.port}/{endpoint.name}"


def _command(*arguments: str, **variables: str) -> Callable[[], None]:
    def run() -> None:
        done = subprocess.run(
            arguments, env={**os.environ, **QUIET, **variables}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed: {done.stdout[-500:]} {done.stderr[-1000:]}")

    return run


def run_dlt(table: str, strategy: Strategy, folder: str, source: str, target: str) -> None:
    """Merges the table's view into dlt's own table."""
    import dlt
    from dlt.sources.sql_database import sql_table

    rows = sql_table(
        credentials=source.replace("postgresql://", "postgresql+psycopg2://"),
        table=f"{table}_finished",
        schema="public",
        backend="connectorx",
        backend_kwargs={"conn": source},
        chunk_size=100_000,
        reflection_level="full_with_precision",
    )
    rows.apply_hints(table_name=table)
    if strategy is Strategy.UPSERT:
        rows.apply_hints(primary_key="client_id", write_disposition={"disposition": "merge", "strategy": "upsert"})
    else:
        rows.apply_hints(merge_key="source", write_disposition={"disposition": "merge", "strategy": "delete-insert"})
    pipeline = dlt.pipeline(
        f"peer_{table}",
        destination=dlt.destinations.postgres(target),
        dataset_name="dlt_peer",
        pipelines_dir=folder,
    )
    pipeline.run(rows).raise_on_failed_jobs()


if __name__ == "__main__":
    run_dlt(sys.argv[1], Strategy(sys.argv[2]), *sys.argv[3:])
