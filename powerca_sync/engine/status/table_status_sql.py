"""Statement that counts the rows of a target table by owner."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import Scope, belongs
from powerca_sync.engine.staging import has_dangling_reference
from powerca_sync.specs import ADMINISTRATOR, DESKTOP, OWNER, PHONE, Reference, TableSpec


def count_rows(spec: TableSpec, scope: Scope, references: Sequence[Reference]) -> sql.Composed:
    """Count the office's rows by owner (desktop, phone, others, of these an administrator's), then dangling ones.

    Rows of other owners count unless they are of another office; dangling rows for each of the references.
    """
    table = scope.table(spec.mobile)
    owner = sql.SQL("{}::text").format(sql.Identifier("t", OWNER) if table.column(OWNER) else DESKTOP)
    ours = sql.SQL("o.ours")
    conditions = [
        *(sql.SQL("{} = {} AND {}").format(owner, side, ours) for side in (DESKTOP, PHONE)),
        sql.SQL("({} IN ({}, {})) IS NOT TRUE").format(owner, DESKTOP, PHONE),
        sql.SQL("{} = {}").format(owner, ADMINISTRATOR),
        *(
            sql.SQL("{} AND {}").format(
                ours, has_dangling_reference(reference, table, scope.table(reference.parent), alias="t")
            )
            for reference in references
        ),
    ]
    return sql.SQL("""\
SELECT {counts}
FROM {table} AS t CROSS JOIN LATERAL (SELECT {ours} AS ours OFFSET 0) AS o
WHERE o.ours IS NOT FALSE""").format(
        counts=sql.SQL(",\n    ").join(sql.SQL("count(*) FILTER (WHERE {})").format(one) for one in conditions),
        table=table.identifier,
        ours=belongs(spec, scope, "t", owner),
    )
