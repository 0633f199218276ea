"""Which tables have phone rows that no pull has seen: one statement at mobile, for all tables at once."""

import dataclasses
from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine import ledger
from powerca_sync.engine.catalog import schema_and_name
from powerca_sync.engine.database import Connection, Timeouts, transaction
from powerca_sync.engine.extract import read_snapshot
from powerca_sync.engine.failures import explained
from powerca_sync.engine.office import belongs, read_office
from powerca_sync.engine.sql import load
from powerca_sync.engine.statements import phones as phone_statements
from powerca_sync.tables import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What a look at both sides found."""

    #: Mobile names of the tables whose phone rows are not those of the last pull, in the order of the specs.
    pending: tuple[str, ...]
    #: Phone rows of this office, by mobile name; tables that were never pulled are left out.
    rows: dict[str, int]


def probe(*, source: Connection, target: Connection, specs: Sequence[TableSpec], seconds: float = 5) -> Probe:
    """Compare the phones' rows (at `source`) with what the last pull of each table recorded (at `target`).

    Each statement is given `seconds`. Only reads. Tables that were never pulled are pending; those whose spec switches
    the way back off are not looked at. Raises a `SyncError`.
    """
    timeouts = Timeouts(statement=seconds, lock=seconds)
    wanted = [spec for spec in specs if spec.reverse]
    with explained("looking at what was pulled"):
        if not ledger.is_prepared(target):
            return Probe(pending=tuple(spec.mobile for spec in wanted), rows={})
        with transaction(target, timezone="UTC", timeouts=timeouts, snapshot=True) as cursor:
            office = read_office(cursor, specs, read_snapshot(cursor).identity)
            cursor.execute(load("last_pulls.sql"), {"tables": [spec.desktop for spec in wanted]})
            pulls = dict(zip((spec.mobile for spec in wanted), cursor.fetchall(), strict=True))
    known = [spec for spec in wanted if pulls[spec.mobile][0] is not None]
    found: dict[str, tuple[int, str]] = {}
    if known:
        digests = (
            sql.SQL("SELECT {} AS name, d.* FROM ({}) AS d").format(
                spec.mobile,
                phone_statements.digest(
                    sql.Identifier(*schema_and_name(spec.mobile)),
                    belongs(spec, specs, office, "s", alone=pulls[spec.mobile][1]),
                ),
            )
            for spec in known
        )
        with (
            explained("looking for new phone rows"),
            transaction(source, timezone="UTC", timeouts=timeouts, snapshot=True) as cursor,
        ):
            cursor.execute(sql.SQL("\nUNION ALL\n").join(digests))
            found = {name: (rows, digest) for name, rows, _, digest in cursor.fetchall()}
    return Probe(
        pending=tuple(
            spec.mobile for spec in wanted if spec.mobile not in found or found[spec.mobile][1] != pulls[spec.mobile][0]
        ),
        rows={name: rows for name, (rows, _) in found.items()},
    )
