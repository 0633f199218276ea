-- A digest of the catalog rows from which catalog.sql computes its result: while it is the same, so is the result.
-- A row that is updated, or deleted and inserted again, gets another xmin or ctid. Fields that PostgreSQL overwrites in
-- place, or rows that change without changing the result (TRUNCATE writes pg_class), are taken by value instead.
-- Comments of columns are left out, because nothing depends on them.
WITH foreign_keys AS MATERIALIZED (
    -- All of them: any may be on the way from a parent back to its child.
    SELECT k.conrelid, k.confrelid FROM pg_constraint AS k WHERE k.contype = 'f'
),
relations AS MATERIALIZED (
    SELECT c.oid
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS wanted (schema, name)
    JOIN pg_namespace AS n ON n.nspname = wanted.schema
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
    UNION
    SELECT k.conrelid FROM foreign_keys AS k
    UNION
    SELECT k.confrelid FROM foreign_keys AS k
),
schemas AS MATERIALIZED (
    -- Temporary tables of other sessions come and go.
    SELECT n.oid, n.ctid, n.xmin FROM pg_namespace AS n WHERE n.nspname !~ '^pg_(toast_)?temp_'
)
SELECT md5(string_agg(v.version, ' ' ORDER BY v.version) || current_setting('powerca_theirs.decimals'))
FROM (
    SELECT concat_ws(':', 'c', c.oid, c.relnamespace, c.relname, c.relkind, c.relhassubclass) AS version
    FROM pg_class AS c
    WHERE c.oid IN (SELECT r.oid FROM relations AS r)
    UNION ALL
    SELECT concat_ws(':', 'a', a.ctid, a.xmin) FROM pg_attribute AS a WHERE a.attrelid IN (SELECT r.oid FROM relations AS r)
    UNION ALL
    SELECT concat_ws(':', 'i', i.ctid, i.xmin, i.indisvalid)
    FROM pg_index AS i
    WHERE i.indrelid IN (SELECT r.oid FROM relations AS r)
    UNION ALL
    SELECT concat_ws(':', 'k', k.ctid, k.xmin)
    FROM pg_constraint AS k
    WHERE k.contype = 'f' OR k.conrelid IN (SELECT r.oid FROM relations AS r)
    UNION ALL
    SELECT concat_ws(':', 'w', w.ctid, w.xmin) FROM pg_rewrite AS w WHERE w.ev_class IN (SELECT r.oid FROM relations AS r)
    UNION ALL
    SELECT concat_ws(':', 'p', p.ctid, p.xmin) FROM pg_inherits AS p
    UNION ALL
    SELECT concat_ws(':', 'n', n.oid, n.ctid, n.xmin) FROM schemas AS n
    UNION ALL
    -- Types of columns, and what the expression of a CHECK may name. Those with smaller numbers are PostgreSQL's own.
    SELECT concat_ws(':', 't', t.ctid, t.xmin)
    FROM pg_type AS t
    WHERE t.oid >= 16384 AND t.typnamespace IN (SELECT n.oid FROM schemas AS n)
    UNION ALL
    SELECT concat_ws(':', 'e', e.ctid, e.xmin) FROM pg_enum AS e
    UNION ALL
    SELECT concat_ws(':', 'f', f.ctid, f.xmin) FROM pg_proc AS f WHERE f.oid >= 16384
    UNION ALL
    SELECT concat_ws(':', 'o', o.ctid, o.xmin) FROM pg_operator AS o WHERE o.oid >= 16384
    UNION ALL
    SELECT concat_ws(':', 'l', l.ctid, l.xmin) FROM pg_collation AS l WHERE l.oid >= 16384
) AS v
