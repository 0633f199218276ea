-- The columns on which a unique index, or the index of an exclusion constraint, depends: those of the index itself
-- first, then those of its expressions and its predicate.
SELECT a.attname
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum > 0
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE (n.nspname, c.relname) = (%(schema)s, %(name)s)
    -- A trigger may have written to another table, which has rules of its own.
    AND EXISTS (SELECT FROM pg_temp.powerca_actions AS p WHERE p.relation = i.indrelid)
    AND EXISTS (
        SELECT FROM pg_depend AS d
        WHERE (d.classid, d.objid) IN (('pg_class'::regclass, i.indexrelid), ('pg_constraint'::regclass, k.oid))
            AND (d.refclassid, d.refobjid, d.refobjsubid) = ('pg_class'::regclass, i.indrelid, a.attnum)
    )
ORDER BY NOT a.attnum = ANY (i.indkey::int2[]), a.attnum
