"""Which messages the sensor `alerts` sends: one for each new problem, one when it is solved, none lost or repeated."""

import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from powerca_sync.definitions import defs
from powerca_sync.defs.alerts.message import LONGEST_REASON
from powerca_sync.defs.alerts.problems import MEMORY
from powerca_sync.defs.alerts.sensor import (
    FIRST_BACKOFF,
    KEY,
    LONGEST_BACKOFF,
    OLDEST_MESSAGE,
    OLDEST_RUN,
    AlertState,
    build_alerts,
)
from powerca_sync.defs.partitions import office_tags
from powerca_sync.errors import ConfigurationError, NotificationError
from powerca_sync_tests.defs.alerts.mailbox import SECRET, MailServer, WebHook
from powerca_sync_tests.defs.office import SPECS, Office
from powerca_sync_tests.helpers import Pair

pytestmark = pytest.mark.long

SENSOR = build_alerts()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test: the sensor reads every run in it."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebHook]:
    """The only address in `POWERCA_ALERT_URLS`."""
    monkeypatch.chdir(tmp_path)
    with WebHook() as made:
        monkeypatch.setenv("POWERCA_ALERT_URLS", made.url)
        yield made


def tick(instance: dg.DagsterInstance) -> str:
    """Evaluates the sensor once, as a new process does; returns the reason of the skipped tick."""
    said = SENSOR(dg.build_sensor_context(instance=instance))
    assert isinstance(said, dg.SkipReason)
    return str(said.skip_message)


def end_backoff(instance: dg.DagsterInstance) -> None:
    """Makes every unsent message due."""
    state = AlertState.load(instance)
    for entry in state.unsent:
        entry.due = 0
    state.save(instance)


def run(
    instance: dg.DagsterInstance, office: str | None = None, **tables: str | dg.AssetCheckResult | None
) -> dg.ExecuteInProcessResult:
    """Runs these tables, each of which fails for a reason, has a check evaluated, or succeeds."""

    def table(name: str, fate: str | dg.AssetCheckResult | None) -> dg.AssetsDefinition:
        @dg.asset(
            name=name, check_specs=[dg.AssetCheckSpec("parity", asset=name)] if fate and fate != str(fate) else []
        )
        def made() -> dg.MaterializeResult:
            if isinstance(fate, str):
                raise dg.Failure(description=fate, allow_retries=False)
            return dg.MaterializeResult(check_results=[fate] if fate else [])

        return made

    assets = [table(name, fate) for name, fate in tables.items()]
    return dg.materialize(assets, instance=instance, raise_on_error=False, tags=office_tags(office))


def started(instance: dg.DagsterInstance, name: str) -> dg.DagsterRun:
    """Creates a run of a job that another process has begun."""
    job = defs.resolve_job_def(name)
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=job.tags)


def parity(**numbers: int) -> dg.AssetCheckResult:
    """A check that fails if it has any number."""
    return dg.AssetCheckResult(
        passed=not numbers,
        check_name="parity",
        severity=dg.AssetCheckSeverity.WARN,
        description=f"They differ: {numbers}.",
        metadata=numbers,
    )


def test_tick_without_an_address_is_skipped_with_a_reason(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POWERCA_ALERT_URLS", raising=False)
    run(instance, clients="broken")
    assert tick(instance) == "Nobody is told when a run fails. Set POWERCA_ALERT_URLS to send messages."
    assert instance.daemon_cursor_storage.get_cursor_values({KEY}) == {}


def test_failed_run_is_reported_once_and_so_is_its_success(instance: dg.DagsterInstance, hook: WebHook) -> None:
    failed = run(instance, clients="Column `org_id` is gone.", jobs=None)
    assert tick(instance) == "Runs that ended: 1. New messages: 1. Unsent: 0."
    run(instance, clients="Column `org_id` is gone.", jobs=None)
    tick(instance)
    (message,) = hook.messages
    assert message["title"] == "[X] powerca_sync: by hand: 1 problem"
    assert message["type"] == "failure"
    lines = message["message"].splitlines()
    assert "[X] clients failed: Column `org_id` is gone." in lines
    assert lines[-1].startswith("by hand failed on ")
    assert lines[-1].endswith(f" (Asia/Kolkata): http://localhost:3000/runs/{failed.run_id}")
    run(instance, clients=None, jobs=None)
    tick(instance)
    run(instance, clients=None, jobs=None)
    tick(instance)
    assert hook.titles[1:] == ["[OK] powerca_sync: by hand: 1 problem solved"]
    assert "[OK] Solved: clients." in hook.messages[1]["message"]
    assert hook.messages[1]["type"] == "success"


def test_successful_runs_are_not_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients=None, jobs=parity())
    assert tick(instance) == "Runs that ended: 1. New messages: 0. Unsent: 0."
    assert tick(instance) == "Runs that ended: 0. New messages: 0. Unsent: 0."
    assert hook.requests == 0


