-- The record of a table's last reverse run, and whether the ledger has an entry of the table.
SELECT
    pull.columns,
    pull.content_form,
    pull.key_form,
    coalesce(pull.digest NOT LIKE '0:%%', false) AS saw_rows,
    EXISTS (SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %(table)s) AS has_entries,
    pull.state,
    coalesce(pull.findings, '{}') AS findings
FROM (SELECT) AS nothing
LEFT JOIN powerca_sync.pulls AS pull ON pull.table_name = %(table)s
