-- The last recorded run of each table of this desktop.
SELECT t.table_name, t.token, t.synced_at, (t.mark ->> 'lsn')::bigint, (t.mark ->> 'timeline')::bigint
FROM powerca_sync.table_state AS t
WHERE t.office = %(office)s
