"""Complaints about a table after runs have converged, in plain Python; none if all is well."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from powerca_sync.specs import Deletes
from powerca_sync_tests.histories.model import (
    Content,
    Row,
    Sides,
    content,
    counted,
    handed_over,
    key_of,
    own_rows,
    total_by_key,
    unreadable,
    with_equal_badge,
)
from powerca_sync_tests.histories.tables import OURS, REFUSED, UNDELETABLE, by_key


def complaints(sides: Sides) -> list[str]:
    """Returns one sentence for each error."""
    own, edits = own_rows(sides)
    if by_key(sides.table):
        return _complaints_by_key(sides, own, edits)
    return _complaints_by_content(sides, own, edits)


def _complaints_by_key(sides: Sides, own: Sequence[Row], edits: Counter[tuple[Any, ...]]) -> list[str]:
    found = []
    table, columns = sides.table, sides.compared
    incremental = sides.written_there is not None
    there = {key_of(row, table): row for row in sides.mobile}
    waiting = Counter(dict(sides.waiting))
    same_badge, perhaps = with_equal_badge(sides, own, edits)
    rows_by_key: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in own:
        rows_by_key[key_of(row, table)].append(row)
    for key, rows in rows_by_key.items():
        if key[0] in (sides.written_there or ()):
            continue
        # A desktop row that matches a phone row is not written, so that nothing can refuse it.
        written = key not in there or there[key]["source"] in ("D", None)
        faults = [sides.faults(row, written=written) for row in rows]
        if key in {key_of(row, table) for row in sides.known}:
            faults = [reasons | {"refused"} for reasons in faults]
        if None not in key and len(counted(rows, sides.columns)) > 1:
            faults = [reasons | {"duplicate_key"} for reasons in faults]
        match there.get(key):
            case None:
                fine = False
            case {"org_id": org} if org != OURS:
                faults = [reasons | {"collision"} for reasons in faults]
                fine = False
            case {"source": "D" | None as owner} as row:
                fine = owner == "D" and content(row, columns) == content(rows[0], columns)
            case _:
                fine = True
        may_wait: set[str] = set()
        for row, reasons in zip(rows, faults, strict=True):
            one = content(row, sides.columns)
            # An incremental run reads only the changed or quarantined rows among those that share a badge.
            if one in perhaps or (one in same_badge and incremental and fine):
                may_wait.add("duplicate_key")
            elif one in same_badge:
                reasons.add("duplicate_key")
            if not fine and any(key_of(other, table) != key for other in sides.holders(row["badge"])):
                reasons |= {"refused"}
        # Exact duplicates count once, unless the row is unfit.
        expected = [reasons for reasons in faults if reasons]
        wait = {reason: count for (its, reason), count in waiting.items() if its == key}
        if not expected:
            if not set(wait) <= may_wait:
                found.append(f"{key} is in quarantine without a true reason: {wait}")
            if not fine and not edits[key] and not wait:
                found.append(f"{key} is on the desktop as {rows}, on mobile as {there.get(key)}, and not in quarantine")
            continue
        if not set(wait) <= may_wait.union(*expected):
            found.append(f"{key} is in quarantine for {wait}; true are {expected}")
        # Exact duplicates may have collapsed into one.
        least = len(counted(rows, sides.columns)) - edits[key]
        if edits[key] and least <= 1 and all(reasons == {"duplicate_key"} for reasons in expected):
            # Without the edits there is only one left.
            least = 0
        if not least <= sum(wait.values()) <= len(rows):
            found.append(f"{sum(wait.values())} rows of {key} are in quarantine, not {len(rows)}")
    for (key, reason), count in waiting.items():
        if key not in rows_by_key:
            found.append(f"{count} rows of {key} are in quarantine ({reason}) that the desktop does not have")
    for key, row in there.items():
        # Nothing follows from an empty table, nor from the rows that an incremental run reads.
        ours = row["source"] == "D" and row["org_id"] == OURS and sides.desktop and not incremental
        ours = ours and row.get("mobile_uid") not in sides.foreign
        if ours and key not in rows_by_key and table.deletes is Deletes.PROPAGATE and row["days"] != UNDELETABLE:
            found.append(f"{row} is on mobile though the desktop does not have it")
    return found


def _complaints_by_content(sides: Sides, own: Sequence[Row], edits: Counter[tuple[Any, ...]]) -> list[str]:
    found = []
    table, columns = sides.table, sides.compared
    looked_up = [lookup.column for lookup in table.lookups]
    fit: Counter[Content] = Counter()
    faulty: Counter[tuple[Any, ...]] = Counter()
    reasons: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    same_badge, perhaps = with_equal_badge(sides, own, edits)
    for row in _once_by_badge(sides, own):
        its = sides.faults(row)
        key = key_of(row, table)
        if content(row, sides.columns) in same_badge | perhaps:
            its |= {"duplicate_key"}
            edits[key] += its == {"duplicate_key"} and content(row, sides.columns) in perhaps
            if content(row, sides.columns) in perhaps and sides.holders(row["badge"]):
                # If it is the only row with its badge after all, another row may have that badge on mobile.
                reasons[key].add("refused")
        if its:
            faulty[key] += 1
            reasons[key] |= its
            # A row that only a trigger would refuse is not written if it matches an equal phone row.
            edits[key] += row["name"] == REFUSED
        else:
            answers = {name: sides.jobs.get(row["job_id"], {}).get("days") for name in looked_up}
            fit[content({**row, **answers}, [*columns, *looked_up])] += 1
    ours = [row for row in sides.mobile if row["org_id"] == OURS]
    here = counted((row for row in ours if row["source"] == "D"), [*columns, *looked_up])
    phones = counted((row for row in ours if row["source"] == "M"), [*columns, *looked_up])
    nobodys = counted((row for row in ours if row["source"] == "S"), [*columns, *looked_up])
    stays = counted(
        (
            row
            for row in ours
            if row["source"] == "D"
            and (
                row["days"] == UNDELETABLE
                or row.get("id") in sides.depended_upon
                or row.get("mobile_uid") in sides.foreign
            )
        ),
        [*columns, *looked_up],
    )
    missing, extra = fit - here, here - fit
    # Images of copies that the desktop still has: their phone rows match no other row.
    echo = (sides.images - handed_over(sides)) & counted(sides.desktop, sides.columns)
    echoed = Counter[Content]()
    for one, count in echo.items():
        echoed[tuple((name, value) for name, value in one if name != "ticked")] += count
    may_stand = {one: max(0, phones[one] + nobodys[one] - echoed[one]) for one in missing}
    unexplained = Counter({one: max(0, count - may_stand[one]) for one, count in missing.items()})
    lost = total_by_key(+unexplained, table)
    in_the_way = Counter[tuple[Any, ...]]()
    for one in +unexplained:
        row = dict(one)
        if sides.holders(row["badge"]):
            in_the_way[key_of(row, table)] += 1
            reasons[key_of(row, table)] |= {"refused"}
    waiting: Counter[tuple[Any, ...]] = Counter()
    for (key, reason), count in sides.waiting.items():
        waiting[key] += count
        if reason not in reasons[key] and not (reason == "ambiguous" and faulty[key]):
            found.append(f"{count} rows of {key} are in quarantine for {reason}; true are {reasons[key]}")
    for key in {*lost, *waiting, *faulty}:
        # Which of several rows of a key is the office's edit of a reverse-synced one cannot be known.
        most = faulty[key] + lost[key]
        least = most - edits[key]
        if not least <= waiting[key] <= most + sum(may_stand.values()) * bool(faulty[key]):
            rows = [dict(one) for one in unexplained.elements() if key_of(dict(one), table) == key]
            found.append(
                f"{key}: {waiting[key]} rows are in quarantine; {faulty[key]} are unfit, {lost[key]} fit and are not "
                f"on mobile: {rows}; {edits[key]} may be edits"
            )
    if sides.desktop:
        for one, count in (extra - stays).items():
            key = key_of(dict(one), table)
            if not (table.key and (faulty[key] or in_the_way[key])):
                found.append(f"{count} rows are on mobile as the office's that the desktop does not have: {dict(one)}")
    return found


def _once_by_badge(sides: Sides, own: Sequence[Row]) -> list[Row]:
    """Returns the rows without the exact duplicates that collapse because their badge is unique on mobile."""
    left = []
    seen: set[Content] = set()
    for row in own:
        one = content(row, sides.columns)
        collapses = sides.unique and row["badge"] is not None and not unreadable(row, sides.table, sides.variant)
        if not (collapses and one in seen):
            left.append(row)
        seen.add(one)
    return left
