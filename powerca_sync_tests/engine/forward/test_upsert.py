"""`UPSERT`: the desktop generates the key; only the difference is written."""

from powerca_sync.specs import Deletes
from powerca_sync_tests.helpers import Pair, assert_noop, row_counts, spec

CLIENTS = spec("clients", "client_id")


def make_clients(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE clients (client_id int, name text, created_at timestamp, updated_at timestamp)")
    pair.target.execute(
        "CREATE TABLE clients (client_id int PRIMARY KEY, name text, rating int, source char(1) DEFAULT 'D',"
        " created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now())"
    )
    pair.source.execute("INSERT INTO clients VALUES (1, 'Asha'), (2, 'Bala'), (3, 'Chitra')")


def test_first_run_inserts_every_row_with_desktop_as_source(pair: Pair) -> None:
    make_clients(pair)
    assert row_counts(pair.sync(CLIENTS)) == {"inserted": 3}
    assert pair.rows("SELECT client_id, name, source FROM clients ORDER BY 1") == [
        (1, "Asha", "D"),
        (2, "Bala", "D"),
        (3, "Chitra", "D"),
    ]
    assert_noop(pair, CLIENTS)


def test_changed_row_is_written_alone_and_keeps_mobile_only_columns(pair: Pair) -> None:
    make_clients(pair)
    pair.sync(CLIENTS)
    pair.target.execute("UPDATE clients SET rating = client_id, created_at = '2020-01-01'")
    before = pair.text("clients", where="client_id <> 2")
    pair.source.execute("UPDATE clients SET name = 'Bala & Sons' WHERE client_id = 2")
    assert row_counts(pair.sync(CLIENTS)) == {"updated": 1, "unchanged": 2}
    assert pair.rows("SELECT name, rating, created_at < '2020-01-02' FROM clients WHERE client_id = 2") == [
        ("Bala & Sons", 2, True)
    ]
    assert pair.text("clients", where="client_id <> 2") == before


def test_phone_row_with_the_same_key_is_kept_and_reported(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("INSERT INTO clients (client_id, name, source) VALUES (2, 'From a phone', 'M')")
    before = pair.text("clients", where="source = 'M'")
    result = pair.sync(CLIENTS)
    assert row_counts(result) == {"inserted": 2, "kept_mobile": 1}
    assert result.conflicts == ("(2)",)
    assert pair.text("clients", where="source = 'M'") == before


def test_unowned_row_is_adopted(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("INSERT INTO clients (client_id, name, source) VALUES (1, 'Asha', NULL), (9, 'Stays', NULL)")
    result = pair.sync(CLIENTS)
    assert row_counts(result) == {"inserted": 2, "updated": 1, "kept_other": 1}
    assert pair.rows("SELECT client_id, source FROM clients WHERE client_id IN (1, 9) ORDER BY 1") == [
        (1, "D"),
        (9, None),
    ]


def test_null_key_is_quarantined(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute("INSERT INTO clients VALUES (NULL, 'Nobody')")
    result = pair.sync(CLIENTS)
    assert row_counts(result) == {"inserted": 3, "quarantined": 1}
    assert str(result.samples[0]) == "the key column client_id is empty"


def test_exact_duplicates_collapse_and_others_are_quarantined(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute("INSERT INTO clients VALUES (1, 'Asha'), (2, 'Not Bala')")
    result = pair.sync(CLIENTS)
    assert row_counts(result) == {"inserted": 2, "superseded": 1, "quarantined": 2}
    assert pair.rows("SELECT client_id FROM clients ORDER BY 1") == [(1,), (3,)]


def test_stale_row_is_retained_or_deleted_by_the_spec(pair: Pair) -> None:
    make_clients(pair)
    pair.sync(CLIENTS)
    pair.source.execute("DELETE FROM clients WHERE client_id = 3")
    assert row_counts(pair.sync(CLIENTS)) == {"unchanged": 2, "stale": 1}
    propagating = spec("clients", "client_id", deletes=Deletes.PROPAGATE)
    assert row_counts(pair.sync(propagating)) == {"unchanged": 2, "deleted": 1}


def test_rows_pair_without_a_unique_index_on_the_target(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("ALTER TABLE clients DROP CONSTRAINT clients_pkey")
    pair.sync(CLIENTS)
    pair.source.execute("UPDATE clients SET name = 'B' WHERE client_id = 2")
    assert row_counts(pair.sync(CLIENTS)) == {"updated": 1, "unchanged": 2}
    assert_noop(pair, CLIENTS)
