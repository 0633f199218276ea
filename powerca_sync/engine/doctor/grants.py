"""Compares the rights of both users with those that a sync needs; missing ones become GRANT statements to paste."""

from collections.abc import Iterable, Iterator, Sequence

from psycopg import sql

from powerca_sync.engine.doctor.findings import Finding, listed, warning, wrong
from powerca_sync.engine.doctor.rights import ADD, READ, WRITE, Rights, grants, lacking, wanted
from powerca_sync.engine.postgres import Table

SCHEMA = sql.Identifier("powerca_sync")


def examine_visibility(side: str, user: str, rights: Rights) -> Iterator[Finding]:
    """Yields a finding if row-level security hides rows from the user."""
    role = sql.Identifier(user)
    hidden = [table for table in rights.tables.values() if table.hidden]
    if hidden:
        yield wrong(
            side,
            f"Row-level security may hide rows of {listed(table.name for table in hidden)} from user {user}.",
            why="A sync that sees only some rows would take the others for deleted; it refuses to run.",
            do=f"Use the tables' owner, or let {user} see all rows; as an administrator of the {side} database:",
            statements=[sql.SQL("ALTER ROLE {} BYPASSRLS").format(role)],
        )


def examine_reading(side: str, user: str, rights: Rights, tables: Iterable[Table]) -> Iterator[Finding]:
    """Yields a finding if a forward sync may not read tables of the desktop or the ledger."""
    needed = wanted(rights, tables, READ)
    needed += [(each, READ) for each in rights.tables.values() if each.schema == "powerca_sync" and each.name != TOKENS]
    missing = grants(user, needed)
    if missing:
        names = listed(table.name for table, _ in lacking(needed))
        yield wrong(
            side,
            f"User {user} may not read {names}.",
            why="These tables cannot be synced.",
            do=f"As the tables' owner or an administrator of the {side} database:",
            statements=missing,
        )


#: A sync works without this table on the desktop.
TOKENS = "run_token"
#: State tables of the guide, on which nothing depends.
GUIDE_TABLES = frozenset({"sync_log", "_sync_metadata"})


def examine_bringing_back(
    side: str, user: str, rights: Rights, tables: Sequence[Table], database: str
) -> Iterator[Finding]:
    """Yields a finding if a reverse sync may not insert phone rows on the desktop or write the ledger."""
    role = sql.Identifier(user)
    own = [rights.tables[oid] for oid in rights.own.own_tables if oid in rights.tables]
    log = [table for table in own if table.name == "sync_log"]
    # The guide's log is written to if it exists; otherwise the engine keeps a log of its own.
    logs = [(table, ADD) for table in log] if len(log) == 1 else [(table, ADD) for table in log if table.usage]
    kept = [(table, WRITE) for table in own if table not in log]
    missing: list[sql.Composed] = []
    if not rights.own.temporary:
        missing.append(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(database), role))
    if rights.own.usage is None and not rights.own.may_create_schema:
        missing.append(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(SCHEMA, role))
    elif rights.own.usage is not None and not rights.own.create and not rights.prepared:
        missing.append(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(SCHEMA, role))
    missing += grants(user, [*wanted(rights, tables, ADD), *kept, *logs])
    filled = {(table.schema, table.name) for table in tables}
    logged = {(table.schema, table.name) for table, _ in logs}
    missing += [
        sql.SQL("GRANT USAGE, UPDATE ON SEQUENCE {} TO {}").format(sequence.identifier, role)
        for sequence in rights.sequences
        if (sequence.schema, sequence.name) in filled and not (sequence.update and sequence.usage)
    ]
    missing += [
        sql.SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(sequence.identifier, role)
        for sequence in rights.sequences
        if (sequence.schema, sequence.name) in logged and not (sequence.identity or sequence.usage)
    ]
    if missing:
        yield warning(
            side,
            f"User {user} may not insert phone rows on the desktop.",
            why="The office's rows reach the phones, but phone rows are not reverse-synced. A copy of this machine is "
            "recognised by the position in the write-ahead log only.",
            do="To reverse-sync phone rows, as the tables' owner or an administrator of the desktop database:",
            statements=missing,
        )


def examine_writing(side: str, user: str, rights: Rights, tables: Sequence[Table], database: str) -> Iterator[Finding]:
    """Yields findings if a forward sync may not write these tables of mobile or its state."""
    role = sql.Identifier(user)
    missing = []
    if not rights.own.temporary:
        missing.append(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(database), role))
    missing += grants(user, wanted(rights, tables, WRITE))
    fed = {(table.schema, table.name) for table in tables}
    missing += [
        sql.SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(sequence.identifier, role)
        for sequence in rights.sequences
        if (sequence.schema, sequence.name) in fed and not (sequence.usage or sequence.identity)
    ]
    if missing:
        yield wrong(
            side,
            f"User {user} lacks rights that every sync needs.",
            why="A sync reads, inserts, updates and deletes rows, and stages them in temporary tables.",
            do=f"As the tables' owner or an administrator of the {side} database:",
            statements=missing,
        )
    yield from _examine_own(side, user, rights, database)


def _examine_own(side: str, user: str, rights: Rights, database: str) -> Iterator[Finding]:
    role = sql.Identifier(user)
    if rights.prepared:
        own = [rights.tables[oid] for oid in rights.own.own_tables if oid in rights.tables]
        missing = grants(user, [(table, WRITE) for table in own if table.name not in GUIDE_TABLES])
        if missing:
            yield wrong(
                side,
                f"User {user} may not use the sync's own tables.",
                why="They hold the watermarks and the quarantine.",
                do=f"As their owner or an administrator of the {side} database:",
                statements=missing,
            )
        return
    missing = []
    if not rights.own.may_create_schema:
        missing.append(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), role))
    if missing:
        yield wrong(
            side,
            f"User {user} may not create the sync's own tables, which do not exist yet.",
            why="They hold the watermarks and the quarantine.",
            do=f"As an administrator of the {side} database; after `powerca-sync init` the right may be revoked:",
            statements=missing,
        )
