-- Keys of the table's rows in quarantine, and how many rows have each.
SELECT entry.key, count(*)
FROM powerca_sync.quarantine AS entry
WHERE entry.office = %(office)s AND entry.table_name = %(table)s
GROUP BY entry.key
