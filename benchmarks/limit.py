"""The lower limit: `psql` from COPY to COPY in binary form, and a merge by difference on typed hashes, in one
transaction.

It checks nothing: no references, no conversions, no guards, no conservation. Its hashes are not strong enough to be
relied on (those of bigint and timestamps have 32 bits), which is why it is a limit and not a contender.
"""

import subprocess

from benchmarks.machines import PSQL
from benchmarks.tables import NAMES
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy, TableSpec

COLUMNS = ", ".join(NAMES)
OWNED = "(t.source = 'D' OR t.source IS NULL)"


def pipe(source: Endpoint, target: Endpoint, spec: TableSpec, *, first: bool = False, where: str = "TRUE") -> None:
    """Copies the rows over and merges them: a plain INSERT if it is the first load, otherwise what differs."""
    copy_out = f"COPY (SELECT {COLUMNS} FROM {spec.desktop} WHERE {where}) TO STDOUT (FORMAT binary)"
    script = [
        "BEGIN",
        "SET LOCAL work_mem = '64MB'",
        f"CREATE TEMP TABLE staging ON COMMIT DROP AS SELECT {COLUMNS} FROM {spec.mobile} WITH NO DATA",
        f"\\copy staging ({COLUMNS}) from pstdin (format binary)",
        "ANALYZE staging",
        *([_insert(spec)] if first else _by_difference(spec)),
        "COMMIT",
    ]
    arguments = [argument for line in script for argument in ("-c", line)]
    reader = subprocess.Popen([*_psql(source), "-c", copy_out], stdout=subprocess.PIPE)
    subprocess.run([*_psql(target), *arguments], stdin=reader.stdout, check=True, stdout=subprocess.DEVNULL)
    if reader.wait():
        raise RuntimeError("the reading psql failed")


def _psql(endpoint: Endpoint) -> list[str]:
    conninfo = f"host={endpoint.host} port={endpoint.port} user={endpoint.user} dbname={endpoint.name}"
    return [str(PSQL), "-X", "-q", "-v", "ON_ERROR_STOP=1", conninfo]


def _insert(spec: TableSpec) -> str:
    return f"INSERT INTO {spec.mobile} ({COLUMNS}, source) SELECT {COLUMNS}, 'D' FROM staging"


def _by_difference(spec: TableSpec) -> list[str]:
    if spec.strategy is Strategy.UPSERT:
        content = [name for name in NAMES if name not in spec.key]
        staged, stored = (", ".join(f"{alias}.{name}" for name in content) for alias in "st")
        changes = ", ".join(f"{name} = excluded.{name}" for name in content)
        return [
            f"INSERT INTO {spec.mobile} ({COLUMNS}, source) "
            f"SELECT {', '.join(f's.{name}' for name in NAMES)}, 'D' FROM staging AS s "
            f"LEFT JOIN {spec.mobile} AS t ON t.client_id = s.client_id "
            f"WHERE t.client_id IS NULL OR {OWNED} AND ({staged}) IS DISTINCT FROM ({stored}) "
            f"ON CONFLICT (client_id) DO UPDATE SET {changes}"
        ]
    # Rows may be duplicates, so that multisets of hashes are compared: `surplus` is positive for rows to insert. The
    # measured rows are distinct, so that one place for each hash is enough.
    hashed = ", ".join(NAMES)
    return [
        "CREATE TEMP TABLE differing ON COMMIT DROP AS "
        "SELECT hash, sum(sign) AS surplus, max(staged) AS staged, max(stored) AS stored FROM ("
        f"SELECT hash_record_extended(ROW({hashed}), 0) AS hash, 1 AS sign, ctid AS staged, NULL::tid AS stored "
        "FROM staging UNION ALL "
        f"SELECT hash_record_extended(ROW({hashed}), 0), -1, NULL, ctid FROM {spec.mobile} AS t WHERE {OWNED}"
        ") AS both_sides GROUP BY hash HAVING sum(sign) <> 0",
        f"DELETE FROM {spec.mobile} WHERE ctid = ANY (ARRAY(SELECT stored FROM differing WHERE surplus < 0))",
        f"{_insert(spec)} WHERE ctid = ANY (ARRAY(SELECT staged FROM differing WHERE surplus > 0))",
    ]
