-- The sequences that feed columns of these tables: of identity columns, and those that a default names.
-- `next` is NULL where the role may not ask. An identity column needs no right on its sequence.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    a.attname::text AS "column",
    sn.nspname::text AS sequence_schema,
    s.relname::text AS sequence,
    a.attidentity <> '' AS identity,
    has_schema_privilege(sn.oid, 'USAGE') AND has_sequence_privilege(s.oid, 'USAGE') AS usage,
    has_sequence_privilege(s.oid, 'UPDATE') AS update,
    EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
    ) AS is_unique,
    CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE')
        THEN coalesce(pg_sequence_last_value(s.oid::regclass) + q.seqincrement, q.seqstart) END AS next
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN (
    SELECT d.refobjid AS relation, d.refobjsubid AS attribute, d.objid AS sequence
    FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
    UNION
    SELECT f.adrelid, f.adnum, d.refobjid
    FROM pg_depend AS d
    JOIN pg_attrdef AS f ON f.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> f.adrelid
) AS feeds ON feeds.relation = a.attrelid AND feeds.attribute = a.attnum
JOIN pg_class AS s ON s.oid = feeds.sequence AND s.relkind = 'S'
JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
WHERE c.oid = ANY (%(tables)s::bigint[]::oid[]) AND q.seqincrement > 0
ORDER BY n.nspname, c.relname, a.attnum
