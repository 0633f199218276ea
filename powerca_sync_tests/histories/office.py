"""An office, its phones and their two databases: what may happen to them, and what must hold after each run.

Every public method is one step of a history. Rows are picked by a number, round and round among those that there are;
a step that the database refuses, or that finds no row, does nothing.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from powerca_sync.engine.database import Connection, Timeouts, connect
from powerca_sync.engine.extract import Mode, TableExtract, TablePull
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.result import ForwardResult, Options, ReverseResult
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.settings import Endpoint
from powerca_sync.tables import PHONE
from powerca_sync_tests.helpers import ORGS, Pair
from powerca_sync_tests.histories.model import (
    Content,
    Ledger,
    Pulled,
    Row,
    Sides,
    complaints,
    content,
    counted,
    faults_reverse,
    key_of,
)
from powerca_sync_tests.histories.tables import (
    COLUMNS,
    NAMES,
    OURS,
    SHARED,
    Variant,
    by_key,
    create,
    specs,
)

PATIENT = Options(timeouts=Timeouts(statement=60, lock=10, table=10))
HASTY = Options(timeouts=Timeouts(statement=0.5, lock=0.1, table=0.5))
#: Runs, in both directions by turns, after which nothing may change any more.
MOST_RUNS = 10

#: By table, then by the row's own number: the row, and a text in which any write to it shows.
State = dict[str, dict[int, tuple[Row, str]]]


class Office:
    """Both databases, what is known of them, and the steps."""

    def __init__(self, pair: Pair, *names: str, **variant: bool) -> None:
        """`names` are those of the tables that there are."""
        self.pair = pair
        self.names = names or NAMES
        self.variant = Variant(**variant)
        create(pair, self.names, self.variant)
        self.specs = specs(self.names, self.variant)
        self.ledgers = {name: Ledger(table) for name, table in self.specs.items()}
        self.columns: dict[str, tuple[str, ...]] = dict.fromkeys(self.names, COLUMNS)
        self.desktop = _Side(pair.settings.desktop, self.names, "desktop_uid")
        self.mobile = _Side(pair.settings.mobile, self.names, "mobile_uid")

    def close(self) -> None:
        """Let go of everything."""
        for side in (self.desktop, self.mobile):
            side.close()

    # What people do.

    def insert(self, where: str, table: str, late: bool = False, **values: Any) -> None:
        """Somebody adds a row; on mobile `source` says who."""
        side = self._side(where)
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        side.do(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table), names, sql.SQL(", ").join(map(sql.Literal, values.values()))
            ),
            late=late,
        )

    def edit(self, where: str, table: str, pick: int, late: bool = False, **values: Any) -> None:
        """Somebody changes a row: on mobile one that a phone has made, unless it is a tick, which may be on any."""
        side = self._side(where)
        uid = self._pick(side, table, pick, any_owner="ticked" in values)
        assignments = (sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items())
        side.do(
            sql.SQL("UPDATE {} SET {} WHERE {} = {}").format(
                sql.Identifier(table), sql.SQL(", ").join(assignments), sql.Identifier(side.uid), uid
            ),
            late=late,
        )

    def delete(self, where: str, table: str, pick: int, late: bool = False) -> None:
        """Somebody deletes a row: on mobile one that a phone has made."""
        side = self._side(where)
        uid = self._pick(side, table, pick)
        side.do(
            sql.SQL("DELETE FROM {} WHERE {} = {}").format(sql.Identifier(table), sql.Identifier(side.uid), uid),
            late=late,
        )

    def copy(self, where: str, table: str, pick: int) -> None:
        """Somebody adds a row once more."""
        side = self._side(where)
        uid = self._pick(side, table, pick)
        left_out = {side.uid, "id", "created_at"}
        names = sql.SQL(", ").join(sql.Identifier(name) for name in side.names(table) if name not in left_out)
        side.do(
            sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE {uid} = {pick}").format(
                table=sql.Identifier(table), names=names, uid=sql.Identifier(side.uid), pick=uid
            )
        )

    def again(self, table: str, pick: int, same: bool) -> None:
        """A phone deletes its row and makes another with the same primary key, of the same content or not."""
        uid = self._pick(self.mobile, table, pick)
        names = sql.SQL(", ").join(
            sql.Identifier(name)
            for name in self.mobile.names(table)
            if name not in ("mobile_uid", "created_at", *(() if same else ("name",)))
        )
        self.mobile.do(
            sql.SQL(
                "CREATE TEMP TABLE gone AS SELECT * FROM {table} WHERE mobile_uid = {uid};"
                "DELETE FROM {table} WHERE mobile_uid = {uid};"
                "INSERT INTO {table} ({names}) SELECT {names} FROM gone; DROP TABLE gone"
            ).format(table=sql.Identifier(table), uid=uid, names=names)
        )

    def comment(self, pick: int) -> None:
        """A phone's record depends on a task."""
        uid = self._pick(self.mobile, "tasks", pick, any_owner=True)
        self.mobile.do(sql.SQL("INSERT INTO comments SELECT id FROM tasks WHERE mobile_uid = {}").format(uid))

    def refresh(self, table: str, in_place: bool) -> None:
        """The desktop's refresh writes every row of a table again, as it was."""
        name = sql.Identifier(table)
        if in_place:
            self.desktop.do(sql.SQL("UPDATE {} SET ticked = ticked").format(name))
        else:
            self.desktop.do(
                sql.SQL(
                    "CREATE TEMP TABLE kept AS SELECT * FROM {table}; DELETE FROM {table};"
                    "INSERT INTO {table} SELECT * FROM kept ORDER BY desktop_uid DESC; DROP TABLE kept"
                ).format(table=name)
            )

    def add_column(self, table: str, here: str | None, there: str | None) -> None:
        """A column is added on both sides, with a default on the desktop (`here`), on mobile (`there`), or without."""
        if "extra" in self.columns[table] or self.desktop.late or self.mobile.late:
            return
        for side, default in ((self.desktop, here), (self.mobile, there)):
            side.do(sql.SQL("ALTER TABLE {} ADD extra text DEFAULT {}").format(sql.Identifier(table), default))
        self.columns[table] += ("extra",)
        self.ledgers[table].add_column("extra", here)

    def finish(self, where: str, commit: bool) -> None:
        """The transaction that was left open ends."""
        self._side(where).finish(commit=commit)

    # What we do.

    def forward(self, mode: str = "full", only: str | None = None, allow: bool = False, fault: Any = None) -> bool:
        """Sync forward; answers whether all tables went well."""
        before = self.look()
        done: dict[str, ForwardResult] = {}
        with self._faulty(fault) as options:
            for name in self.names if only is None else [only]:
                what = TableExtract(spec=self.specs[name], mode=Mode(mode), allow_mass_delete=allow)
                result = self._run(lambda what=what: self._sync_forward(what, options))  # type: ignore[misc]
                if result is not None:
                    done[name] = result
        after = self.look()
        assert after[0] == before[0], "a forward run has written to the desktop"
        for name in self.names:
            self._check_forward(
                name, before[0][name], before[1][name], after[1][name], done.get(name), ran=name in done
            )
        return len(done) == len(self.names if only is None else [only])

    def reverse(self, only: str | None = None, fault: Any = None) -> bool:
        """Pull the phones' rows; answers whether all tables went well."""
        tables = [name for name in self.names if name in SHARED and only in (name, None)]
        before = self.look()
        done: dict[str, ReverseResult] = {}
        with self._faulty(fault) as options:
            for name in tables:
                result = self._run(lambda name=name: self._sync_reverse(name, options))  # type: ignore[misc]
                if result is not None:
                    done[name] = result
        after = self.look()
        assert after[1] == before[1], "a pull has written to mobile"
        for name in self.names:
            self._check_reverse(
                name, before, after[0][name], done.get(name), ran=name in done, refused=fault is not None
            )
        return len(done) == len(tables)

    def disturbed(self, direction: str, run: Callable[[], None]) -> None:
        """All tables go in one direction, in another process, and nobody knows how far they get."""
        before, pulls = self.look(), self._pulls()
        run()
        after = self.look()
        if direction == "forward":
            assert after[0] == before[0], "a forward run has written to the desktop"
            for name in self.names:
                ran = after[1][name] != before[1][name]
                self._check_forward(name, before[0][name], before[1][name], after[1][name], None, ran=ran)
            return
        assert after[1] == before[1], "a pull has written to mobile"
        committed = self._pulls()
        for name in self.names:
            ran = committed.get(name) != pulls.get(name)
            self._check_reverse(name, before, after[0][name], None, ran=ran, refused=True)

    def settle(self) -> None:
        """Everybody stops; runs go on until nothing changes. Then both sides must hold what they should."""
        for side in (self.desktop, self.mobile):
            side.finish(commit=True)
        quiet = 0
        for n in range(MOST_RUNS):
            before = self.look()
            assert self.forward(allow=True) if n % 2 == 0 else self.reverse(), "a run failed, and nothing is in its way"
            quiet = quiet + 1 if self.look() == before else 0
            if quiet == 2:
                break
        else:
            raise AssertionError(f"still not quiet after {MOST_RUNS} runs")
        self.check()
        sequences = self._sequences()
        self.forward("incremental", allow=True)
        assert self.look() == before, "a run without changes has written"
        if not self.pair.one("SELECT EXISTS (SELECT FROM powerca_sync.quarantine WHERE reason = 'refused')"):
            # What a trigger refuses has got its number by then.
            assert self._sequences() == sequences, "a run without changes has burnt a number"

    def check(self) -> None:
        """Both sides hold what they should, now that all is quiet."""
        desktop, mobile = self.look()
        jobs = {row["job_id"]: row for row, _ in mobile.get("jobs", {}).values() if row["org_id"] == OURS}
        depended_upon = (
            {id_ for (id_,) in self.pair.rows("SELECT id FROM comments")} if "tasks" in self.names else set()
        )
        wrong = []
        for name, table in self.specs.items():
            sides = Sides(
                table=table,
                columns=self.columns[name],
                desktop=[row for row, _ in desktop[name].values()],
                mobile=[row for row, _ in mobile[name].values()],
                waiting=self._waiting(name),
                images=self.ledgers[name].images(self.columns[name]),
                jobs=jobs,
                depended_upon=depended_upon,
            )
            wrong += [f"{name}: {complaint}" for complaint in complaints(sides)]
        assert not wrong, "\n".join(wrong)

    def look(self) -> tuple[State, State]:
        """All rows of both sides."""
        return self.desktop.look(), self.mobile.look()

    # How it is checked.

    def _check_forward(
        self,
        name: str,
        desktop: dict[int, tuple[Row, str]],
        before: dict[int, tuple[Row, str]],
        after: dict[int, tuple[Row, str]],
        result: ForwardResult | None,
        *,
        ran: bool,
    ) -> None:
        """Only the office's rows were written, and of those only what had to be."""
        if not ran:
            assert after == before, f"{name}: a run that failed, or did not look at the table, has written"
            return
        for uid, (row, text) in before.items():
            if row["source"] not in ("D", None) or row["org_id"] != OURS:
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
        self._check_resurrected(name, desktop, before, after)
        gone = before.keys() - after.keys()
        # Which rows make way for one that a trigger refuses is settled before it does.
        held = {key for key, _ in self._waiting(name, "message IS NULL OR message !~ '^not '")}
        for uid in gone:
            row = before[uid][0]
            row_key = key_of(row, self.specs[name])
            assert not row_key or row_key not in held, f"{name}: a last good version was deleted: {row}"
        counts = (len(after.keys() - before.keys()), len(gone))
        assert result is None or counts == (result.inserted, result.deleted), f"{name}: {counts} are not {result}"

    def _check_resurrected(
        self,
        name: str,
        desktop: dict[int, tuple[Row, str]],
        before: dict[int, tuple[Row, str]],
        after: dict[int, tuple[Row, str]],
    ) -> None:
        """What a pull has brought has not come back: at most the row that stood there for it stands there still."""
        compared = [column for column in self.columns[name] if column != "ticked"]
        images = self.ledgers[name].images(compared)
        own = counted((row for row, _ in desktop.values()), compared)
        there = counted((row for row, _ in before.values() if row["source"] in ("D", None)), compared)
        keys = {key_of(row, self.specs[name]) for row, _ in before.values()}
        for one, count in _owned(after, compared).items():
            # Under a key of its own a row stands for whatever the desktop has by that key.
            if images[one] and not (by_key(self.specs[name]) and key_of(dict(one), self.specs[name]) in keys):
                most = max(there[one], own[one] - images[one])
                assert count <= most, f"{name}: {count} rows of the office's, not {most}: {dict(one)}"

    def _check_reverse(
        self,
        name: str,
        before: tuple[State, State],
        after: dict[int, tuple[Row, str]],
        result: ReverseResult | None,
        *,
        ran: bool,
        refused: bool,
    ) -> None:
        """No row of the desktop was touched, and each new phone row is there once, or in quarantine."""
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
            row
            for row, _ in before[1][name].values()
            if row["source"] == PHONE and (row["org_id"] == OURS or (row["org_id"] is None and self.variant.alone))
        ]
        old_images = ledger.images(columns)
        new = ledger.judge(phones, known_by)
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
            told = (result.seen, result.pulled, result.adopted, result.conflicts + result.quarantined)
            assert told == (len(phones), len(inserted), adopted.total(), waiting.total()), f"{name}: {result}"
        taken = {key_of(row, table) for row, _ in after.values()}
        for row, reason in reasons:
            true = faults_reverse(row) | ({"refused"} if refused else set())
            if by_key(table) and key_of(row, table) in taken:
                true |= {"conflict"} | ({"refused"} if self.variant.desktop_key else set())
            if by_key(table) and self.variant.desktop_key and None in key_of(row, table):
                true |= {"not_null"}
            assert reason in true, f"{name}: {row} is in quarantine for {reason}; true are {true}"
        self._enter(ledger, new, waiting, known_by)

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
                Pulled(key=key, phone=dict(content(row, known_by)), born=row["created_at"], image=dict(one))
            )

    def _held_back(self, name: str, new: Sequence[Row]) -> tuple[Counter[Content], list[tuple[Row, str]]]:
        """Of the new phone rows those that wait at the desktop: their contents, and each with the reason."""
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

    def _waiting(self, name: str, where: str = "TRUE") -> Counter[tuple[tuple[Any, ...], str]]:
        entries = self.pair.rows(
            f"SELECT key, reason FROM powerca_sync.quarantine WHERE table_name = '{name}' AND ({where})"  # noqa: S608
        )
        return Counter(
            (tuple(None if key[part] is None else int(key[part]) for part in self.specs[name].key), reason)
            for key, reason in entries
        )

    def _pulls(self) -> dict[str, Any]:
        """By table, when a pull last committed."""
        if self.pair.one("SELECT to_regclass('powerca_sync.pulls') IS NULL", self.pair.source):
            return {}
        return dict(self.pair.rows("SELECT table_name, pulled_at FROM powerca_sync.pulls", self.pair.source))

    def _sequences(self) -> list[Any]:
        query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
        return [
            row
            for side in (self.pair.source, self.pair.target)
            for row in self.pair.rows(query, side)
            if row[0] != "sync_log_id_seq"
        ]

    # How it is done.

    def _side(self, where: str) -> "_Side":
        return {"desktop": self.desktop, "mobile": self.mobile}[where]

    def _pick(self, side: "_Side", table: str, pick: int, *, any_owner: bool = False) -> int:
        """The number of a row, or 0, which no row has."""
        rows = side.look()[table]
        uids = [uid for uid, (row, _) in rows.items() if any_owner or side is self.desktop or row["source"] == PHONE]
        return sorted(uids)[pick % len(uids)] if uids else 0

    def _sync_forward(self, what: TableExtract, options: Options) -> ForwardResult:
        return sync_forward(
            what,
            source=self.desktop.engine,
            target=self.mobile.engine,
            specs=(ORGS, *self.specs.values()),
            options=options,
        )

    def _sync_reverse(self, name: str, options: Options) -> ReverseResult:
        return sync_reverse(
            TablePull(spec=self.specs[name]),
            source=self.mobile.engine,
            target=self.desktop.engine,
            specs=(ORGS, *self.specs.values()),
            options=options,
        )

    def _run(self, run: Callable[[], Any]) -> Any:
        """The result of a run, or None if it failed as it may."""
        try:
            return run()
        except SyncError as exc:
            emptied = isinstance(exc, UnsafeTargetError) and "is empty at the source" in str(exc)
            if not (emptied or self.in_the_way):
                raise
        return None

    @property
    def in_the_way(self) -> bool:
        """Whether somebody makes runs fail."""
        return bool(self.desktop.late or self.mobile.late or self._fault)

    _fault: Any = None

    @contextlib.contextmanager
    def _faulty(self, fault: Any) -> Iterator[Options]:
        """Make the runs inside fail: `(what, where, n)`."""
        if fault is None:
            yield HASTY if self.in_the_way else PATIENT
            return
        self._fault = fault
        what, where, n = fault
        side = self._side(where)
        table = self.names[n % len(self.names)]
        try:
            with FAULTS[what](side, table, n):
                yield HASTY
        finally:
            self._fault = None
            side.mend()


