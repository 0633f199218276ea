"""The lower limit: `psql COPY TO | psql COPY FROM` into a temporary table and a merge in SQL, in one transaction."""

import subprocess
from pathlib import Path

from benchmarks.tables import NAMES
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy, TableSpec


def pipe(
    psql: Path, source: Endpoint, target: Endpoint, spec: TableSpec, *, by_difference: bool, where: str = "TRUE"
) -> None:
    """Copies the table over and merges it, unconditionally as the guide does or writing only the difference."""
    columns = ", ".join(NAMES)
    copy_out = f"COPY (SELECT {columns} FROM {spec.desktop} WHERE {where}) TO STDOUT"
    script = [
        "BEGIN",
        "SET LOCAL work_mem = '64MB'",
        f"CREATE TEMP TABLE staging ON COMMIT DROP AS SELECT {columns} FROM {spec.mobile} WITH NO DATA",
        f"\\copy staging ({columns}) from pstdin",
        "ANALYZE staging",
        *(_by_difference(spec) if by_difference else _blind(spec)),
        "COMMIT",
    ]
    arguments = [argument for line in script for argument in ("-c", line)]
    reader = subprocess.Popen([*_psql(psql, source), "-c", copy_out], stdout=subprocess.PIPE)
    subprocess.run([*_psql(psql, target), *arguments], stdin=reader.stdout, check=True, stdout=subprocess.DEVNULL)
    if reader.wait():
        raise RuntimeError("the reading psql failed")


def _psql(psql: Path, endpoint: Endpoint) -> list[str]:
    conninfo = f"host={endpoint.host} port={endpoint.port} user={endpoint.user} dbname={endpoint.name}"
    return [str(psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", conninfo]


def _blind(spec: TableSpec) -> list[str]:
    columns = ", ".join(NAMES)
    insert = f"INSERT INTO {spec.mobile} ({columns}, source) SELECT {columns}, 'D' FROM staging"
    if spec.strategy is Strategy.DELETE_INSERT:
        return [f"DELETE FROM {spec.mobile} WHERE source = 'D' OR source IS NULL", insert]
    changes = ", ".join(f"{name} = excluded.{name}" for name in NAMES if name not in spec.key)
    return [f"{insert} ON CONFLICT (client_id) DO UPDATE SET {changes} WHERE {spec.mobile}.source = 'D'"]


def _by_difference(spec: TableSpec) -> list[str]:
    columns = ", ".join(NAMES)
    if spec.strategy is Strategy.DELETE_INSERT:
        # Rows may be duplicates, so that only multisets can be compared.
        owned = f"SELECT {columns} FROM {spec.mobile} WHERE source = 'D'"
        staged = f"SELECT {columns} FROM staging"
        return [
            f"CREATE TEMP TABLE gone ON COMMIT DROP AS {owned} EXCEPT ALL {staged}",
            f"CREATE TEMP TABLE come ON COMMIT DROP AS {staged} EXCEPT ALL {owned}",
            "ANALYZE gone",
            f"DELETE FROM {spec.mobile} WHERE ctid IN (SELECT place FROM (SELECT t.ctid AS place, copies, "
            f"row_number() OVER (PARTITION BY {columns}) AS n FROM {spec.mobile} AS t JOIN (SELECT {columns}, "
            f"count(*) AS copies FROM gone GROUP BY {columns}) AS g USING ({columns})) AS numbered WHERE n <= copies)",
            f"INSERT INTO {spec.mobile} ({columns}, source) SELECT {columns}, 'D' FROM come",
        ]
    content = [name for name in NAMES if name not in spec.key]
    staged = ", ".join(f"s.{name}" for name in content)
    stored = ", ".join(f"t.{name}" for name in content)
    changes = ", ".join(f"{name} = s.{name}" for name in content)
    return [
        f"UPDATE {spec.mobile} AS t SET {changes} FROM staging AS s "
        f"WHERE t.client_id = s.client_id AND t.source = 'D' AND ({staged}) IS DISTINCT FROM ({stored})",
        f"INSERT INTO {spec.mobile} ({columns}, source) SELECT {columns}, 'D' FROM staging AS s "
        f"WHERE NOT EXISTS (SELECT FROM {spec.mobile} AS t WHERE t.client_id = s.client_id)",
    ]
