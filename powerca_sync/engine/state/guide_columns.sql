-- The columns of the guide's table that the role may write; empty if there is no such table.
SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}')
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass('public._sync_metadata') AND a.attnum > 0 AND NOT a.attisdropped
    AND has_column_privilege(a.attrelid, a.attnum, 'INSERT') AND has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
