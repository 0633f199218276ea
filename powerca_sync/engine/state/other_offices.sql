-- to_jsonb reads a column that a database prepared by an earlier version does not have.
-- The other registered desktops: whether each has no table of organisations, and its tables that are not split by office.
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
