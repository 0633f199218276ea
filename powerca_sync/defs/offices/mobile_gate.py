"""The sensor `mobile_rows` of many offices: reverse runs of those that have new phone rows."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Self

import dagster as dg

from powerca_sync.defs.connections import PATIENCE, KeptConnections, brief, without_row_content
from powerca_sync.defs.desktop_sensor import DESKTOP_ROWS
from powerca_sync.defs.jobs import REVERSE_JOB, REVERSE_MAX_RUNTIME
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.offices.desktop_gate import NAMED, Known
from powerca_sync.defs.offices.rounds import MOST_REQUESTS, ask, in_turn, read_states, write_states
from powerca_sync.defs.partitions import OFFICE, OfficeJob, office_request
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.defs.runs import busy_offices
from powerca_sync.defs.sensors import INTERVAL, decide
from powerca_sync.engine.changes import read_changes
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.reverse import PendingTables, find_pending_tables, read_phone_rows_by_office
from powerca_sync.environment import find_offices
from powerca_sync.errors import SyncError
from powerca_sync.offices import Office
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec

MOBILE_ROWS: Final = "mobile_rows"
#: Connections to one mobile database at the same time, at most.
THREADS: Final = 4
#: Seconds for the phone rows of all offices.
LONGEST_STATEMENT: Final = 20.0


@dataclasses.dataclass(kw_only=True, slots=True)
class Seen:
    """The sensor's record of a mobile database, kept from one tick to the next."""

    #: Of all its tables; equal while none has changed.
    token: str = ""
    #: The phone rows of each office, as a hash by a hash of the desktop's identity, when the tables had this token.
    rows: dict[str, str] = dataclasses.field(default_factory=dict)
    #: By key: the hash of the desktop's identity, and that of its phone rows when it was asked and had all of them.
    offices: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Seen":
        """Returns what was stored; nothing if another version has stored it."""
        try:
            return cls(token=stored["token"], rows=stored["rows"], offices=dict(stored["offices"]))
        except (KeyError, TypeError):
            return cls()

    def to_store(self) -> dict[str, Any]:
        """Returns what `of` reads."""
        return dataclasses.asdict(self)

    def now(self, who: str) -> str:
        """Returns the hash of the phone rows of a desktop; the token if mobile does not know it."""
        return self.rows.get(who, self.token)

    def is_new(self, key: str) -> bool:
        """Returns whether the office may have phone rows that it did not have when it was last asked."""
        who, rows = self.offices.get(key, ("", ""))
        return not rows or rows != self.now(who)

    def settle(self, key: str, identity: str) -> None:
        """Remembers that the office has all of its phone rows."""
        who = _short_hash(identity)
        self.offices[key] = [who, self.now(who)]


def build_mobile_gate(
    specs: Sequence[TableSpec], functions: DesktopFunctions, jobs: Sequence[OfficeJob]
) -> list[dg.SensorDefinition]:
    """Returns the sensor, running from the start, if any table is reverse-synced; `jobs` has the reverse job."""
    keys = {spec.mobile: reverse_key(spec) for spec in pulled_tables(specs)}
    if not keys:
        return []
    reverse = next(job for job in jobs if job.name == REVERSE_JOB)
    return [_mobile_rows(specs, keys, reverse, books=functions.after_reverse is not None)]


