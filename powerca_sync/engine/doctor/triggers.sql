-- The row triggers of these tables that fire before a row is inserted or updated, with what they run.
SELECT
    c.oid::bigint AS oid,
    t.tgname::text AS name,
    (t.tgtype & 4) <> 0 AS on_insert,
    (t.tgtype & 16) <> 0 AS on_update,
    p.proname::text AS function,
    l.lanname::text AS language,
    p.prosrc AS body,
    encode(t.tgargs, 'escape') AS arguments
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_language AS l ON l.oid = p.prolang
WHERE c.oid = ANY (%(tables)s::bigint[]::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
    AND (t.tgtype & 1) <> 0 AND (t.tgtype & 2) <> 0 AND (t.tgtype & 20) <> 0
ORDER BY c.relname, t.tgname
