"""Statements that find stored values of the ledger that today's columns cannot hold."""

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, ENTRIES, from_image
from powerca_sync.engine.postgres import Column, Table

#: Brings what the block has found out of it.
SETTING = "powerca_sync.unreadable"


def read_all(table: Table, name: str) -> sql.Composed:
    """Read every stored value; raises if one cannot be read."""
    values = COMMA.join(from_image("l", column) for column in table.columns)
    return sql.SQL("SELECT count(ROW({})::text) FROM powerca_sync.pulled AS l WHERE l.table_name = {}").format(
        values, name
    )


def find_unreadable(table: Table, name: str) -> sql.Composed:
    """Try the values one by one; needs no right to create anything, and works in a READ ONLY transaction.

    Only columns that cannot read all of their values are looked at entry by entry.
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
    """Answers what `find_unreadable` has found: a JSON array of (number of the column, entry, the database's words)."""
    return sql.SQL("SELECT current_setting({})").format(SETTING)


def renew(table: Table, column: Column, name: str) -> sql.Composed:
    """Give entries whose value of `column` cannot be read the one that their row has today, or none without a row."""
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
        # The sync works with no column whose name has a colon (`fitness.WORKING_NAMES`).
        aside=f"aside:{column.name}",
        entries=ENTRIES,
        name=name,
        unreadable=list(column.unreadable),
    )
