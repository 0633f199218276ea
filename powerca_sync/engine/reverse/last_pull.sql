-- What the last pull of a table recorded, and whether the ledger has any entry of it.
SELECT
    pull.columns,
    pull.content_form,
    pull.key_form,
    coalesce(pull.digest NOT LIKE '0:%%', false) AS saw_rows,
    EXISTS (SELECT FROM powerca_sync.pulled AS l WHERE l.table_name = %(table)s) AS has_entries
FROM (SELECT) AS nothing
LEFT JOIN powerca_sync.pulls AS pull ON pull.table_name = %(table)s
