"""Keys that two offices use, in tables where the key alone identifies a row."""

from collections.abc import Iterator

from psycopg import sql

from powerca_sync.engine.context import Context
from powerca_sync.engine.doctor.findings import Finding, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import Scope, equality
from powerca_sync.engine.postgres import Cursor, Table
from powerca_sync.specs import Strategy, TableSpec

#: The lowest keys of the desktop, which are looked up: each desktop counts from 1.
MOST_KEYS = 1_000


def examine_shared_keys(source: Side, target: Side, context: Context) -> Iterator[Finding]:
    """Yields the tables in which another office has keys of this desktop; looks at the lowest keys."""
    if context.office.alone:
        return
    found = [words for spec in context.specs for words in _shared_key(source, target, context, spec)]
    if found:
        yield warning(
            target.name,
            f"Another office has keys of this one: {'; '.join(found)}.",
            why="The key alone identifies a row there, so that this office's row has no place and is quarantined.",
            do="Choose a way out in `docs/offices.md`: a mobile database for each office, or keys that differ.",
        )


def _shared_key(source: Side, target: Side, context: Context, spec: TableSpec) -> Iterator[str]:
    resolved = context.catalogs.resolution[spec.mobile]
    if spec.strategy is not Strategy.UPSERT or len(spec.key) != 1 or spec.office is None or spec.defines_offices:
        return
    table, desktop = context.catalogs.targets.get(spec.mobile), context.catalogs.sources.get(spec.desktop)
    if resolved.blocked or resolved.absent or table is None or desktop is None or not table.is_unique(spec.key):
        return
    keys = source.look(f"the keys of `{spec.desktop}`", lambda cursor: _lowest_keys(cursor, spec, desktop))
    if not keys:
        return
    at = f"the keys of `{spec.mobile}`"
    for key, organisation in (
        target.look(at, lambda cursor: _find_foreign(cursor, spec, context.scope, table, keys)) or ()
    ):
        whose = f"belongs to organisation {organisation}" if organisation else "is of no known office"
        yield f"{spec.key[0]}={key} of {spec.mobile} {whose}"


def _lowest_keys(cursor: Cursor, spec: TableSpec, table: Table) -> list[str]:
    cursor.execute(
        sql.SQL(
            "SELECT k.key::text FROM ("
            "SELECT DISTINCT t.{key} AS key FROM {table} AS t WHERE t.{key} IS NOT NULL ORDER BY 1 LIMIT {most}) AS k"
        ).format(key=sql.Identifier(spec.key[0]), table=table.identifier, most=MOST_KEYS)
    )
    return [key for (key,) in cursor.fetchall()]


def _find_foreign(
    cursor: Cursor, spec: TableSpec, scope: Scope, table: Table, keys: list[str]
) -> list[tuple[str, str | None]]:
    """Returns the lowest of the keys that a row of another office, or of none, has, and its organisation."""
    column = table.required(spec.key[0])
    cursor.execute(
        sql.SQL("""\
SELECT t.{key}::text, {organisation}
FROM unnest({keys}::text[]) AS k (key) JOIN {table} AS t ON t.{key} {equal} k.key::{type}
WHERE ({in_office}) IS NOT TRUE
ORDER BY t.{key} LIMIT 1""").format(
            key=sql.Identifier(column.name),
            organisation=scope.organisation(spec, "t"),
            keys=keys,
            table=table.identifier,
            equal=equality(column),
            type=sql.SQL(column.type),  # format_type() quotes it
            in_office=scope.holds(spec, "t"),
        )
    )
    return cursor.fetchall()
