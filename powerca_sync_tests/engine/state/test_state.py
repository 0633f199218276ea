"""The state on the target: the guide's `_sync_metadata`, and the engine's own schema."""

from collections.abc import Iterator

import psycopg
import pytest

from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.state.preparation import prepare_target
from powerca_sync.errors import ConfigurationError, ContentionError, SyncError, UnsafeTargetError
from powerca_sync_tests.helpers import Pair, row_counts, spec

CLIENTS = spec("clients", "client_id", sensitive=frozenset({"secret"}))

GUIDES_OWN = """
    CREATE TABLE _sync_metadata (
        table_name TEXT PRIMARY KEY,
        last_sync_timestamp TIMESTAMP WITH TIME ZONE,
        records_synced INTEGER,
        last_sync_duration_ms INTEGER,
        error_message TEXT,
        updated_at TIMESTAMP WITH TIME ZONE
    )"""


def make_clients(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE clients (client_id int, name text, secret text)")
    pair.source.execute("INSERT INTO clients VALUES (1, 'Asha', 'hush'), (2, 'Bala', 'hush')")
    pair.target.execute("""
        CREATE TABLE clients (client_id int PRIMARY KEY, name text NOT NULL, secret text CHECK (secret <> 'guessed'),
            source char(1) DEFAULT 'D', UNIQUE (name, secret))""")


def quarantine(pair: Pair, columns: str = "key ->> 'client_id', reason, since") -> list[tuple[object, ...]]:
    return pair.rows(f"SELECT {columns} FROM powerca_sync.quarantine ORDER BY 1, 2")  # noqa: S608


def test_guides_table_has_its_columns_and_debugging_queries_work(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute("INSERT INTO clients VALUES (3, NULL, NULL)")
    pair.sync(CLIENTS)
    columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '_sync_metadata'"
    made = pair.rows(f"{columns} ORDER BY ordinal_position")
    pair.target.execute("DROP TABLE _sync_metadata")
    pair.target.execute(GUIDES_OWN)
    assert pair.rows(f"{columns} ORDER BY ordinal_position") == made
    pair.sync(CLIENTS)
    pair.rows("SELECT * FROM _sync_metadata ORDER BY updated_at DESC")
    ((table, when, records, seconds),) = pair.rows(
        "SELECT table_name, last_sync_timestamp, records_synced, last_sync_duration_ms / 1000.0 as duration_seconds"
        " FROM _sync_metadata ORDER BY last_sync_timestamp DESC"
    )
    assert (table, when is not None, records, 0 < seconds < 60) == ("clients", True, 2, True)


def test_existing_lines_of_the_guides_engine_are_taken_over(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute(GUIDES_OWN)
    pair.target.execute("INSERT INTO _sync_metadata VALUES ('clients', '2025-10-30', 7, 9, 'old', '2025-10-30')")
    pair.target.execute("INSERT INTO _sync_metadata VALUES ('elsewhere', '2025-10-30', 7, 9, NULL, '2025-10-30')")
    elsewhere = pair.text("_sync_metadata", where="table_name = 'elsewhere'")
    result = pair.sync(CLIENTS, mode="incremental")
    assert (result.mode_effective, result.mode_reason) == ("full", "there was no complete run before")
    assert pair.rows(
        "SELECT records_synced, error_message, last_sync_timestamp > '2025-10-31' FROM _sync_metadata"
        " WHERE table_name = 'clients'"
    ) == [(2, None, True)]
    assert pair.text("_sync_metadata", where="table_name = 'elsewhere'") == elsewhere


def test_guides_table_is_hidden_from_the_data_api(pair: Pair) -> None:
    pair.target.execute(GUIDES_OWN)
    prepare_target(pair.target)
    pair.target.execute("INSERT INTO _sync_metadata VALUES ('clients')")
    assert pair.rows("SELECT relrowsecurity FROM pg_class WHERE relname = '_sync_metadata'") == [(True,)]
    assert pair.rows("SELECT polname FROM pg_policy") == []
    with pair.target.transaction(force_rollback=True):
        pair.target.execute("CREATE ROLE anonymous; GRANT SELECT ON _sync_metadata TO anonymous; SET ROLE anonymous")
        assert pair.rows("SELECT * FROM _sync_metadata") == []


def test_complete_state_schema_causes_no_ddl(pair: Pair) -> None:
    make_clients(pair)
    pair.sync(CLIENTS)
    pair.target.execute("""
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp') THEN
                RAISE EXCEPTION 'the interface would reload';
            END IF;
        END $$;
        CREATE EVENT TRIGGER forbid ON ddl_command_end EXECUTE FUNCTION forbid()""")
    pair.source.execute("UPDATE clients SET name = 'A' WHERE client_id = 1; INSERT INTO clients VALUES (9, NULL, NULL)")
    assert row_counts(pair.sync(CLIENTS)) == {"updated": 1, "unchanged": 1, "quarantined": 1}
    assert prepare_target(pair.target).created is False
    pair.target.execute("DROP TABLE powerca_sync.quarantine")
    with pytest.raises(SyncError, match="the interface would reload"):
        pair.sync(CLIENTS)


def test_error_is_stored_beside_the_last_success_until_the_next(pair: Pair) -> None:
    make_clients(pair)
    pair.sync(CLIENTS)
    success = "SELECT last_sync_timestamp, records_synced, error_message FROM _sync_metadata"
    before = pair.rows(success)
    pair.source.execute("ALTER TABLE clients RENAME TO mislaid")
    with pytest.raises(SyncError, match="`clients` does not exist on the desktop"):
        pair.sync(CLIENTS)
    ((when, records, message),) = pair.rows(success)
    assert [(when, records, None)] == before
    assert message.startswith("Table `clients` does not exist on the desktop")
    pair.source.execute("ALTER TABLE mislaid RENAME TO clients")
    pair.sync(CLIENTS)
    assert pair.one("SELECT error_message FROM _sync_metadata") is None


def test_error_before_the_first_success_has_a_line(pair: Pair) -> None:
    pair.target.execute("CREATE TABLE clients (client_id int PRIMARY KEY)")
    with pytest.raises(SyncError, match="`clients` does not exist"):
        pair.sync(CLIENTS)
    assert pair.rows("SELECT table_name, last_sync_timestamp, error_message IS NOT NULL FROM _sync_metadata") == [
        ("clients", None, True)
    ]


def test_two_runs_of_one_table_do_not_overlap(pair: Pair) -> None:
    make_clients(pair)
    prepare_target(pair.target)
    with pair.target.transaction():
        pair.target.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync:clients', 0))")
        with pytest.raises(ContentionError, match="being synced by another run"):
            pair.sync(CLIENTS)
    assert row_counts(pair.sync(CLIENTS)) == {"inserted": 2}


@pytest.fixture
def limited(pair: Pair) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Connects to the target as a role that may create nothing."""
    pair.target.execute("CREATE ROLE limited")
    with connect(pair.settings.mobile) as connection:
        connection.execute("SET ROLE limited")
        yield connection
    pair.target.execute("DROP ROLE limited")


def test_role_without_create_privilege_gets_statements_to_pass_on(
    pair: Pair, limited: psycopg.Connection[tuple[object, ...]]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepare_target(limited)
    statements = str(caught.value).partition("run:")[2]
    pair.target.execute(statements)  # type: ignore[call-overload]
    prepare_target(pair.target)
    assert prepare_target(pair.target).created is False


def test_entries_are_opened_kept_unchanged_and_closed(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute(
        "INSERT INTO clients VALUES (8, NULL, NULL), (9, NULL, NULL), (9, NULL, NULL), (NULL, 'x', NULL)"
    )
    assert row_counts(pair.sync(CLIENTS)) == {"inserted": 2, "quarantined": 3, "superseded": 1}
    opened = quarantine(pair)
    assert [entry[:2] for entry in opened] == [("8", "not_null"), ("9", "not_null"), (None, "null_key")]
    written = pair.text("powerca_sync.quarantine", where="key ->> 'client_id' = '9'")
    pair.source.execute("UPDATE clients SET name = 'Chitra' WHERE client_id = 8 OR client_id IS NULL")
    pair.source.execute("INSERT INTO clients VALUES (10, NULL, NULL)")
    for mode in ("full", "incremental"):
        pair.sync(CLIENTS, mode=mode)
        assert [entry[:2] for entry in quarantine(pair)] == [("10", "not_null"), ("9", "not_null"), (None, "null_key")]
        assert pair.text("powerca_sync.quarantine", where="key ->> 'client_id' = '9'") == written
    pair.source.execute("DELETE FROM clients WHERE client_id IS NULL OR client_id > 2")
    assert row_counts(pair.sync(CLIENTS, mode="incremental")) == {}
    assert row_counts(pair.sync(CLIENTS))["stale"] == 1
    assert quarantine(pair) == []


def test_sensitive_values_are_stored_only_in_their_column(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("""
        CREATE FUNCTION gossip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.name = 'gossip' THEN RAISE EXCEPTION '% is a weak password', NEW.secret; END IF; RETURN NEW; END $$;
        CREATE TRIGGER gossip BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION gossip();
        ALTER TABLE clients ALTER secret TYPE varchar(12)""")
    pair.source.execute("""
        UPDATE clients SET secret = 'S3cret' || client_id;
        INSERT INTO clients VALUES (3, NULL, 'S3cret3'), (4, 'x', 'guessed'), (5, 'gossip', 'S3cret5'),
            (6, 'same', 'S3cret6'), (7, 'same', 'S3cret6'), (8, 'long', 'S3cret8 is too long'), (9, 'a', 'S3cret9'),
            (9, 'b', 'S3cret9')""")
    result = pair.sync(CLIENTS)
    assert row_counts(result) == {"inserted": 2, "quarantined": 8}
    assert {sample.reason for sample in result.samples} == {"not_null", "check", "refused", "duplicate_key"}
    seen = repr(result) + repr(pair.text("powerca_sync.quarantine")) + repr(pair.text("_sync_metadata"))
    assert "S3cret" not in seen
    assert "guessed" not in seen
    pair.source.execute("INSERT INTO clients SELECT n, NULL, 'S3cret' FROM generate_series(10, 40) AS n")
    with pytest.raises(UnsafeTargetError) as caught:
        pair.sync(CLIENTS)
    assert "S3cret" not in str(caught.value)


#: `_sync_metadata` as three versions of the earlier system created it.
EARLIER_SHAPES = {
    "A": """CREATE TABLE _sync_metadata (table_name varchar(255) PRIMARY KEY, last_sync_timestamp timestamptz,
        last_sync_id bigint, sync_direction varchar(20), sync_status varchar(50) DEFAULT 'pending',
        records_synced integer, error_message text, updated_at timestamptz)""",
    "B": """CREATE TABLE _sync_metadata (table_name varchar(255) PRIMARY KEY, last_sync_timestamp timestamptz,
        last_sync_records integer, created_at timestamptz DEFAULT now(), updated_at timestamptz)""",
    "C": """CREATE TABLE _sync_metadata (table_name varchar(255) PRIMARY KEY,
        last_sync_timestamp timestamptz NOT NULL DEFAULT '1970-01-01', last_sync_id bigint,
        sync_status varchar(50) DEFAULT 'pending',
        records_synced integer, error_message text, updated_at timestamptz)""",
}


@pytest.mark.parametrize("shape", EARLIER_SHAPES)
def test_earlier_shape_of_the_guides_table_is_completed(pair: Pair, shape: str) -> None:
    make_clients(pair)
    pair.target.execute(EARLIER_SHAPES[shape])  # type: ignore[call-overload]
    pair.target.execute("INSERT INTO _sync_metadata (table_name) VALUES ('clients'), ('other')")
    other = pair.rows("SELECT to_jsonb(m) FROM _sync_metadata m WHERE table_name = 'other'")[0][0]
    assert row_counts(pair.sync(CLIENTS)) == {"inserted": 2}
    line = "SELECT records_synced, last_sync_duration_ms >= 0, error_message FROM _sync_metadata"
    assert pair.rows(f"{line} WHERE table_name = 'clients'") == [(2, True, None)]
    after = pair.rows("SELECT to_jsonb(m) FROM _sync_metadata m WHERE table_name = 'other'")[0][0]
    assert other.items() <= after.items()
    pair.source.execute("ALTER TABLE clients RENAME TO mislaid")
    with pytest.raises(SyncError, match="does not exist on the desktop"):
        pair.sync(CLIENTS)
    assert pair.one("SELECT error_message IS NOT NULL FROM _sync_metadata WHERE table_name = 'clients'") is True


@pytest.mark.parametrize("shape", EARLIER_SHAPES)
def test_earlier_shape_without_alter_privilege_blocks_no_sync(pair: Pair, shape: str) -> None:
    make_clients(pair)
    pair.target.execute(EARLIER_SHAPES[shape])  # type: ignore[call-overload]
    pair.target.execute("CREATE ROLE clerk; GRANT ALL ON SCHEMA public TO clerk; ALTER TABLE clients OWNER TO clerk")
    name = pair.settings.mobile.name
    pair.target.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO clerk")  # type: ignore[call-overload]
    pair.target.execute(f"ALTER ROLE postgres IN DATABASE {name} SET role = clerk")  # type: ignore[call-overload]
    try:
        assert row_counts(pair.sync(CLIENTS)) == {"inserted": 2}
        assert row_counts(pair.sync(CLIENTS)) == {"unchanged": 2}
        assert pair.rows("SELECT * FROM _sync_metadata") == []
        assert pair.rows("SELECT records, milliseconds >= 0 FROM powerca_sync.table_state") == [(2, True)]
        pair.source.execute("ALTER TABLE clients RENAME TO mislaid")
        with pytest.raises(SyncError, match="does not exist on the desktop"):
            pair.sync(CLIENTS)
        assert pair.one("SELECT message FROM powerca_sync.failure").startswith("Table `clients` does not exist")
    finally:
        pair.target.execute(f"ALTER ROLE postgres IN DATABASE {name} RESET role")  # type: ignore[call-overload]
        pair.target.execute("DROP OWNED BY clerk CASCADE; DROP ROLE clerk")


def test_type_too_narrow_for_the_value_blocks_no_sync(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("CREATE TABLE _sync_metadata (table_name varchar(3) PRIMARY KEY, updated_at date)")
    assert row_counts(pair.sync(CLIENTS)) == {"inserted": 2}
    assert pair.rows("SELECT * FROM _sync_metadata") == []
    assert pair.one("SELECT records FROM powerca_sync.table_state") == 2


def test_failure_of_an_office_does_not_affect_others(pair: Pair) -> None:
    make_clients(pair)
    pair.sync(CLIENTS)
    pair.target.execute("INSERT INTO powerca_sync.failure VALUES ('other/desktop', 'clients', 'theirs')")
    pair.source.execute("ALTER TABLE clients RENAME TO mislaid")
    with pytest.raises(SyncError):
        pair.sync(CLIENTS)
    failed = "SELECT office = 'other/desktop', left(message, 6) FROM powerca_sync.failure ORDER BY 1"
    assert pair.rows(failed) == [(False, "Table "), (True, "theirs")]
    pair.source.execute("ALTER TABLE mislaid RENAME TO clients")
    pair.sync(CLIENTS)
    assert pair.rows(failed) == [(True, "theirs")]
