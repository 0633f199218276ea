-- One row for each wanted relation, in the given order; NULL where it does not exist.
-- to_jsonb reads columns that older servers lack: indnullsnotdistinct came with 15, conenforced and conperiod with 18.
SELECT
    c.oid::bigint AS oid,
    c.relkind::text AS kind,
    c.relkind = 'r' AND c.relhassubclass AS has_children,
    (
        -- Common values are left out to save traffic: this is sent for every table.
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'base', base.name,
            'typmod', nullif(base.typmod, -1),
            'category', base.category,
            'nullable', nullif(NOT (a.attnotnull OR base.not_null), true),
            'has_default', nullif(a.atthasdef OR a.attidentity <> '', false),
            'identity', nullif(a.attidentity, ''),
            'generated', nullif(a.attgenerated <> '', false),
            'number', a.attnum,
            'comment', col_description(c.oid, a.attnum),
            'missing', CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END,
            'operators', base.operators,
            'decimals', CASE WHEN base.name IN ('money', '_money') THEN current_setting('powerca_theirs.decimals')::int END,
            'labels', (
                SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                FROM pg_enum AS e
                WHERE e.enumtypid IN (base.oid, base.element)
            )
        )) ORDER BY a.attnum), '[]')
        FROM pg_attribute AS a
        CROSS JOIN LATERAL (
            -- From a domain down to its base type.
            WITH RECURSIVE chain AS (
                SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typcategory, t.typnamespace,
                    a.atttypmod AS typmod, t.typnotnull AS not_null
                FROM pg_type AS t
                WHERE t.oid = a.atttypid
                UNION ALL
                SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typcategory, t.typnamespace,
                    CASE WHEN chain.typmod >= 0 THEN chain.typmod ELSE d.typtypmod END,
                    chain.not_null OR t.typnotnull
                FROM chain
                JOIN pg_type AS d ON d.oid = chain.oid
                JOIN pg_type AS t ON t.oid = chain.typbasetype
                WHERE chain.typtype = 'd'
            )
            SELECT
                CASE WHEN typnamespace = 'pg_catalog'::regnamespace THEN typname
                    ELSE typnamespace::regnamespace::text || '.' || typname END AS name,
                typmod, typcategory AS category, not_null, oid,
                -- Base types of extensions have operators of their own; enums, ranges and rows use those of pg_catalog.
                CASE WHEN typtype = 'b' AND typcategory <> 'A' THEN nullif(typnamespace::regnamespace::text, 'pg_catalog') END
                    AS operators,
                (SELECT t.typelem FROM pg_type AS t WHERE t.oid = chain.oid) AS element
            FROM chain
            WHERE typtype <> 'd'
        ) AS base
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS columns,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'primary', i.indisprimary,
            'nulls_distinct', NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
            'columns', (
                SELECT jsonb_agg(a.attname ORDER BY place.n)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS place (attnum, n)
                JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = place.attnum
                WHERE place.n <= i.indnkeyatts
            )
        ) ORDER BY i.indisprimary DESC, i.indexrelid), '[]')
        FROM pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    ) AS unique_keys,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'columns', (
                SELECT jsonb_agg(a.attname ORDER BY place.n)
                FROM unnest(k.conkey) WITH ORDINALITY AS place (attnum, n)
                JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = place.attnum
            ),
            'child_schema', child_schema.nspname,
            'child', child.relname,
            'parent_schema', parent_schema.nspname,
            'parent', parent.relname,
            'parent_columns', (
                SELECT jsonb_agg(a.attname ORDER BY place.n)
                FROM unnest(k.confkey) WITH ORDINALITY AS place (attnum, n)
                JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = place.attnum
            ),
            'inbound', k.confrelid = ANY (family.oids),
            'outbound', k.conrelid = c.oid,
            'circle', CASE WHEN k.conrelid = c.oid AND k.confrelid <> c.oid THEN (
                -- Whether the parent references the child, directly or not, and whether all columns on the path are NOT NULL.
                WITH RECURSIVE way AS (
                    SELECT k.confrelid AS oid, true AS closed
                    UNION
                    SELECT f.confrelid, w.closed AND NOT EXISTS (
                        SELECT FROM pg_attribute AS a
                        WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey) AND NOT a.attnotnull
                    )
                    FROM way AS w
                    JOIN pg_constraint AS f ON f.conrelid = w.oid AND f.contype = 'f' AND f.conparentid = 0
                )
                SELECT CASE WHEN bool_or(w.closed) THEN 'closed' ELSE 'open' END
                FROM way AS w WHERE w.oid = c.oid HAVING count(*) > 0
            ) END
        ) ORDER BY k.conname), '[]')
        FROM pg_constraint AS k
        JOIN pg_class AS child ON child.oid = k.conrelid
        JOIN pg_namespace AS child_schema ON child_schema.oid = child.relnamespace
        JOIN pg_class AS parent ON parent.oid = k.confrelid
        JOIN pg_namespace AS parent_schema ON parent_schema.oid = parent.relnamespace
        -- conparentid <> 0: the copy of a constraint for a partition.
        WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = c.oid OR k.confrelid = ANY (family.oids))
            AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
            -- A key with PERIOD may need several parents, which equality does not find.
            AND NOT coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
    ) AS foreign_keys,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', k.conname,
            'expression', pg_get_expr(k.conbin, k.conrelid),
            'columns', (
                SELECT coalesce(jsonb_agg(a.attname), '[]')
                FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
            )
        ) ORDER BY k.conname), '[]')
        FROM pg_constraint AS k
        WHERE k.contype = 'c' AND k.conrelid = c.oid AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    ) AS checks,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', r.rulename,
            'event', (ARRAY['UPDATE', 'INSERT', 'DELETE'])[r.ev_type::text::int - 1],
            'instead', r.is_instead
        ) ORDER BY r.rulename), '[]')
        FROM pg_rewrite AS r
        WHERE r.ev_class = c.oid AND r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A')
    ) AS rules
FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS wanted (schema, name, place)
LEFT JOIN (pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace)
    ON n.nspname = wanted.schema AND c.relname = wanted.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
-- A foreign key may reference a partition of the table.
CROSS JOIN LATERAL (
    SELECT array_append(ARRAY(SELECT relid::oid FROM pg_partition_tree(c.oid)), c.oid) AS oids
) AS family
ORDER BY wanted.place
