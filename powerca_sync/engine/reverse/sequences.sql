-- The sequences that a table's columns use: owned, of an identity, or named in a default. The last value is the start value
-- if the sequence was not used yet or may not be read.
SELECT DISTINCT a.attname, n.nspname, c.relname, s.seqstart, s.seqmax,
    greatest(s.seqstart, CASE WHEN has_sequence_privilege(c.oid, 'USAGE, SELECT') THEN
        pg_sequence_last_value(c.oid::regclass) END)
FROM (
    SELECT d.refobjsubid AS attnum, d.objid AS sequence
    FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s
        AND d.deptype IN ('a', 'i')
    UNION ALL
    SELECT f.adnum, d.refobjid
    FROM pg_attrdef AS f
    JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
    WHERE f.adrelid = %(table)s AND d.refclassid = 'pg_class'::regclass
) AS found
JOIN pg_sequence AS s ON s.seqrelid = found.sequence AND s.seqincrement > 0
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = %(table)s AND a.attnum = found.attnum
ORDER BY a.attname, n.nspname, c.relname
