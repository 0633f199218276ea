-- Whether every column of the table has a base type: what a domain, an enum or a composite type takes may change.
SELECT bool_and(t.typtype = 'b' AND coalesce(e.typtype, 'b') = 'b')
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_type AS e ON e.oid = t.typelem
WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