class _Side:
    """One database: for the people in it, and for the engine."""

    def __init__(self, endpoint: Endpoint, tables: Sequence[str], uid: str) -> None:
        self.endpoint = endpoint
        self.tables = tables
        self.uid = uid
        self.people = connect(endpoint)
        self.people.execute("SET lock_timeout = 50")
        self._late: Connection | None = None
        self._engine = connect(endpoint)

    @property
    def late(self) -> bool:
        """Whether a transaction was left open."""
        return self._late is not None

    @property
    def engine(self) -> Connection:
        """The engine's connection; a new one if it was lost."""
        if self._engine.closed:
            self._engine = connect(self.endpoint)
        return self._engine

    def close(self) -> None:
        self.finish(commit=False)
        self.people.close()
        self._engine.close()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that are open, or were when they were last used."""
        return (self.people, self._engine, *([self._late] if self._late else ()))

    def reconnect(self) -> None:
        """Everybody connects anew, because the server was away."""
        self.people.close()
        self._engine.close()
        self.people, self._engine = connect(self.endpoint), connect(self.endpoint)
        self.people.execute("SET lock_timeout = 50")

    def mend(self) -> None:
        """Take everything away that made runs fail."""
        self._engine.cursor_factory = psycopg.Cursor

    def do(self, statement: sql.Composable, *, late: bool = False) -> None:
        """Execute statements in one transaction, now, or in the one that is left open; nothing if they are refused."""
        if late and self._late is None:
            self._late = connect(self.endpoint)
            self._late.execute("SET lock_timeout = 50; BEGIN")
        connection = self._late if late and self._late else self.people
        with (
            contextlib.suppress(
                *(psycopg.IntegrityError, psycopg.DataError, psycopg.OperationalError, psycopg.errors.RaiseException)
            ),
            connection.transaction(),
        ):
            connection.execute(statement)

    def finish(self, *, commit: bool) -> None:
        """End the transaction that was left open."""
        if self._late is not None:
            self._late.execute("COMMIT" if commit else "ROLLBACK")
            self._late.close()
            self._late = None

    def names(self, table: str) -> list[str]:
        """The table's columns."""
        return [
            column.name
            for column in self.people.execute(
                sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))
            ).description
            or ()
        ]

    def look(self) -> State:
        """All rows."""
        state: State = {}
        for table in self.tables:
            cursor = self.people.execute(
                sql.SQL("SELECT ROW(t.ctid, t.xmin, t.*)::text, t.* FROM {} AS t").format(sql.Identifier(table))
            )
            names = [column.name for column in cursor.description or ()][1:]
            rows = [(dict(zip(names, values, strict=True)), text) for text, *values in cursor]
            state[table] = {row[self.uid]: (row, text) for row, text in rows}
        return state


