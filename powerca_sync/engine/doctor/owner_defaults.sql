-- What a row of each of these tables gets in a column where its writer says nothing; NULL for nothing.
SELECT c.oid::bigint AS oid, pg_get_expr(f.adbin, f.adrelid) AS expression
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = %(column)s AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS f ON f.adrelid = c.oid AND f.adnum = a.attnum
WHERE c.oid = ANY (%(tables)s::bigint[]::oid[])