def _mobile_rows(
    specs: Sequence[TableSpec], keys: Mapping[str, dg.AssetKey], reverse: OfficeJob, *, books: bool
) -> dg.SensorDefinition:
    @dg.sensor(
        name=MOBILE_ROWS,
        job_name=REVERSE_JOB,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Every half minute: asks each mobile database whether its tables have changed, and if so, in one "
            "statement, for the phone rows of all its offices; requests reverse runs of the tables that have new ones. "
            "Offices that are away or have an active run are asked later. A failed tick means that no mobile database "
            "answered within seconds."
        ),
    )
    def mobile_rows(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Ask the offices that may have new phone rows; nothing depends on the fate of a request."""
        instance, last = context.instance, context.cursor
        with _Connections() as connections:
            free = _free_offices(instance)
            stored = read_states(instance, MOBILE_ROWS, {office.mobile for office in free.values()})
            seen, failed = _read_mobiles(stored, free, specs, connections)
            if failed and not seen:
                raise next(iter(failed.values()))
            wanted = {
                key: office for key, office in free.items() if office.mobile in seen and seen[office.mobile].is_new(key)
            }
            answers = ask(in_turn(wanted, last), lambda office: _look(office, specs, connections), threads=THREADS)
        requests: list[dg.RunRequest] = []
        errors = [str(error) for error in failed.values()]
        for office, found in answers:
            if len(requests) == MOST_REQUESTS:
                break
            last = office.key
            if isinstance(found, SyncError):
                errors.append(f"{office.key}: {found}")
                continue
            answer = decide(instance, keys, found, books=books, office=office.key)
            if isinstance(answer, dg.RunRequest):
                requests.append(office_request(office, reverse, assets=answer.asset_selection))
            elif not keys.keys() & set(found.pending) and not (books and found.unbooked):
                seen[office.mobile].settle(office.key, found.identity)
        states = {mobile: one.to_store() for mobile, one in seen.items()}
        write_states(
            instance, MOBILE_ROWS, {mobile: state for mobile, state in states.items() if state != stored.get(mobile)}
        )
        if errors:
            context.log.warning("Not asked: %s", "\n".join(errors[:NAMED]))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"No new phone rows; {len(answers)} of {len(free)} offices were asked.",
            cursor=last,
        )

    return mobile_rows


def _free_offices(instance: dg.DagsterInstance) -> Mapping[str, Office]:
    """Returns the offices that have no active run, and whose desktop answered the sensor of the desktops last time."""
    offices = find_offices().offices
    ready = offices.keys() & set(instance.get_dynamic_partitions(OFFICE))
    desktops = read_states(instance, DESKTOP_ROWS, ready)
    away = {key for key, stored in desktops.items() if Known.of(stored).absence.times}
    free = ready - away - busy_offices(instance, max_runtime=REVERSE_MAX_RUNTIME)
    return {key: offices[key] for key in sorted(free)}


def _read_mobiles(
    stored: Mapping[str, Mapping[str, Any]],
    offices: Mapping[str, Office],
    specs: Sequence[TableSpec],
    connections: "_Connections",
) -> tuple[dict[str, Seen], dict[str, SyncError]]:
    """Returns what each mobile database has now, and the errors of the others; `stored` are the records of
    the last tick.

    Its offices share the tables of a mobile database: any of them will do. While no table has changed, the phone rows
    are those of the last tick, and are not read.
    """
    one_each = {office.mobile: office for office in offices.values()}
    on_mobile = [dataclasses.replace(spec, desktop=spec.mobile) for spec in specs]

    def read(office: Office) -> Seen:
        seen = Seen.of(stored.get(office.mobile, {}))
        with without_row_content(), connections.taken(office) as connection:
            tokens = read_changes(connection, on_mobile, seconds=PATIENCE).tokens
            token = _short_hash("".join(f"{token.table} {token.text}\n" for token in tokens))
            if token != seen.token or any(token.blind for token in tokens):
                found = read_phone_rows_by_office(connection, specs, seconds=LONGEST_STATEMENT)
                rows = {_short_hash(who): _short_hash(repr(sorted(of.items()))) for who, of in found.offices.items()}
                return dataclasses.replace(seen, token=token, rows=rows)
        return seen

    answers = {office.mobile: answer for office, answer in ask(list(one_each.values()), read)}
    seen = {mobile: answer for mobile, answer in answers.items() if isinstance(answer, Seen)}
    return seen, {mobile: answer for mobile, answer in answers.items() if isinstance(answer, SyncError)}


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _look(office: Office, specs: Sequence[TableSpec], connections: "_Connections") -> PendingTables:
    desktop = brief(office.settings().desktop)
    with without_row_content(), connections.taken(office) as source, contextlib.closing(connect(desktop)) as target:
        return find_pending_tables(source=source, target=target, specs=specs, seconds=PATIENCE)


class _Connections:
    """Connections to mobile databases, for one tick."""

    def __init__(self) -> None:
        self._by_mobile: dict[str, KeptConnections] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._by_mobile.values():
            kept.close()

    def taken(self, office: Office) -> AbstractContextManager[Connection]:
        """Yields a connection to the office's mobile database. Closes it after an exception."""
        kept = KeptConnections(brief(office.mobile_endpoint()))
        return self._by_mobile.setdefault(office.mobile, kept).taken()
