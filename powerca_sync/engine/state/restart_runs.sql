-- Let this desktop go on where another one of the same identity has synced: the next run of each table is a full one.
UPDATE powerca_sync.table_state AS t SET mark = NULL, token = %(token)s WHERE t.office = %(office)s
