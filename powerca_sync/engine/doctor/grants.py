"""Hold what the users of both sides may do against what the sync does; what is missing, as statements to paste."""

from collections.abc import Iterable, Iterator, Sequence

from psycopg import sql

from powerca_sync.engine.doctor.findings import Finding, listed, warning, wrong
from powerca_sync.engine.doctor.rights import ADD, READ, WRITE, Rights, grants, lacking, wanted
from powerca_sync.engine.postgres import Table

SCHEMA = sql.Identifier("powerca_sync")


def examine_visibility(side: str, user: str, rights: Rights) -> Iterator[Finding]:
    """Whether row-level security hides rows from the user."""
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
    """Whether a forward sync may read the desktop, and there what came from phones."""
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


#: Without this table on the desktop a sync still works.
TOKENS = "run_token"
#: State tables of the guide, on which nothing depends.
GUIDE_TABLES = frozenset({"sync_log", "_sync_metadata"})


def examine_bringing_back(
    side: str, user: str, rights: Rights, tables: Sequence[Table], database: str
) -> Iterator[Finding]:
    """Whether a reverse sync may add phone rows to these tables of the desktop, and remember which."""
    role = sql.Identifier(user)
    own = [rights.tables[oid] for oid in rights.own.own_tables if oid in rights.tables]
    log = [table for table in own if table.name == "sync_log"]
    # The guide's log, where there is one, is written to; without it the engine keeps one of its own.
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
            f"User {user} may not add to the desktop what phones enter.",
            why="The office's rows reach the phones, but nothing comes back. A copy of this machine is told from it by "
            "the position in the write-ahead log only.",
            do="If phone rows are to come back, as the tables' owner or an administrator of the desktop database:",
            statements=missing,
        )


def examine_writing(side: str, user: str, rights: Rights, tables: Sequence[Table], database: str) -> Iterator[Finding]:
    """Whether a forward sync may write to these tables of mobile, and keep what it remembers."""
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
            why="A sync reads, adds, changes and deletes rows, and prepares them in temporary tables.",
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
                why="They hold where each table stands, and which rows wait in quarantine.",
                do=f"As whoever made them, or as an administrator of the {side} database:",
                statements=missing,
            )
        return
    missing = []
    if not rights.own.may_create_schema:
        missing.append(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), role))
    if missing:
        yield wrong(
            side,
            f"User {user} may not make the sync's own tables, which are not there yet.",
            why="They hold where each table stands, and which rows wait in quarantine.",
            do=f"As an administrator of the {side} database; after `powerca-sync init` it may be taken back:",
            statements=missing,
        )
