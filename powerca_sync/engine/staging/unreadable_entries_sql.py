"""Statements that find values of the ledger that the desktop's columns can no longer read."""

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, ENTRIES, from_image
from powerca_sync.engine.postgres import Column, Table

#: The setting in which `find_unreadable` leaves its result.
SETTING = "powerca_sync.unreadable"


def read_all(table: Table, name: str) -> sql.Composed:
    """Returns a query over all stored values, which fails if one cannot be read."""
    values = COMMA.join(from_image("l", column) for column in table.columns)
    return sql.SQL("SELECT count(ROW({})::text) FROM powerca_sync.pulled AS l WHERE l.table_name = {}").format(
        values, name
    )


def find_unreadable(table: Table, name: str) -> sql.Composed:
    """Returns a block that finds the unreadable values; it creates nothing and works in a READ ONLY transaction.

    Reads entry by entry only those columns that cannot read all of their values.
    """
    tries = sql.SQL("").join(
        sql.SQL("""
    BEGIN
        PERFORM count(({value})::text) FROM powerca_sync.pulled AS l WHERE l.table_name = {name};
    EXCEPTION WHEN OTHERS THEN
        FOR l IN SELECT p.id, p.image FROM powerca_sync.pulled AS p WHERE p.table_name = {name} LOOP
            BEGIN
                PERFORM ({value})::text;
            EXCEPTION WHEN OTHERS THEN
                found := found || jsonb_build_array(jsonb_build_array({number}, l.id, SQLERRM));
            END;
        END LOOP;
    END;""").format(value=from_image("l", column), name=name, number=sql.Literal(column.number))
        for column in table.columns
    )
    body = sql.SQL("""
DECLARE
    l record;
    found jsonb := '[]';
BEGIN{tries}
    PERFORM set_config({setting}, found::text, true);
END""").format(tries=tries, setting=SETTING)
    return sql.SQL("DO {}").format(sql.Literal(body.as_string()))


def unreadable() -> sql.Composed:
    """Returns a query for the result of `find_unreadable`: a JSON array of (column number, entry, message)."""
    return sql.SQL("SELECT current_setting({})").format(SETTING)


def refresh(table: Table, column: Column, name: str) -> sql.Composed:
    """Set unreadable values of `column` to the value that the entry's row has now; NULL if the row is gone."""
    return sql.SQL("""\
UPDATE powerca_sync.pulled AS l
SET image = l.image || jsonb_build_object({column}, n.text, {aside}, l.image ->> {column})
FROM (
    SELECT e.id, {value}::text AS text
    FROM {entries} AS e LEFT JOIN {target} AS t ON (t.tableoid, t.ctid) = (e.relation, e.place)
) AS n
WHERE l.id = n.id AND l.table_name = {name} AND l.id = ANY ({unreadable}::bigint[])
    AND l.image ->> {column} IS DISTINCT FROM n.text""").format(
        column=column.name,
        value=sql.Identifier("t", column.name),
        target=table.identifier,
        # Tables with a column whose name has a colon are blocked (`compatibility.WORKING_NAMES`).
        aside=f"aside:{column.name}",
        entries=ENTRIES,
        name=name,
        unreadable=list(column.unreadable),
    )
