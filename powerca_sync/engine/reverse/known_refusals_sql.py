"""Statements that skip phone rows which the target has refused for their content and would refuse again."""

from psycopg import sql

from powerca_sync.engine.mapping import REJECTED
from powerca_sync.engine.reverse.ledger_sql import CLASSIFICATION
from powerca_sync.engine.staging import HASH, KEY, OCCURRENCE

#: Reasons that depend only on the row's content and on the declared columns.
_LASTING = ("refused", "altered", "not_null")


def skip_known_refusals(table: str, form: str) -> sql.Composed:
    """Classify as `refused` the new phone rows that the table, declared as `form` says, has refused before.

    A row whose content has changed since has another hash. The rows affected are the skipped ones.
    """
    return sql.SQL("""\
UPDATE {classification} AS f SET verdict = 'refused'
FROM powerca_sync.quarantine AS q
WHERE f.verdict = 'new' AND q.table_name = {table} AND q.form = {form}
    AND (q.mobile_key, q.content_hash, q.occurrence) = (f.key, f.hash, f.occurrence)""").format(
        classification=CLASSIFICATION, table=table, form=form
    )


def carry_over(table: str) -> sql.Composed:
    """Copy the quarantine entries of the skipped rows into this run's rejected rows."""
    return sql.SQL("""\
INSERT INTO {rejected} (reason, column_name, value, parent, message, key, image, theirs, form)
SELECT q.reason, q.column_name, q.value, q.parent, q.message,
    q.key || jsonb_build_object({key}, q.mobile_key, {hash}, q.content_hash, {occurrence}, q.occurrence::text),
    q.image, q.theirs, q.form
FROM {classification} AS f
JOIN powerca_sync.quarantine AS q
    ON (q.mobile_key, q.content_hash, q.occurrence) = (f.key, f.hash, f.occurrence)
WHERE f.verdict = 'refused' AND q.table_name = {table}""").format(
        rejected=REJECTED, classification=CLASSIFICATION, table=table, key=KEY, hash=HASH, occurrence=OCCURRENCE
    )


def record_form(form: str) -> sql.Composed:
    """Store with rows that were refused for their content how the table is declared.

    Runs before the first insert, because what a trigger or another row refuses may be accepted next time.
    """
    return sql.SQL("UPDATE {} SET form = {} WHERE form IS NULL AND reason = ANY ({}::text[])").format(
        REJECTED, form, list(_LASTING)
    )
