"""Who is told what, and how often: one message for what is news, and nothing lost when it cannot be sent."""

import dataclasses
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from powerca_sync.definitions import defs
from powerca_sync.defs.alerts import sensor
from powerca_sync.defs.alerts.alert_message import LONGEST, MOST
from powerca_sync.defs.alerts.alert_state import FIRST_REST, GIVEN_UP, KEY, LONGEST_REST, AlertState
from powerca_sync.defs.alerts.sensor import OLDEST, OLDEST_AT_FIRST, build_alerts
from powerca_sync.errors import ConfigurationError, NotificationError
from powerca_sync_tests.defs.alerts.mailbox import SECRET, MailServer, WebHook
from powerca_sync_tests.defs.office import SPECS, Office
from powerca_sync_tests.helpers import Pair

pytestmark = pytest.mark.long

SENSOR = build_alerts()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A history of its own for each test: every run in it is looked at."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebHook]:
    """The one address that is told."""
    monkeypatch.setattr(sensor, "PAUSE", 0.01)
    monkeypatch.chdir(tmp_path)
    with WebHook() as made:
        monkeypatch.setenv("POWERCA_ALERT_URLS", made.url)
        yield made


def tick(instance: dg.DagsterInstance) -> str:
    """One tick of the sensor, as after a restart; answers what it says of itself."""
    said = SENSOR(dg.build_sensor_context(instance=instance))
    assert isinstance(said, dg.SkipReason)
    return str(said.skip_message)


def rest_is_over(instance: dg.DagsterInstance) -> None:
    """What time does to a recipient that was left alone."""
    state = AlertState.load(instance)
    for rest in state.resting.values():
        rest.until = 0
    state.save(instance)


def run(instance: dg.DagsterInstance, **tables: str | dg.AssetCheckResult | None) -> dg.ExecuteInProcessResult:
    """A run of these tables, each of which fails for a reason, has a check evaluated, or goes well."""

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
    return dg.materialize(assets, instance=instance, raise_on_error=False)


def started(instance: dg.DagsterInstance, name: str) -> dg.DagsterRun:
    """A run of a job that another process has begun."""
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


