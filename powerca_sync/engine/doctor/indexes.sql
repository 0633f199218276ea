-- For each wanted table: its rows as estimated, and whether an index on the column covers all rows, or one the phone rows.
SELECT
    wanted.name,
    greatest(c.reltuples, 0)::bigint AS rows,
    EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum)
        AS is_indexed,
    EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisvalid
            AND regexp_replace(pg_get_expr(i.indpred, i.indrelid), '::(text|bpchar)|[() ]', '', 'g') = 'source=''M'''
    ) AS has_phone_index
FROM unnest(%(tables)s::oid[], %(names)s::text[], %(columns)s::text[]) WITH ORDINALITY
    AS wanted (oid, name, "column", place)
JOIN pg_class AS c ON c.oid = wanted.oid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = wanted."column"
WHERE c.relkind = 'r'
ORDER BY wanted.place
