-- Whether every column has a base type: the values that a domain, enum or composite type accepts may change.
SELECT bool_and(t.typtype = 'b' AND coalesce(e.typtype, 'b') = 'b')
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_type AS e ON e.oid = t.typelem
WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
