"""Actions of an office, its phones and others on the two databases: each public method is one step of a history.

Rows are picked by a number modulo their count; a step that the database refuses, or that finds no row, does nothing.
"""

from collections import defaultdict
from typing import Any

from psycopg import sql

from powerca_sync.specs import CREATED, PHONE, STAMPS, UPDATED
from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.ledger import Ledger
from powerca_sync_tests.histories.side import Side
from powerca_sync_tests.histories.tables import COLUMNS, NAMES, STAMPED, Variant, create, specs

#: A column that is added during a history.
EXTRA = "extra"
DAY = "1 day"


class People:
    """Both databases, what is known of them, and the actions of people."""

    def __init__(self, pair: Pair, *names: str, **variant: bool) -> None:
        """`names` are those of the existing tables."""
        self.pair = pair
        self.names = names or NAMES
        self.variant = Variant(**variant)
        create(pair, self.names, self.variant)
        self.specs = specs(self.names, self.variant)
        self.ledgers = {name: Ledger(table) for name, table in self.specs.items()}
        #: The synced columns.
        self.columns: dict[str, tuple[str, ...]] = dict.fromkeys(self.names, COLUMNS)
        #: By table, the values of `k` of rows written on mobile since the last full run.
        self.written_there: defaultdict[str, set[Any]] = defaultdict(set)
        #: By table, the rows on mobile as the last forward run left them, and the numbers of those that others have
        #: written since a run saw them.
        self.left: dict[str, dict[int, str]] = {}
        self.foreign: defaultdict[str, set[int]] = defaultdict(set)
        self.desktop = Side(pair.settings.desktop, self.names, "desktop_uid")
        self.mobile = Side(pair.settings.mobile, self.names, "mobile_uid")

    def close(self) -> None:
        """Closes all connections."""
        for side in (self.desktop, self.mobile):
            side.close()

    def insert(self, where: str, table: str, late: bool = False, stamp: int | None = 0, **values: Any) -> None:
        """Inserts a row; on mobile with a `source`. Timestamps of the desktop are some seconds off, or NULL."""
        side = self._side(where)
        assigned: dict[str, sql.Composable] = {name: sql.Literal(value) for name, value in values.items()}
        assigned |= {name: _stamp(stamp) for name in STAMPS if self._is_stamped(where, table)}
        side.do(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, assigned)),
                sql.SQL(", ").join(assigned.values()),
            ),
            late=late,
        )
        self._note(where, table, values.get("k"))

    def edit(
        self,
        where: str,
        table: str,
        pick: int,
        late: bool = False,
        whose: str | None = PHONE,
        stamp: int | None = 0,
        **values: Any,
    ) -> None:
        """Updates a row: on mobile one of the given owner, except for ticks, which may be on any row."""
        side = self._side(where)
        uid, row = side.pick(table, pick, whose=None if where == "desktop" or "ticked" in values else whose)
        assigned: dict[str, sql.Composable] = {name: sql.Literal(value) for name, value in values.items()}
        if self._is_stamped(where, table):
            assigned[UPDATED] = _stamp(stamp)
        side.do(
            sql.SQL("UPDATE {} SET {} WHERE {} = {}").format(
                sql.Identifier(table),
                sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in assigned.items()
                ),
                sql.Identifier(side.uid),
                uid,
            ),
            late=late,
        )
        if row and values.keys() != {"ticked"}:
            self._note(where, table, row["k"], values.get("k"))

    def delete(self, where: str, table: str, pick: int, late: bool = False, whose: str | None = PHONE) -> None:
        """Deletes a row: on mobile one of the given owner."""
        side = self._side(where)
        uid, row = side.pick(table, pick, whose=None if where == "desktop" else whose)
        side.do(
            sql.SQL("DELETE FROM {} WHERE {} = {}").format(sql.Identifier(table), sql.Identifier(side.uid), uid),
            late=late,
        )
        self._note(where, table, row.get("k"))

    def copy(self, where: str, table: str, pick: int) -> None:
        """Inserts a duplicate of a row."""
        side = self._side(where)
        uid, row = side.pick(table, pick, whose=None if where == "desktop" else PHONE)
        left_out = {side.uid, "id", CREATED}
        names = sql.SQL(", ").join(sql.Identifier(name) for name in side.names(table) if name not in left_out)
        side.do(
            sql.SQL("INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE {uid} = {pick}").format(
                table=sql.Identifier(table), names=names, uid=sql.Identifier(side.uid), pick=uid
            )
        )
        self._note(where, table, row.get("k"))

    def swap(self, table: str, pick: int, other: int, column: str) -> None:
        """Exchanges a value of two office rows."""
        (one, row), (another, that) = (self.desktop.pick(table, n) for n in (pick, other))
        if one == another:
            return
        stamp = sql.SQL(", {} = {}").format(sql.Identifier(UPDATED), _stamp(0))
        # NULL in one of them temporarily, if the value is unique.
        self.desktop.do(
            sql.SQL(";").join(
                sql.SQL("UPDATE {} SET {} = {}{} WHERE desktop_uid = {}").format(
                    sql.Identifier(table),
                    sql.Identifier(column),
                    value,
                    stamp if self._is_stamped("desktop", table) else sql.SQL(""),
                    uid,
                )
                for uid, value in ((one, -1), (another, row[column]), (one, that[column]))
            )
        )

    def again(self, table: str, pick: int, same: bool) -> None:
        """Deletes a phone row and inserts another with the same primary key, of the same content or not."""
        uid, row = self.mobile.pick(table, pick, whose=PHONE)
        names = sql.SQL(", ").join(
            sql.Identifier(name)
            for name in self.mobile.names(table)
            if name not in ("mobile_uid", CREATED, *(() if same else ("name",)))
        )
        self.mobile.do(
            sql.SQL(
                "CREATE TEMP TABLE gone AS SELECT * FROM {table} WHERE mobile_uid = {uid};"
                "DELETE FROM {table} WHERE mobile_uid = {uid};"
                "INSERT INTO {table} ({names}) SELECT {names} FROM gone; DROP TABLE gone"
            ).format(table=sql.Identifier(table), uid=uid, names=names)
        )
        self._note("mobile", table, row.get("k"))

    def comment(self, pick: int) -> None:
        """Inserts a record of a phone that depends on a task."""
        uid, _ = self.mobile.pick("tasks", pick)
        self.mobile.do(sql.SQL("INSERT INTO comments SELECT id FROM tasks WHERE mobile_uid = {}").format(uid))

    def refresh(self, table: str, in_place: bool) -> None:
        """Rewrites every row of a desktop table unchanged."""
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

    def add_column(self, where: str, table: str, default: str | None) -> None:
        """Adds a column in one database, with or without a default; it is synced as soon as both have it."""
        if self.desktop.late or self.mobile.late or EXTRA in self._side(where).names(table):
            return
        self._side(where).do(
            sql.SQL("ALTER TABLE {} ADD {} text DEFAULT {}").format(
                sql.Identifier(table), sql.Identifier(EXTRA), default
            )
        )
        if where == "desktop":
            self.ledgers[table].add_column(EXTRA, default)
        if all(EXTRA in side.names(table) for side in (self.desktop, self.mobile)):
            self.columns[table] += (EXTRA,)

    def sleep(self) -> None:
        """Moves all timestamps, and the last run, back by a day."""
        if not (self.variant.stamped and STAMPED in self.names) or self.desktop.late:
            return
        self.desktop.do(
            sql.SQL("UPDATE {} SET {}").format(
                sql.Identifier(STAMPED),
                sql.SQL(", ").join(
                    sql.SQL("{name} = {name} - {day}::interval").format(name=sql.Identifier(name), day=DAY)
                    for name in STAMPS
                ),
            )
        )
        if self.pair.one("SELECT to_regclass('powerca_sync.table_state') IS NOT NULL"):
            self.mobile.do(
                sql.SQL(
                    "UPDATE powerca_sync.table_state SET mark = jsonb_set(mark, '{{clock}}',"
                    " to_jsonb((mark ->> 'clock')::timestamptz - {}::interval)) WHERE table_name = {}"
                ).format(DAY, STAMPED)
            )

    def finish(self, where: str, commit: bool) -> None:
        """Ends the transaction that was left open."""
        self._side(where).finish(commit=commit)

    def _side(self, where: str) -> Side:
        return {"desktop": self.desktop, "mobile": self.mobile}[where]

    def _is_stamped(self, where: str, table: str) -> bool:
        return where == "desktop" and table == STAMPED and self.variant.stamped

    def _note(self, where: str, table: str, *keys: Any) -> None:
        if where == "mobile":
            self.written_there[table].update(keys)


def _stamp(seconds: int | None) -> sql.Composable:
    if seconds is None:
        return sql.SQL("NULL")
    return sql.SQL("localtimestamp + make_interval(secs => {})").format(seconds)
