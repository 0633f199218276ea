"""The sensor `mobile_rows` of many offices: reverse runs of those that have new phone rows."""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Self

import dagster as dg

from powerca_sync.defs.desktop_sensor import DESKTOP_ROWS
from powerca_sync.defs.jobs import REVERSE_JOB, REVERSE_MAX_RUNTIME
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.offices.desktop_gate import NAMED, Known
from powerca_sync.defs.offices.rounds import MOST_REQUESTS, ask, in_turn, read_states, write_states
from powerca_sync.defs.partitions import MOBILE_TAG, OFFICE, office_tags
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.defs.runs import busy_offices
from powerca_sync.defs.sensors import INTERVAL, PATIENCE, decide
from powerca_sync.engine.changes import read_change_tokens
from powerca_sync.engine.postgres import Connection, connect, strip_row_content
from powerca_sync.engine.reverse import PendingTables, find_pending_tables
from powerca_sync.environment import find_offices
from powerca_sync.errors import SyncError
from powerca_sync.offices import Office
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec

MOBILE_ROWS: Final = "mobile_rows"
#: Connections to one mobile database at the same time, at most.
THREADS: Final = 8


def build_mobile_gate(specs: Sequence[TableSpec], functions: DesktopFunctions) -> list[dg.SensorDefinition]:
    """Returns the sensor, running from the start, if any table is reverse-synced."""
    keys = {spec.mobile: reverse_key(spec) for spec in pulled_tables(specs)}
    return [_mobile_rows(specs, keys, books=functions.after_reverse is not None)] if keys else []


def _mobile_rows(specs: Sequence[TableSpec], keys: Mapping[str, dg.AssetKey], *, books: bool) -> dg.SensorDefinition:
    @dg.sensor(
        name=MOBILE_ROWS,
        job_name=REVERSE_JOB,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Every half minute: asks each mobile database whether its tables have changed, and if so each of its "
            "offices for new phone rows; requests reverse runs of the tables that have some. Offices that are away or "
            "have an active run are asked later. A failed tick means that no mobile database answered within seconds."
        ),
    )
    def mobile_rows(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Ask the offices that may have new phone rows; nothing depends on the fate of a request."""
        instance, last = context.instance, context.cursor
        with _Connections() as connections:
            free = _free_offices(instance)
            tokens = _read_tokens(free, specs, connections)
            failed = {mobile: token for mobile, token in tokens.items() if isinstance(token, SyncError)}
            if failed and len(failed) == len(tokens):
                raise next(iter(failed.values()))
            seen = {mobile: dict(state) for mobile, state in read_states(instance, MOBILE_ROWS, tokens).items()}
            wanted = {
                key: office
                for key, office in free.items()
                if isinstance(token := tokens.get(office.mobile), str)
                and seen.get(office.mobile, {}).get(key, "") != token
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
                tags = {**office_tags(office.key), MOBILE_TAG: office.mobile}
                requests.append(dg.RunRequest(asset_selection=answer.asset_selection, tags=tags))
            elif not keys.keys() & set(found.pending) and not (books and found.unbooked):
                seen.setdefault(office.mobile, {})[office.key] = tokens[office.mobile]
        write_states(instance, MOBILE_ROWS, seen)
        if errors:
            context.log.warning("Not asked: %s", "\n".join(errors[:NAMED]))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"No new phone rows; {len(answers)} of {len(free)} offices were asked.",
            cursor=last,
        )

    return mobile_rows


def _free_offices(instance: dg.DagsterInstance) -> Mapping[str, Office]:
    """Returns the offices that have neither an active run nor a desktop that is away."""
    offices = find_offices().offices
    ready = offices.keys() & set(instance.get_dynamic_partitions(OFFICE))
    desktops = read_states(instance, DESKTOP_ROWS, ready)
    away = {key for key, stored in desktops.items() if Known.of(stored).absence.until > time.time()}
    free = ready - away - busy_offices(instance, max_runtime=REVERSE_MAX_RUNTIME)
    return {key: offices[key] for key in sorted(free)}


def _read_tokens(
    offices: Mapping[str, Office], specs: Sequence[TableSpec], connections: "_Connections"
) -> Mapping[str, str | SyncError]:
    """Returns one token of all tables of each mobile database, equal while none has changed, or the error."""
    on_mobile = [dataclasses.replace(spec, desktop=spec.mobile) for spec in specs]

    def read(office: Office) -> str:
        with _brief(), connections.taken(office) as connection:
            tokens = read_change_tokens(connection, on_mobile, seconds=PATIENCE)
        if any(token.blind for token in tokens):
            # Unequal to any other.
            return f"{time.time_ns()}"
        return hashlib.sha256("".join(f"{token.table} {token.text}\n" for token in tokens).encode()).hexdigest()[:16]

    # Its offices share the tables of a mobile database: any of them will do.
    one_each = {office.mobile: office for office in offices.values()}
    return {office.mobile: token for office, token in ask(list(one_each.values()), read)}


def _look(office: Office, specs: Sequence[TableSpec], connections: "_Connections") -> PendingTables:
    desktop = dataclasses.replace(office.settings().desktop, connect_timeout=PATIENCE)
    with _brief(), connections.taken(office) as source, contextlib.closing(connect(desktop)) as target:
        return find_pending_tables(source=source, target=target, specs=specs, seconds=PATIENCE)


@contextlib.contextmanager
def _brief() -> Iterator[None]:
    """Strip row content from errors: Dagster prints them with their causes."""
    try:
        yield
    except SyncError as exc:
        strip_row_content(exc)
        raise


class _Connections:
    """Connections to mobile databases, each used by one thread at a time, for one tick."""

    def __init__(self) -> None:
        self._unused: dict[str, SimpleQueue[Connection]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for unused in self._unused.values():
            while not unused.empty():
                unused.get().close()

    @contextlib.contextmanager
    def taken(self, office: Office) -> Iterator[Connection]:
        """Yields a connection to the office's mobile database. Closes it after an exception."""
        unused = self._unused.setdefault(office.mobile, SimpleQueue())
        try:
            connection = unused.get_nowait()
        except Empty:
            connection = connect(dataclasses.replace(office.mobile_endpoint(), connect_timeout=PATIENCE))
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        unused.put(connection)