def test_failed_check_is_reported_with_its_counts(instance: dg.DagsterInstance, hook: WebHook) -> None:
    result = run(instance, clients=parity(only_here=3, only_there=0))
    assert result.success
    tick(instance)
    (message,) = hook.messages
    assert (message["title"], message["type"]) == ("[WARN] powerca_sync: by hand: 1 warning", "warning")
    lines = message["message"].splitlines()
    assert "[WARN] clients, check parity: They differ: {'only_here': 3, 'only_there': 0}." in lines
    assert "    only_here: 3" in lines
    run(instance, clients=parity())
    tick(instance)
    assert "[OK] Solved: clients, check parity." in hook.messages[1]["message"]


def test_count_is_reported_again_after_it_has_more_than_doubled(instance: dg.DagsterInstance, hook: WebHook) -> None:
    for count, told in ((5, 1), (9, 1), (20, 1), (21, 2), (30, 2), (52, 2), (53, 3), (8, 3)):
        run(instance, clients=parity(rows=count))
        tick(instance)
        assert len(hook.messages) == told, count


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("437 rows would be deleted; the limit is 36.", "438 rows would be deleted; the limit is 36.", 1),
        ("437 rows would be deleted; the limit is 36.", "Organisation 1 belongs to another desktop.", 2),
    ],
)
def test_other_reason_is_reported_and_other_number_is_not(
    instance: dg.DagsterInstance, hook: WebHook, first: str, second: str, told: int
) -> None:
    for reason in (first, second):
        run(instance, clients=reason)
        tick(instance)
    assert len(hook.messages) == told


