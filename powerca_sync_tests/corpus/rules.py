"""Mobile tables with active behaviour: rules, triggers, deferred constraints, owners of other types."""

from powerca_sync_tests.corpus.case import Arrives, Case, Refused
from powerca_sync_tests.helpers import delete_insert, spec

ITEMS = spec("items", "id", limit_share=1.0)
LINES = delete_insert("items", "id", limit_share=1.0)
DESKTOP = "CREATE TABLE items (id int, name text); INSERT INTO items VALUES (1, 'one'), (2, 'bad'), (3, 'three');"
MOBILE = "CREATE TABLE items (id int, name text, source text);"


def _trigger(body: str, events: str = "INSERT OR UPDATE", when: str = "BEFORE") -> str:
    return f"""{MOBILE}
        CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER on_write {when} {events} ON items FOR EACH ROW EXECUTE FUNCTION on_write()"""


def _case(name: str, mobile: str, **rest: object) -> Case:
    given = {"name": name, "desktop": DESKTOP, "mobile": mobile, "table": ITEMS, "back": None} | rest
    return Case(**given)  # type: ignore[arg-type]


RULE = r"`silent` of the target swallowed the row .*\. Nothing was written\. Have the trigger or rule write"

CASES = (
    _case(
        "a rule that does nothing instead of an insert",
        f"{MOBILE} CREATE RULE silent AS ON INSERT TO items DO INSTEAD NOTHING",
        expected=Refused(sentence=RULE, foreseen=False),
    ),
    _case(
        "a rule that does nothing instead of one insert",
        f"{MOBILE} CREATE RULE silent AS ON INSERT TO items WHERE NEW.id = 2 DO INSTEAD NOTHING",
        expected=Arrives(waiting={"2": "`silent` of the target swallowed the row"}, foreseen=False),
        table=LINES,
    ),
    _case(
        "a rule of the desktop",
        MOBILE,
        desktop=f"{DESKTOP} CREATE TABLE log (id int);"
        "CREATE RULE loud AS ON INSERT TO items DO ALSO INSERT INTO log VALUES (NEW.id)",
        back=Refused(sentence="`items` has the rule `loud` \\(CREATE RULE\\) for INSERT, so that the sync cannot see"),
    ),
    _case(
        "a rule that writes a log as well",
        f"""{MOBILE} CREATE TABLE log (id int, name text); CREATE TABLE log_of_updates (id int);
        CREATE RULE loud AS ON INSERT TO items DO ALSO INSERT INTO log VALUES (NEW.id, NEW.name);
        CREATE RULE louder AS ON UPDATE TO items DO ALSO INSERT INTO log_of_updates VALUES (NEW.id)""",
    ),
    *(
        _case(
            f"a trigger that raises {when} a write",
            _trigger("IF NEW.name = 'bad' THEN RAISE EXCEPTION 'we have %', NEW.name; END IF; RETURN NEW;", when=when),
            expected=Arrives(waiting={"2": "^we have bad$"}, foreseen=False),
            table=table,
        )
        for when, table in (("BEFORE", ITEMS), ("AFTER", LINES))
    ),
    _case(
        "a trigger that raises with a message of many lines, percent signs and braces",
        _trigger(r"IF NEW.id = 2 THEN RAISE EXCEPTION USING MESSAGE = E'%s\n{0}\t%(x)s'; END IF; RETURN NEW;"),
        expected=Arrives(waiting={"2": "%s"}, foreseen=False),
    ),
    _case(
        "a trigger that divides by zero",
        _trigger("NEW.name := NEW.name || (1 / (NEW.id - 2) * 0); NEW.name := rtrim(NEW.name, '0-'); RETURN NEW;"),
        expected=Arrives(waiting={"2": "division by zero"}, foreseen=False),
    ),
    _case(
        "a trigger that discards a row",
        _trigger("IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW;"),
        expected=Arrives(waiting={"2": "`on_write` of the target swallowed the row"}, foreseen=False),
    ),
    _case(
        "a trigger that forbids to delete",
        _trigger("RAISE EXCEPTION 'kept';", events="DELETE"),
        mendable=False,
    ),
    _case(
        "a deferred constraint trigger",
        f"""{MOBILE}
        CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.name = 'bad' THEN RAISE EXCEPTION 'late'; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON items DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION late()""",
        expected=Arrives(waiting={"2": "^late$"}, foreseen=False),
    ),
    _case(
        "a deferred foreign key",
        """CREATE TABLE kinds (name text PRIMARY KEY); INSERT INTO kinds VALUES ('one'), ('three');
        CREATE TABLE items (id int, name text REFERENCES kinds DEFERRABLE INITIALLY DEFERRED, source text)""",
        expected=Arrives(waiting={"2": "name=bad has no matching row in kinds"}),
    ),
    _case(
        "a deferred exclusion constraint",
        """CREATE TABLE items (id int, name text, source text,
            EXCLUDE USING btree (length(name) WITH =) DEFERRABLE INITIALLY DEFERRED)""",
        desktop=DESKTOP.replace("bad", "two"),
        expected=Arrives(waiting={"2": "conflicting key value violates exclusion constraint"}, foreseen=False),
    ),
    _case(
        "a column that mobile needs and the desktop does not have",
        "CREATE TABLE items (id int, name text, source text, needed int NOT NULL)",
        expected=Arrives(waiting=dict.fromkeys("123", 'null value in column "needed"'), foreseen=False),
    ),
    _case(
        "a generated column that fails for a row",
        "CREATE TABLE items (id int, name text, source text, share int GENERATED ALWAYS AS (10 / (id - 2)) STORED)",
        expected=Arrives(waiting={"2": "division by zero"}, foreseen=False),
    ),
    _case(
        "an index that fails for a row",
        f"{MOBILE} CREATE INDEX ON items ((10 / (id - 2)))",
        expected=Arrives(waiting={"2": "division by zero"}, foreseen=False),
    ),
    _case(
        "an owner that is an enum",
        """CREATE TYPE side AS ENUM ('D', 'M'); CREATE TABLE items (id int, name text, source side);""",
    ),
    _case("an owner that is padded", "CREATE TABLE items (id int, name text, source char(5) NOT NULL DEFAULT 'S')"),
    _case(
        "an owner that cannot say who it is",
        "CREATE TABLE items (id int, name text, source boolean)",
        expected=Arrives(waiting=dict.fromkeys("123", 'invalid input syntax for type boolean: "D"'), foreseen=False),
    ),
    _case(
        "timestamps of unusual types",
        "CREATE TABLE items (id int, name text, source text, created_at date,"
        " updated_at timestamp GENERATED ALWAYS AS ('2020-01-01') STORED)",
        desktop="CREATE TABLE items (id int, name text, created_at text, updated_at text);"
        " INSERT INTO items VALUES (1, 'one', '2025-01-01', 'noon'), (2, NULL, NULL, '10:00')",
    ),
    _case(
        "an invalid timestamp",
        "CREATE TABLE items (id int, name text, source text, updated_at time)",
        expected=Refused(
            sentence="Column `updated_at` of `public.items` is `time without time zone`, which cannot store"
        ),
    ),
    _case(
        "a stamp of the desktop that is none",
        "CREATE TABLE items (id int, name text, source text, created_at timestamptz)",
        desktop="CREATE TABLE items (id int, name text, created_at text);"
        " INSERT INTO items VALUES (1, 'one', '2025-01-01'), (2, 'two', 'noon'), (3, NULL, NULL)",
        expected=Arrives(waiting={"2": 'invalid input syntax for type timestamp with time zone: "noon"'}),
    ),
)
#: Rows changed by a trigger are written again by every run: the intended value is not stored.
RESTLESS = _case(
    "a trigger that changes every row",
    _trigger("NEW.name := upper(NEW.name); RETURN NEW;"),
)
