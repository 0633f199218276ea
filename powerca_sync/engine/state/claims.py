"""Claims of organisations: each belongs to one desktop, and rows of two desktops must be distinguishable."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.mapping import WITHOUT_ORGANISATIONS, Office
from powerca_sync.engine.postgres import Cursor, Query, load, one_row
from powerca_sync.engine.state import preparation
from powerca_sync.errors import UnsafeTargetError


def register_office(
    cursor: Cursor, office: Office, *, unscoped: Callable[[], Sequence[str]], accept: bool = False
) -> None:
    """Claim the office's organisations, under the lock of registrations.

    `unscoped` returns the mobile names of the tables whose rows have no office; called only if another desktop is
    registered. With `accept`, desktops that have claimed one of the organisations are replaced, and the state of their
    tables is deleted. Raises `UnsafeTargetError` if another desktop has claimed one of the organisations, or if rows of
    two desktops could not be distinguished.
    """
    check_organisations(office)
    if not office.claims:
        return
    cursor.execute(*registration_lock(shared=False))
    claim = {"office": office.identity, "orgs": list(office.claims)}
    if accept:
        cursor.execute(load(__package__, "accept_office.sql"), claim)
    if check_claim(cursor, office):
        return
    check_registration(cursor, office, unscoped=unscoped)
    cursor.execute(load(__package__, "claim_office.sql"), claim)
    if not office.unlisted:
        cursor.execute(
            "DELETE FROM powerca_sync.office AS o WHERE o.office = %s AND o.org_id = %s",
            [office.identity, WITHOUT_ORGANISATIONS],
        )
    check_claim(cursor, office)


def check_registration(cursor: Cursor, office: Office, *, unscoped: Callable[[], Sequence[str]]) -> Office:
    """Returns the office with `alone` set; raises `UnsafeTargetError` if it cannot be registered.

    `unscoped` is as in `register_office`. Only reads.
    """
    is_registered = check_claim(cursor, office)
    cursor.execute(load(__package__, "other_offices.sql"), {"office": office.identity})
    others = cursor.fetchall()
    if others and office.claims and not is_registered:
        _check_tells_apart(office, unscoped(), others)
    return dataclasses.replace(office, alone=not (others and office.claims))


def check_organisations(office: Office) -> None:
    """Raises `UnsafeTargetError` if the desktop's table of organisations is empty."""
    if office.orgs is not None and not office.orgs:
        raise UnsafeTargetError(
            f"The desktop's table of organisations is empty (`{office.table}` has 0 rows with a key; the limit is 1), "
            "so that no row belongs to this office. Nothing was read, and no switch allows it. Check that the "
            "settings name the right database."
        )


def check_claim(cursor: Cursor, office: Office) -> bool:
    """Whether the office has claimed all its organisations; raises `UnsafeTargetError` if another desktop has one."""
    cursor.execute("SELECT org_id, office FROM powerca_sync.office WHERE org_id = ANY (%s)", [list(office.claims)])
    return claimed_by_office(office, dict(cursor.fetchall()))


def read_replaced(cursor: Cursor, office: Office) -> tuple[str, ...]:
    """Returns the other desktops that `register_office` replaces with `accept`."""
    cursor.execute(
        "SELECT DISTINCT o.office FROM powerca_sync.office AS o"
        " WHERE (o.org_id = ANY (%s) OR o.org_id = %s) AND o.office <> %s ORDER BY 1",
        [list(office.claims), WITHOUT_ORGANISATIONS, office.identity],
    )
    return tuple(other for (other,) in cursor.fetchall())


def is_alone(office: Office) -> Query:
    """A query: is no other desktop registered?"""
    statement = "SELECT NOT EXISTS (SELECT FROM powerca_sync.office AS o WHERE o.office <> %s) OR %s"
    return statement, [office.identity, not office.claims]


def has_other_offices(cursor: Cursor, office: Office) -> bool:
    """Returns whether another desktop is registered with organisations that this one does not have."""
    if not office.claims or not preparation.has_claims(cursor):
        return False
    statement = "SELECT EXISTS (SELECT FROM powerca_sync.office AS o WHERE o.office <> %s AND o.org_id <> ALL (%s))"
    return one_row(cursor, statement, [office.identity, list(office.claims)]) == (True,)


def claimed_by_office(office: Office, holders: Mapping[str, str]) -> bool:
    """Whether `holders`, organisation to desktop, has all organisations; raises as `check_claim` does."""
    others = sorted(org for org, holder in holders.items() if holder != office.identity)
    if others:
        whose = "A desktop without organisations" if office.unlisted else f"Organisation {', '.join(others)}"
        raise UnsafeTargetError(
            f"{whose} belongs to another desktop (`{holders[others[0]]}`; this one is "
            f"`{office.identity}`). Nothing was read. If this desktop has taken the other's place, for example after "
            "it was moved to a new machine, run `powerca-sync init --accept-source`."
        )
    return holders.keys() >= set(office.claims)


def _check_tells_apart(
    office: Office, unscoped: Sequence[str], others: Sequence[tuple[str, bool, Sequence[str]]]
) -> None:
    """Raises `UnsafeTargetError` unless every table distinguishes the rows of this office and the `others`."""
    tables = sorted({*unscoped, *(table for _, _, theirs in others for table in theirs)})
    nameless = office.unlisted or any(unlisted for _, unlisted, _ in others)
    if not (tables or nameless):
        return
    named = ", ".join(f"`{table}`" for table in tables) or "every table"
    raise UnsafeTargetError(
        f"Another desktop (`{others[0][0]}`) is registered in this mobile database, and the rows of two offices could "
        f"not be told apart in {named}: no column leads to exactly one organisation. Nothing was read, and this "
        f"desktop (`{office.identity}`) is not registered. Add the office's column (`org_id`) to these tables on both "
        "databases, use a mobile database of its own for this office, or take the tables out of the specs of both."
    )


def registration_lock(*, shared: bool) -> Query:
    """A query that takes the lock of registrations; `shared` locks exclude only registrations."""
    name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    return sql.SQL("SELECT {}(hashtextextended('powerca_sync:registration', 0))").format(sql.SQL(name)), None
