-- to_jsonb reads a column that databases prepared by earlier versions lack.
-- The other registered desktops: does each lack the table of organisations, and which of its tables have rows without office?
SELECT
    o.office,
    bool_or(o.org_id = '*') AS unlisted,
    coalesce((
        SELECT array_agg(t.table_name ORDER BY t.table_name)
        FROM powerca_sync.table_state AS t
        WHERE t.office = o.office AND (to_jsonb(t) ->> 'unscoped')::boolean
    ), '{}') AS unscoped
FROM powerca_sync.office AS o
WHERE o.office <> %(office)s
GROUP BY o.office
ORDER BY o.office
