-- Delete the watermarks of this desktop's tables, so that the next runs are full ones, and store a new token.
UPDATE powerca_sync.table_state AS t SET mark = NULL, token = %(token)s WHERE t.office = %(office)s