def test_message_lists_solved_and_unsolved_problems(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken", jobs="worn", staff=parity(rows=1))
    tick(instance)
    run(instance, clients=None, jobs="worn", staff=parity(rows=1))
    tick(instance)
    assert hook.titles == [
        "[X] powerca_sync: by hand: 3 problems",
        "[OK] powerca_sync: by hand: 1 problem solved, 2 left",
    ]
    assert "[OK] Solved: clients." in hook.messages[1]["message"]
    assert "Not solved yet: jobs, staff, check parity." in hook.messages[1]["message"]


def test_problem_is_not_solved_by_a_run_of_another_table(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken")
    tick(instance)
    run(instance, jobs=None)
    tick(instance)
    assert len(hook.messages) == 1
    run(instance, clients=None)
    tick(instance)
    assert len(hook.messages) == 2


def test_tables_with_the_same_reason_share_a_line(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="The disk is full.", jobs="The disk is full.")
    tick(instance)
    (line,) = (line for line in hook.messages[0]["message"].splitlines() if "disk" in line)
    assert line in ("[X] clients, jobs failed: The disk is full.", "[X] jobs, clients failed: The disk is full.")


def test_offices_that_fail_at_once_share_one_short_message(instance: dg.DagsterInstance, hook: WebHook) -> None:
    for number in range(45):
        run(
            instance,
            office=f"o{number}",
            clients="The disk is full.",
            jobs=f"Host h{'abcdefghijklmnopqr'[number % 18]}",
        )
    assert tick(instance) == "Runs that ended: 45. New messages: 1. Unsent: 0."
    (message,) = hook.messages
    lines = message["message"].splitlines()
    (line,) = (line for line in lines if "disk" in line)
    assert line.startswith("[X] o0: clients, o1: clients,")
    assert line.endswith(", o39: clients and 5 others failed: The disk is full.")
    assert sum("/runs/" in line for line in lines) == 10
    assert lines[-1].startswith("... and 35 other runs: ")
    # One office is well again.
    run(instance, office="o7", clients=None, jobs=None)
    tick(instance)
    assert "[OK] Solved: o7: clients, o7: jobs." in hook.messages[1]["message"]
    assert "44 left" not in hook.messages[1]["title"], "two problems of 44 offices are left"


def test_long_reason_is_shortened(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="x" * 2 * LONGEST_REASON)
    tick(instance)
    assert f"[X] clients failed: {'x' * LONGEST_REASON} ..." in hook.messages[0]["message"].splitlines()


def test_runs_between_two_ticks_share_one_message(instance: dg.DagsterInstance, hook: WebHook) -> None:
    first = run(instance, clients="broken", jobs="worn")
    second = run(instance, clients=None, staff="lost")
    assert tick(instance) == "Runs that ended: 2. New messages: 1. Unsent: 0."
    (message,) = hook.messages
    assert message["title"] == "[X] powerca_sync: by hand: 2 problems"
    assert "clients" not in message["message"]
    runs = [line.rpartition("/")[2] for line in message["message"].splitlines() if "/runs/" in line]
    assert runs == [first.run_id, second.run_id]


def test_problem_solved_before_the_tick_is_not_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken")
    run(instance, clients=None)
    assert tick(instance) == "Runs that ended: 2. New messages: 0. Unsent: 0."
    assert hook.requests == 0


def test_message_names_the_office_and_links_its_ui(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
    monkeypatch.setenv("POWERCA_UI_URL", "https://sync.example/")
    failed = run(instance, clients="broken")
    tick(instance)
    assert hook.titles == ["[X] Rao & Co: by hand: 1 problem"]
    assert hook.messages[0]["message"].endswith(f" (Asia/Kolkata): https://sync.example/runs/{failed.run_id}")


def test_messages_of_the_demo_name_the_demo(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
    monkeypatch.setenv("POWERCA_DEMO", "1")
    run(instance, clients="broken")
    tick(instance)
    assert hook.titles == ["[X] the demo: by hand: 1 problem"]


def test_cancelled_run_is_not_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    cancelled = started(instance, "forward_full")
    instance.report_run_canceling(cancelled)
    instance.report_run_canceled(cancelled)
    assert tick(instance) == "Runs that ended: 1. New messages: 0. Unsent: 0."


def test_step_of_a_cancelled_run_is_not_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    @dg.asset
    def clients(context: dg.AssetExecutionContext) -> None:
        """Is cancelled while it runs, as by Terminate in the UI."""
        instance.report_run_canceling(context.run)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with contextlib.suppress(KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        dg.materialize([clients], instance=instance, raise_on_error=False)
    assert instance.get_runs()[0].status is dg.DagsterRunStatus.CANCELED
    tick(instance)
    assert hook.messages == []


def test_run_over_its_maximum_runtime_is_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    # The events of Dagster's run monitoring, in its order.
    late = started(instance, "forward_full")
    instance.report_run_canceling(late, message="Canceling due to exceeding maximum runtime of 7200 seconds.")
    instance.report_run_failed(late, "Exceeded maximum runtime of 7200 seconds.")
    instance.report_run_canceled(late)
    tick(instance)
    assert hook.titles == ["[X] powerca_sync: forward_full: 1 problem"]
    lines = hook.messages[0]["message"].splitlines()
    assert "[X] forward run failed: Exceeded maximum runtime of 7200 seconds." in lines
    # Of the same direction, but of another job.
    going = started(instance, "forward_incremental")
    instance.report_dagster_event(
        dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=going.job_name), run_id=going.run_id
    )
    tick(instance)
    assert hook.titles[1:] == ["[OK] powerca_sync: forward_incremental: 1 problem solved"]


def test_run_without_process_is_reported_in_dagsters_words(instance: dg.DagsterInstance, hook: WebHook) -> None:
    lost = started(instance, "reverse")
    instance.report_run_failed(lost, "Run worker process is gone.")
    tick(instance)
    assert "[X] reverse run failed: Run worker process is gone." in hook.messages[0]["message"].splitlines()
    # The events of Dagster's code server, in its order.
    killed = started(instance, "forward_full")
    words = f"Run execution process for {killed.run_id} was terminated by signal 9 (SIGKILL). This usually ..."
    instance.report_engine_event(words, killed, cls=dg.DefaultRunLauncher)
    instance.report_run_failed(killed)
    instance.report_engine_event("Retrying the run", killed)
    tick(instance)
    reported = hook.messages[1]["message"].splitlines()
    assert f"[X] forward run failed: The process of the run was terminated by signal 9 (SIGKILL). {MEMORY}" in reported


def test_runs_older_than_a_day_are_not_reported(instance: dg.DagsterInstance, hook: WebHook) -> None:
    now = datetime.now(UTC)
    with freeze_time(now - timedelta(seconds=OLDEST_RUN + 60)):
        run(instance, clients="broken")
    with freeze_time(now - timedelta(seconds=OLDEST_RUN - 60)):
        run(instance, jobs="worn")
    assert tick(instance) == "Runs that ended: 1. New messages: 1. Unsent: 0."
    assert "worn" in hook.messages[0]["message"]
    assert "broken" not in hook.messages[0]["message"]


def test_unsent_messages_are_retried_in_their_order(instance: dg.DagsterInstance, hook: WebHook) -> None:
    hook.refuses = 2
    run(instance, clients="broken")
    with pytest.raises(NotificationError, match=r"^Not sent: recipient 1 \(JSON\): .*503.*retried: 1\."):
        tick(instance)
    run(instance, clients=None)
    assert tick(instance) == "Runs that ended: 1. New messages: 1. Unsent: 2."
    assert hook.requests == 1
    end_backoff(instance)
    with pytest.raises(NotificationError, match=r"retried: 2\."):
        tick(instance)
    assert hook.requests == 2
    end_backoff(instance)
    assert tick(instance) == "Runs that ended: 0. New messages: 0. Unsent: 0."
    assert [title[:4] for title in hook.titles] == ["[X] ", "[OK]"]
    state = AlertState.load(instance)
    assert (state.unsent, state.told) == ([], {})


def storage(kind: str, pair: Pair, folder: Path) -> dict[str, object]:
    """Returns the storage settings of an instance as in `dagster.yaml`."""
    if kind == "sqlite":
        return {"sqlite": {"base_dir": str(folder)}}
    database = pair.settings.mobile
    address = f"/{database.name}?host={database.host}&port={database.port}"
    return {"postgres": {"postgres_url": f"postgresql+psycopg2://{database.user}:@{address}"}}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_state_outlives_the_process(kind: str, pair: Pair, hook: WebHook, tmp_path: Path) -> None:
    hook.refuses = 1
    kept = {"storage": storage(kind, pair, tmp_path)}
    with dg.instance_for_test(kept) as before:
        run(before, clients="broken")
        with pytest.raises(NotificationError):
            tick(before)
    with dg.instance_for_test(kept) as after:
        run(after, clients="broken")
        run(after, clients=None)
        end_backoff(after)
        assert tick(after) == "Runs that ended: 2. New messages: 1. Unsent: 0."
    assert [title[:4] for title in hook.titles] == ["[X] ", "[OK]"]


def test_backoff_doubles_after_each_failure(instance: dg.DagsterInstance, hook: WebHook) -> None:
    hook.refuses = 1000
    run(instance, clients="broken")
    backoffs = []
    for _ in range(9):
        with pytest.raises(NotificationError):
            tick(instance)
        (entry,) = AlertState.load(instance).unsent
        backoffs.append(round((entry.due - time.time()) / FIRST_BACKOFF))
        end_backoff(instance)
    assert backoffs == [1, 2, 4, 8, 16, 32, 64, *2 * [LONGEST_BACKOFF // FIRST_BACKOFF]]


def test_message_unsent_for_a_week_is_discarded(instance: dg.DagsterInstance, hook: WebHook) -> None:
    hook.refuses = 1
    run(instance, clients="broken")
    with pytest.raises(NotificationError):
        tick(instance)
    state = AlertState.load(instance)
    state.unsent[0].written -= OLDEST_MESSAGE + 1
    state.unsent[0].due = 0
    state.save(instance)
    assert tick(instance) == "Runs that ended: 0. New messages: 0. Unsent: 0."
    assert hook.messages == []


def test_unreachable_recipient_does_not_delay_the_others(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebHook() as other:
        monkeypatch.setenv("POWERCA_ALERT_URLS", f"{hook.url}\n{other.url}")
        hook.refuses = 1
        run(instance, clients="broken")
        with pytest.raises(NotificationError, match=r"recipient 1 \(JSON\)"):
            tick(instance)
        assert (len(hook.messages), len(other.messages)) == (0, 1)
        end_backoff(instance)
        tick(instance)
        assert (len(hook.messages), len(other.messages)) == (1, 1)


def test_messages_to_a_removed_address_are_discarded(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebHook() as other:
        hook.refuses = 1
        run(instance, clients="broken")
        with pytest.raises(NotificationError):
            tick(instance)
        monkeypatch.setenv("POWERCA_ALERT_URLS", other.url)
        assert tick(instance) == "Runs that ended: 0. New messages: 0. Unsent: 0."
        assert other.messages == []


def test_mail_is_plain_text(instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch) -> None:
    with MailServer() as mail:
        monkeypatch.setenv("POWERCA_ALERT_URLS", mail.url)
        run(instance, clients="Value `a < b` & more")
        tick(instance)
    (message,) = mail.messages
    assert (message["to"], message["subject"]) == ("boss@office.example", "[X] powerca_sync: by hand: 1 problem")
    assert "[X] clients failed: Value `a < b` & more" in message.get_content().splitlines()


def test_unknown_address_is_named_by_its_position(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_ALERT_URLS", f"{hook.url} slakc://{SECRET}/a/b")
    run(instance, clients="broken")
    with pytest.raises(ConfigurationError, match=r"apprise has no service for the address of recipient 2 \(unknown\)"):
        tick(instance)
    assert len(hook.messages) == 1
    assert AlertState.load(instance).unsent == []


def test_no_address_reaches_records_logs_or_errors(
    instance: dg.DagsterInstance,
    hook: WebHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    monkeypatch.setenv(
        "POWERCA_ALERT_URLS",
        f"{hook.url} json://user:{SECRET}@127.0.0.1:1/{SECRET} nothing://{SECRET} mailto://u:{SECRET}@127.0.0.1:1/a@b.example",
    )
    run(instance, clients="broken")
    with pytest.raises(NotificationError) as caught:
        tick(instance)
    assert len(hook.messages) == 1
    kept = str(instance.daemon_cursor_storage.get_cursor_values({KEY}))
    printed = "".join(capfd.readouterr())
    for text in (str(caught.value), kept, printed, caplog.text, str(dataclasses.asdict(AlertState.load(instance)))):
        assert SECRET not in text
    logging.getLogger("apprise").setLevel(logging.NOTSET)


def test_guard_refusal_is_reported_with_counts_and_option(office: Office, hook: WebHook) -> None:
    office.run()
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 5")
    failed = office.run()
    tick(office.instance)
    (message,) = hook.messages
    assert message["title"] == "[X] powerca_sync: forward_full: 1 problem"
    (line,) = (line for line in message["message"].splitlines() if line.startswith("[X] staff failed: "))
    assert "35" in line
    assert "To allow it once, run with `allow_mass_delete: true` of the resource `sync` in the launchpad." in line
    assert message["message"].endswith(f"/runs/{failed.run_id}")


def test_failed_table_is_reported_with_its_skipped_dependents(office: Office, hook: WebHook) -> None:
    office.pair.target.execute("DROP TABLE departments")
    office.run()
    office.run("incremental")
    tick(office.instance)
    (message,) = hook.messages
    assert "[X] departments failed: Table `departments` does not exist on mobile." in message["message"]
    assert "Not tried, because they depend on what failed: staff." in message["message"].splitlines()


def test_quarantined_rows_are_reported_under_one_check(office: Office, hook: WebHook) -> None:
    office.pair.source.execute("ALTER TABLE staff ALTER full_name TYPE text")
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no <= 3")
    office.run()
    office.pair.source.execute("UPDATE staff SET full_name = repeat('long ', 20) WHERE staff_no = 7")
    tick(office.instance)
    office.run()
    tick(office.instance)
    dangling, too_long = (message["message"] for message in hook.messages)
    assert "[WARN] staff, check foreign_keys: A dangling foreign key in 3 of 40 rows (7.50%)" in dangling
    assert "dept_id without departments: 3" in dangling
    assert "check rows" not in dangling
    assert (
        "[WARN] staff, check rows: Quarantined because mobile does not accept the values: 1 of 40 rows (2.50%)"
        in too_long
    )
    assert "Not solved yet: staff, check foreign_keys." in too_long.splitlines()


def test_unreachable_server_is_reported_once_whatever_the_error(
    office: Office, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_DB_PORT", "1")
    office.run()
    monkeypatch.setenv("LOCAL_DB_HOST", "127.0.0.1")
    office.run()
    monkeypatch.setenv("LOCAL_DB_HOST", "/nowhere")
    office.run()
    tick(office.instance)
    (message,) = hook.messages
    assert "[X] orgs failed: connecting to desktop" in message["message"]
    for name, value in office.environment.items():
        monkeypatch.setenv(name, value)
    office.run()
    tick(office.instance)
    assert hook.titles[1:] == ["[OK] powerca_sync: forward_full: 1 problem solved"]


def test_run_without_configuration_is_reported(office: Office, hook: WebHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_DB_HOST")
    office.run()
    tick(office.instance)
    assert "[X] forward run failed: Not configured: SUPABASE_DB_HOST." in hook.messages[0]["message"]
    assert len(SPECS) == 4
