"""The allowed effects of a single run on the two databases, compared with its actual effects."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from powerca_sync.engine.result import ForwardResult, ReverseResult
from powerca_sync.specs import DESKTOP, PHONE, TableSpec
from powerca_sync_tests.histories.ledger import Ledger, Pulled
from powerca_sync_tests.histories.model import Content, Row, content, counted, faults_reverse, key_of
from powerca_sync_tests.histories.people import People
from powerca_sync_tests.histories.side import State
from powerca_sync_tests.histories.tables import OURS, SHARED, by_key


def _may_be_copy(phone: Row, office: Row, columns: Sequence[str], table: TableSpec) -> bool:
    """Returns whether a desktop row has the key of a phone row and at least half of its other columns."""
    rest = [name for name in columns if name not in {*table.key, *table.mobile_owned}]
    same = sum(phone[name] == office[name] for name in rest)
    return key_of(phone, table) == key_of(office, table) and 2 * same >= len(rest)


class Witness(People):
    """Compares the state after each run with the state before it."""

    def check_forward(
        self,
        name: str,
        sides: tuple[State, State],
        after: dict[int, tuple[Row, str]],
        result: ForwardResult | None,
        *,
        ran: bool,
    ) -> None:
        """Asserts that only office rows were written, and only those that had to be."""
        desktop, before = (side[name] for side in sides)
        if not ran:
            assert after == before, f"{name}: a run that failed, or did not look at the table, has written"
            return
        self._note_foreign(name, before, after)
        if result is not None:
            assert result.foreign <= len(self.foreign[name]), f"{name}: rows of the sync's own are foreign: {result}"
        for uid, (row, text) in before.items():
            if row["source"] not in ("D", None) or row["org_id"] != OURS or self.ledgers[name].knows(row):
                assert after.get(uid) == (row, text), f"{name}: a row that is not the office's was written: {row}"
        compared = [column for column in self.columns[name] if column != "ticked"]
        compared += [lookup.column for lookup in self.specs[name].lookups]
        ours = [_owned(rows, compared) for rows in (before, after)]
        untouched = _owned({uid: there for uid, there in before.items() if after.get(uid) == there}, compared)
        kept = ours[0] & ours[1]
        assert untouched == kept, f"{name}: rows were written that did not have to be: {kept - untouched}"
        for uid, (row, _) in after.items():
            assert uid in before or row["source"] == "D", f"{name}: a row was inserted as somebody else's: {row}"
            if uid in before:
                assert row["ticked"] == before[uid][0]["ticked"], f"{name}: a tick was overwritten: {row}"
        self._check_pulled(name, desktop, before, after)
        gone = before.keys() - after.keys()
        # Which rows give way to one that a trigger or unique index refuses is decided before the refusal.
        held = {key for key, _ in self.waiting(name, "message IS NULL OR message !~ '^(not |duplicate )'")}
        for uid in gone:
            row = before[uid][0]
            row_key = key_of(row, self.specs[name])
            assert not row_key or row_key not in held, f"{name}: a last good version was deleted: {row}"
        counts = (len(after.keys() - before.keys()), len(gone))
        assert result is None or counts == (result.inserted, result.deleted), f"{name}: {counts} are not {result}"

    def _note_foreign(self, name: str, before: dict[int, tuple[Row, str]], after: dict[int, tuple[Row, str]]) -> None:
        """Note which rows others have written since the last run, and this one has not written."""
        written = {uid for uid, (_, text) in before.items() if name in self.left and self.left[name].get(uid) != text}
        self.foreign[name] = {uid for uid in written | self.foreign[name] if after.get(uid, 0) == before.get(uid)}
        self.left[name] = {uid: text for uid, (_, text) in after.items()}

    def _check_pulled(
        self,
        name: str,
        desktop: dict[int, tuple[Row, str]],
        before: dict[int, tuple[Row, str]],
        after: dict[int, tuple[Row, str]],
    ) -> None:
        """Asserts that no reverse-synced row was synced back: at most its own phone row still matches it."""
        ledger, table = self.ledgers[name], self.specs[name]
        compared = [column for column in self.columns[name] if column != "ticked"]
        images = ledger.images(compared)
        own = counted((row for row, _ in desktop.values()), compared)
        rows = [row for row, _ in before.values() if not ledger.knows(row)]
        there = counted((row for row in rows if row["source"] in (DESKTOP, None)), compared)
        owned = _owned({uid: there for uid, there in after.items() if not ledger.knows(there[0])}, compared)
        keys = {key_of(row, table) for row in rows}
        for one, count in owned.items():
            # With a key of its own, a row matches any desktop row with that key.
            if images[one] and not (by_key(table) and key_of(dict(one), table) in keys):
                most = max(there[one], own[one] - images[one])
                assert count <= most, f"{name}: {count} rows of the office's, not {most}: {dict(one)}"

    def check_reverse(
        self,
        name: str,
        before: tuple[State, State],
        after: dict[int, tuple[Row, str]],
        result: ReverseResult | None,
        *,
        ran: bool,
        refused: bool,
        again: bool = False,
    ) -> None:
        """Asserts that no desktop row was touched, and each new phone row is on the desktop once, or quarantined."""
        desktop = before[0][name]
        assert {uid: after.get(uid) for uid in desktop} == desktop, f"{name}: a pull has touched rows of the desktop"
        inserted = [row for uid, (row, _) in after.items() if uid not in desktop]
        if not ran:
            assert not inserted, f"{name}: a pull that failed, or did not look at the table, has written"
            return
        ledger, table = self.ledgers[name], self.specs[name]
        columns = self.columns[name]
        known_by = columns + (("source",) if self.variant.desktop_owner and name in SHARED else ())
        phones = [
            row for row, _ in before[1][name].values() if row["source"] == PHONE and self._is_ours(name, row, before[1])
        ]
        old_images = ledger.images(columns)
        others = [row for row, _ in before[1][name].values() if row["source"] != PHONE and row["org_id"] == OURS]
        new = ledger.judge(phones, known_by, [row for row, _ in desktop.values()] if again else None, others)
        waiting, reasons = self._held_back(name, new)
        come = counted(inserted, columns)
        to_come = counted(new, columns)
        assert come + waiting <= to_come, (
            f"{name}: more came from the phones than they have: {[dict(one) for one in come + waiting - to_come]}"
        )
        adopted = to_come - come - waiting
        own = counted((row for row, _ in desktop.values()), columns) - old_images
        assert adopted <= own, f"{name}: neither on the desktop nor in quarantine: {[dict(o) for o in adopted - own]}"
        if adopted and ledger.entries and not by_key(table):
            raise AssertionError(f"{name}: rows without a key of their own were taken for the office's: {adopted}")
        if result is not None:
            held = result.conflicts + result.lookalikes + result.quarantined
            told = (result.seen, result.pulled, result.adopted, held)
            assert told == (len(phones), len(inserted), adopted.total(), waiting.total()), f"{name}: {result}"
        taken = {key_of(row, table) for row, _ in after.values()}
        for row, reason in reasons:
            true = faults_reverse(row) | ({"refused"} if refused else set())
            if by_key(table) and key_of(row, table) in taken:
                true |= {"conflict"} | ({"refused"} if self.variant.desktop_key else set())
            if by_key(table) and self.variant.desktop_key and None in key_of(row, table):
                true |= {"not_null"}
            if not by_key(table) and any(_may_be_copy(row, one, columns, table) for one, _ in desktop.values()):
                true |= {"lookalike"}
            assert reason in true, f"{name}: {row} is in quarantine for {reason}; true are {true}"
        self._enter(ledger, new, waiting, known_by)

    def _is_ours(self, name: str, row: Row, mobile: State) -> bool:
        """Returns whether a phone row is this office's: by its organisation, or its job's, or as the only office."""
        jobs = {job["job_id"]: job["org_id"] for job, _ in mobile.get("jobs", {}).values()}
        org = row["org_id"]
        if org is None and self.specs[name].made_by:
            org = jobs.get(row["job_id"])
        return org == OURS or (org is None and self.variant.alone)

    def _enter(self, ledger: Ledger, new: Sequence[Row], waiting: Counter[Content], known_by: Sequence[str]) -> None:
        columns = self.columns[ledger.table.mobile]
        left = waiting.copy()
        for row in new:
            one = content(row, columns)
            if left[one]:
                left[one] -= 1
                continue
            key = row[ledger.mobile_key] if ledger.mobile_key else None
            ledger.entries.append(
                Pulled(
                    key=key,
                    phone=dict(content(row, known_by)),
                    born=row["created_at"],
                    image={**ledger.defaults, **dict(one)},
                )
            )

    def _held_back(self, name: str, new: Sequence[Row]) -> tuple[Counter[Content], list[tuple[Row, str]]]:
        """Returns the quarantined ones of the new phone rows: their contents, each with the reason."""
        columns = self.columns[name]
        if self.pair.one("SELECT to_regclass('powerca_sync.quarantine') IS NULL", self.pair.source):
            return Counter(), []
        entries = self.pair.rows(
            f"SELECT image, reason FROM powerca_sync.quarantine WHERE table_name = '{name}'",  # noqa: S608
            self.pair.source,
        )
        left = list(new)
        found = []
        for image, reason in entries:
            wanted = {column: image.get(column) for column in columns}
            row = next((row for row in left if _as_text(row, columns) == wanted), None)
            assert row is not None, f"{name}: in quarantine is a row that no phone has: {image}"
            left.remove(row)
            found.append((row, reason))
        return counted((row for row, _ in found), columns), found

    def waiting(self, name: str, where: str = "TRUE") -> Counter[tuple[tuple[Any, ...], str]]:
        """Returns the quarantine of a mobile table: keys and reasons."""
        entries = self.pair.rows(
            f"SELECT key, reason FROM powerca_sync.quarantine WHERE table_name = '{name}' AND ({where})"  # noqa: S608
        )
        return Counter(
            (tuple(None if key[part] is None else int(key[part]) for part in self.specs[name].key), reason)
            for key, reason in entries
        )

    def pulls(self) -> dict[str, Any]:
        """Returns by table when a reverse run last committed."""
        if self.pair.one("SELECT to_regclass('powerca_sync.pulls') IS NULL", self.pair.source):
            return {}
        return dict(self.pair.rows("SELECT table_name, pulled_at FROM powerca_sync.pulls", self.pair.source))

    def sequences(self) -> list[Any]:
        """Returns the state of the sequences of both databases."""
        query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
        return [
            row
            for side in (self.pair.source, self.pair.target)
            for row in self.pair.rows(query, side)
            if row[0] != "sync_log_id_seq"
        ]


def _owned(rows: dict[int, tuple[Row, str]], columns: Sequence[str]) -> Counter[Content]:
    return counted((row for row, _ in rows.values() if row["source"] == "D" and row["org_id"] == OURS), columns)


def _as_text(row: Row, columns: Sequence[str]) -> dict[str, str | None]:
    return {name: None if row[name] is None else str(row[name]) for name in columns}