def test_without_an_address_nobody_is_told_and_the_tick_says_so(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POWERCA_ALERT_URLS", raising=False)
    run(instance, clients="broken")
    assert tick(instance) == "Nobody is told when a run fails. Set POWERCA_ALERT_URLS to change that."
    assert instance.daemon_cursor_storage.get_cursor_values({KEY}) == {}


def test_a_failed_run_is_told_once_and_its_recovery_once(instance: dg.DagsterInstance, hook: WebHook) -> None:
    failed = run(instance, clients="Column `org_id` is gone.", jobs=None)
    assert tick(instance) == "1 runs have ended, 1 of them with news."
    run(instance, clients="Column `org_id` is gone.", jobs=None)
    tick(instance)
    (message,) = hook.messages
    assert message["title"] == "[X] powerca_sync: by hand: 1 problem"
    assert message["type"] == "failure"
    lines = message["message"].splitlines()
    assert "[X] clients failed: Column `org_id` is gone." in lines
    assert lines[-1] == f"http://localhost:3000/runs/{failed.run_id}"
    run(instance, clients=None, jobs=None)
    tick(instance)
    run(instance, clients=None, jobs=None)
    tick(instance)
    assert hook.titles[1:] == ["[OK] powerca_sync: by hand is well again"]
    assert "[OK] Well again: clients." in hook.messages[1]["message"]
    assert hook.messages[1]["type"] == "success"


def test_runs_that_go_well_are_not_told(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients=None, jobs=parity())
    assert tick(instance) == "1 runs have ended, 0 of them with news."
    assert tick(instance) == "0 runs have ended, 0 of them with news."
    assert hook.requests == 0


def test_a_failed_check_is_told_with_its_figures(instance: dg.DagsterInstance, hook: WebHook) -> None:
    result = run(instance, clients=parity(only_here=3, only_there=0))
    assert result.success
    tick(instance)
    (message,) = hook.messages
    assert (message["title"], message["type"]) == ("[WARN] powerca_sync: by hand needs attention", "warning")
    lines = message["message"].splitlines()
    assert "[WARN] clients, check parity: They differ: {'only_here': 3, 'only_there': 0}." in lines
    assert "    only_here: 3" in lines
    run(instance, clients=parity())
    tick(instance)
    assert "[OK] Well again: clients, check parity." in hook.messages[1]["message"]


def test_a_count_is_told_again_when_it_has_grown_much_since_it_was_told(
    instance: dg.DagsterInstance, hook: WebHook
) -> None:
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
def test_another_reason_is_news_and_another_number_is_not(
    instance: dg.DagsterInstance, hook: WebHook, first: str, second: str, told: int
) -> None:
    for reason in (first, second):
        run(instance, clients=reason)
        tick(instance)
    assert len(hook.messages) == told


def test_what_is_over_and_what_is_left_are_told_together(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken", jobs="worn", staff=parity(rows=1))
    run(instance, clients=None, jobs="worn", staff=parity(rows=1))
    tick(instance)
    assert hook.titles == [
        "[X] powerca_sync: by hand: 3 problems",
        "[OK] powerca_sync: by hand: 1 problem over, 2 left",
    ]
    assert "[OK] Well again: clients." in hook.messages[1]["message"]
    assert "As told before: jobs, staff, check parity." in hook.messages[1]["message"]


def test_a_run_says_nothing_of_tables_that_it_did_not_touch(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken")
    run(instance, jobs=None)
    tick(instance)
    assert len(hook.messages) == 1
    run(instance, clients=None)
    tick(instance)
    assert len(hook.messages) == 2


def test_tables_that_fail_for_one_reason_share_its_line(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="The disk is full.", jobs="The disk is full.")
    tick(instance)
    (line,) = (line for line in hook.messages[0]["message"].splitlines() if "disk" in line)
    assert line in ("[X] clients, jobs failed: The disk is full.", "[X] jobs, clients failed: The disk is full.")


def test_a_message_stays_short_whatever_happens(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, **{f"table_{number}": f"Reason {number}. {'x' * 2 * LONGEST}" for number in range(MOST + 5)})
    tick(instance)
    body = hook.messages[0]["message"]
    assert len(body) < (LONGEST + 100) * (MOST + 1)
    assert "... and 5 more." in body.splitlines()


def test_several_runs_between_two_ticks_are_told_in_their_order(instance: dg.DagsterInstance, hook: WebHook) -> None:
    run(instance, clients="broken")
    run(instance, clients=None)
    run(instance, clients="worn")
    tick(instance)
    assert [title[:4] for title in hook.titles] == ["[X] ", "[OK]", "[X] "]


def test_a_message_names_the_office_and_the_address_of_its_ui(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
    monkeypatch.setenv("POWERCA_UI_URL", "https://sync.example/")
    failed = run(instance, clients="broken")
    tick(instance)
    assert hook.titles == ["[X] Rao & Co: by hand: 1 problem"]
    assert hook.messages[0]["message"].endswith(f"\nhttps://sync.example/runs/{failed.run_id}")
    assert "(Asia/Kolkata)." in hook.messages[0]["message"].splitlines()[0]


def test_messages_of_the_demo_say_that_they_are(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
    monkeypatch.setenv("POWERCA_DEMO", "1")
    run(instance, clients="broken")
    tick(instance)
    assert hook.titles == ["[X] the demo: by hand: 1 problem"]


def test_a_cancelled_run_is_told_and_is_over_with_the_next_one(instance: dg.DagsterInstance, hook: WebHook) -> None:
    cancelled = started(instance, "forward_full")
    instance.report_run_canceling(cancelled, message="Canceling due to exceeding maximum runtime of 7200 seconds.")
    instance.report_run_canceled(cancelled)
    tick(instance)
    assert hook.titles == ["[X] powerca_sync: forward_full: 1 problem"]
    assert (
        "[X] the run forward: It was cancelled. Canceling due to exceeding maximum runtime of 7200 seconds."
        in hook.messages[0]["message"]
    )
    # Of the same direction, though not the same job.
    going = started(instance, "forward_incremental")
    instance.report_dagster_event(
        dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=going.job_name), run_id=going.run_id
    )
    tick(instance)
    assert hook.titles[1:] == ["[OK] powerca_sync: forward_incremental is well again"]


def test_a_run_whose_process_was_lost_is_told_in_the_words_of_dagster(
    instance: dg.DagsterInstance, hook: WebHook
) -> None:
    lost = started(instance, "reverse")
    instance.report_run_failed(lost, "Run worker process is gone.")
    tick(instance)
    assert "[X] the run reverse: Run worker process is gone." in hook.messages[0]["message"].splitlines()


def test_runs_of_long_ago_are_not_told(instance: dg.DagsterInstance, hook: WebHook) -> None:
    now = datetime.now(UTC)
    with freeze_time(now - timedelta(seconds=OLDEST_AT_FIRST + 60)):
        run(instance, clients="broken")
    assert tick(instance) == "0 runs have ended, 0 of them with news."
    run(instance, clients=None)
    tick(instance)
    with freeze_time(now - timedelta(seconds=OLDEST + 60)):
        run(instance, clients="broken")
    with freeze_time(now - timedelta(seconds=OLDEST - 60)):
        run(instance, clients="worn")
    assert tick(instance) == "1 runs have ended, 1 of them with news."
    assert "worn" in hook.messages[0]["message"]


def test_a_short_failure_of_the_service_is_overcome_within_the_tick(
    instance: dg.DagsterInstance, hook: WebHook
) -> None:
    hook.refuses = 2
    run(instance, clients="broken")
    assert tick(instance) == "1 runs have ended, 1 of them with news."
    assert (len(hook.messages), hook.requests) == (1, 3)


def test_what_could_not_be_sent_is_kept_and_sent_later_in_its_order(
    instance: dg.DagsterInstance, hook: WebHook
) -> None:
    hook.refuses = 6
    run(instance, clients="broken")
    with pytest.raises(NotificationError, match=r"^Not sent: recipient 1 \(JSON\): .*503.*\. 1 message waits and will"):
        tick(instance)
    # It is left alone for a while, whatever happens meanwhile.
    run(instance, clients=None)
    assert tick(instance).endswith("2 messages wait for a recipient that could not be reached.")
    assert hook.requests == 3
    rest_is_over(instance)
    with pytest.raises(NotificationError, match="2 messages wait"):
        tick(instance)
    assert hook.requests == 6
    rest_is_over(instance)
    assert tick(instance) == "0 runs have ended, 0 of them with news."
    assert [title[:4] for title in hook.titles] == ["[X] ", "[OK]"]
    state = AlertState.load(instance)
    assert (state.waiting, state.resting, state.told) == ([], {}, {})


def storage(kind: str, pair: Pair, folder: Path) -> dict[str, object]:
    """Where an instance keeps its records, in the words of `dagster.yaml`."""
    if kind == "sqlite":
        return {"sqlite": {"base_dir": str(folder)}}
    database = pair.settings.mobile
    address = f"/{database.name}?host={database.host}&port={database.port}"
    return {"postgres": {"postgres_url": f"postgresql+psycopg2://{database.user}:@{address}"}}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_told_and_what_waits_outlive_the_process(kind: str, pair: Pair, hook: WebHook, tmp_path: Path) -> None:
    hook.refuses = 3
    kept = {"storage": storage(kind, pair, tmp_path)}
    with dg.instance_for_test(kept) as before:
        run(before, clients="broken")
        with pytest.raises(NotificationError):
            tick(before)
    with dg.instance_for_test(kept) as after:
        run(after, clients="broken")
        run(after, clients=None)
        rest_is_over(after)
        assert tick(after) == "2 runs have ended, 1 of them with news."
    assert [title[:4] for title in hook.titles] == ["[X] ", "[OK]"]


def test_a_recipient_is_left_alone_longer_each_time(instance: dg.DagsterInstance, hook: WebHook) -> None:
    hook.refuses = 1000
    run(instance, clients="broken")
    rests = []
    for _ in range(9):
        with pytest.raises(NotificationError):
            tick(instance)
        (rest,) = AlertState.load(instance).resting.values()
        rests.append(round((rest.until - time.time()) / FIRST_REST))
        rest_is_over(instance)
    assert rests == [1, 2, 4, 8, 16, 32, *3 * [LONGEST_REST // FIRST_REST]]


def test_a_message_that_nobody_takes_for_a_week_is_given_up(instance: dg.DagsterInstance, hook: WebHook) -> None:
    hook.refuses = 3
    run(instance, clients="broken")
    with pytest.raises(NotificationError):
        tick(instance)
    state = AlertState.load(instance)
    state.waiting[0].written -= GIVEN_UP + 1
    state.resting = {}
    state.save(instance)
    assert tick(instance) == "0 runs have ended, 0 of them with news."
    assert hook.messages == []


def test_a_recipient_that_cannot_be_reached_does_not_keep_others_waiting_nor_tell_them_twice(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebHook() as other:
        monkeypatch.setenv("POWERCA_ALERT_URLS", f"{hook.url}\n{other.url}")
        hook.refuses = 3
        run(instance, clients="broken")
        with pytest.raises(NotificationError, match=r"recipient 1 \(JSON\)"):
            tick(instance)
        assert (len(hook.messages), len(other.messages)) == (0, 1)
        rest_is_over(instance)
        tick(instance)
        assert (len(hook.messages), len(other.messages)) == (1, 1)


def test_mail_arrives_as_lines_of_text(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MailServer() as mail:
        monkeypatch.setenv("POWERCA_ALERT_URLS", mail.url)
        run(instance, clients="Value `a < b` & more")
        tick(instance)
    (message,) = mail.messages
    assert (message["to"], message["subject"]) == ("boss@office.example", "[X] powerca_sync: by hand: 1 problem")
    assert "[X] clients failed: Value `a < b` & more" in message.get_content().splitlines()


def test_an_address_that_is_none_is_named_by_its_place_and_the_others_are_told(
    instance: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERCA_ALERT_URLS", f"{hook.url} slakc://{SECRET}/a/b")
    with pytest.raises(
        ConfigurationError, match=r"apprise knows no service for the address of recipient 2 \(unknown\)"
    ):
        tick(instance)
    run(instance, clients="broken")
    with pytest.raises(NotificationError, match=r"recipient 2 \(unknown\)"):
        tick(instance)
    assert len(hook.messages) == 1


def test_no_address_gets_into_records_logs_or_errors(
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


def test_a_guard_that_refuses_is_told_with_its_figures_and_what_allows_it(office: Office, hook: WebHook) -> None:
    office.run()
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 5")
    failed = office.run()
    tick(office.instance)
    (message,) = hook.messages
    assert message["title"] == "[X] powerca_sync: forward_full: 1 problem"
    (line,) = (line for line in message["message"].splitlines() if line.startswith("[X] staff failed: "))
    assert "35" in line
    assert "allow-mass-delete" in line
    assert message["message"].endswith(f"/runs/{failed.run_id}")


def test_a_blocked_table_is_told_with_those_that_come_after_it(office: Office, hook: WebHook) -> None:
    office.pair.target.execute("DROP TABLE departments")
    office.run()
    office.run("incremental")
    tick(office.instance)
    (message,) = hook.messages
    assert "[X] departments failed: Table `departments` does not exist on mobile." in message["message"]
    assert "Not tried, because they come after what failed: staff." in message["message"].splitlines()


def test_rows_that_lead_nowhere_are_told_with_their_number_and_the_limit(office: Office, hook: WebHook) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no <= 3")
    office.run()
    office.run()
    tick(office.instance)
    (message,) = hook.messages
    assert "[WARN] staff, check foreign_keys: 3 of 40 rows (7.50%) have a dangling foreign key" in message["message"]
    assert "dept_id without departments: 3" in message["message"]


def test_a_server_that_is_away_is_told_once_however_it_is_away(
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
    assert hook.titles[1:] == ["[OK] powerca_sync: forward_full is well again"]


def test_a_run_without_configuration_is_told(office: Office, hook: WebHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_DB_HOST")
    office.run()
    tick(office.instance)
    assert "[X] the run forward: Not configured: SUPABASE_DB_HOST." in hook.messages[0]["message"]
    assert len(SPECS) == 4