def _owned(rows: dict[int, tuple[Row, str]], columns: Sequence[str]) -> Counter[Content]:
    return counted((row for row, _ in rows.values() if row["source"] == "D" and row["org_id"] == OURS), columns)


def _as_text(row: Row, columns: Sequence[str]) -> dict[str, str | None]:
    return {name: None if row[name] is None else str(row[name]) for name in columns}


@contextlib.contextmanager
def _killed(side: _Side, table: str, n: int) -> Iterator[None]:
    """The server ends the engine's connection before its nth statement."""
    left = n

    class Mortal(psycopg.Cursor[tuple[Any, ...]]):
        def execute(self, *args: Any, **rest: Any) -> Any:
            self._count()
            return super().execute(*args, **rest)

        def copy(self, *args: Any, **rest: Any) -> Any:
            self._count()
            return super().copy(*args, **rest)

        def _count(self) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                side.people.execute("SELECT pg_terminate_backend(%s, 5000)", [self.connection.info.backend_pid])

    side.engine.cursor_factory = Mortal
    yield


@contextlib.contextmanager
def _locked(side: _Side, table: str, n: int) -> Iterator[None]:
    """Somebody holds a lock on a table."""
    with connect(side.endpoint) as holder, holder.transaction(force_rollback=True):
        holder.execute("SET LOCAL lock_timeout = 50")
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            holder.execute(sql.SQL("LOCK {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(table)))
        yield


@contextlib.contextmanager
def _triggered(side: _Side, table: str, body: str) -> Iterator[None]:
    side.do(
        sql.SQL(
            "CREATE FUNCTION mischief() RETURNS trigger LANGUAGE plpgsql AS {body};"
            "CREATE TRIGGER mischief BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION mischief()"
        ).format(body=sql.Literal(body), table=sql.Identifier(table))
    )
    try:
        yield
    finally:
        side.do(sql.SQL("DROP FUNCTION IF EXISTS mischief CASCADE"))


def _slow(side: _Side, table: str, n: int) -> contextlib.AbstractContextManager[None]:
    """Every row takes longer than a statement may."""
    return _triggered(side, table, "BEGIN PERFORM pg_sleep(2); RETURN coalesce(NEW, OLD); END")


def _raising(side: _Side, table: str, n: int) -> contextlib.AbstractContextManager[None]:
    """Rows of some names are refused, for now."""
    names = "coalesce(NEW.name, 'a') " + ("= 'a'" if n % 2 else "<> 'a'")
    body = f"BEGIN IF TG_OP <> 'DELETE' AND {names} THEN RAISE 'not now'; END IF; RETURN coalesce(NEW, OLD); END"
    return _triggered(side, table, body)


FAULTS = {"killed": _killed, "locked": _locked, "slow": _slow, "raising": _raising}
