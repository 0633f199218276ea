"""The measured tables: one million rows of twelve columns under either strategy, and smaller ones."""

from psycopg import sql

from powerca_sync.engine.postgres import Connection
from powerca_sync.specs import Category, Strategy, TableSpec

COLUMNS = (
    "client_id integer, job_id bigint, staff_id numeric(8), year_id numeric(8), work_date date, noted_at timestamp,"
    " minutes numeric(10,2), status char(1), name varchar(80), remarks text, phone varchar(25), active boolean"
)
#: The compared columns, in the order of the table.
NAMES = [column.split()[0] for column in COLUMNS.split(", ")]


def big(name: str, strategy: Strategy) -> TableSpec:
    """Returns the spec of a measured table."""
    return TableSpec(
        desktop=name,
        description="Measured.",
        category=Category.TRANSACTIONAL,
        strategy=strategy,
        key=("client_id",),
        office=None,
    )


def create(source: Connection, target: Connection, spec: TableSpec, rows: int) -> None:
    """Creates the table in both databases, with `rows` rows in the source."""
    name = sql.Identifier(spec.mobile)
    columns = sql.SQL(COLUMNS)
    for connection in (source, target):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    source.execute(sql.SQL("CREATE TABLE {} ({})").format(name, columns))
    source.execute(
        sql.SQL(
            "INSERT INTO {} SELECT n, n / 3, n % 16, 20252026, date '2025-04-01' + n % 365,"
            " timestamp '2025-04-01' + n * interval '7 seconds', n % 480 + 0.25, 'P', 'Client number ' || n,"
            " repeat('note ', n % 12), '+91 98' || n, n % 2 = 0 FROM generate_series(1, {}) AS n"
        ).format(name, rows)
    )
    source.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (client_id)").format(name))
    key = "PRIMARY KEY (client_id)" if spec.strategy is Strategy.UPSERT else "id bigserial PRIMARY KEY"
    target.execute(
        sql.SQL(
            "CREATE TABLE {} ({}, source char(1) DEFAULT 'D', created_at timestamptz DEFAULT now(),"
            " updated_at timestamptz DEFAULT now(), {})"
        ).format(name, columns, sql.SQL(key))
    )
    for connection in (source, target):
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))


def change(source: Connection, spec: TableSpec, share: float, *, seed: int) -> None:
    """Changes a share of the source's rows."""
    source.execute(
        sql.SQL(
            "UPDATE {} SET minutes = minutes + 1, remarks = 'edited ' || %s WHERE (client_id + %s) %% %s = 0"
        ).format(sql.Identifier(spec.mobile)),
        [seed, seed * 37, round(1 / share)],
    )
