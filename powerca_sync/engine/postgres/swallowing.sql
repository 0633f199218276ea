-- BEFORE and INSTEAD OF row triggers of a table for an event, and its DO INSTEAD rules.
SELECT t.tgname::text
FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid = %(table)s::bigint::oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
    AND (t.tgtype & 1) <> 0 AND (t.tgtype & 66) <> 0
    AND (t.tgtype & CASE %(event)s WHEN 'insert' THEN 4 WHEN 'delete' THEN 8 ELSE 16 END) <> 0
UNION ALL
SELECT r.rulename::text
FROM pg_catalog.pg_rewrite AS r
WHERE r.ev_class = %(table)s::bigint::oid AND r.is_instead AND r.ev_enabled IN ('O', 'A')
    AND r.ev_type = CASE %(event)s WHEN 'insert' THEN '3' WHEN 'delete' THEN '4' ELSE '2' END
ORDER BY 1
