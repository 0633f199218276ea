-- One row for each wanted relation, in the given order: what the statistics have counted for the tables of which it consists.
WITH RECURSIVE wanted AS (
    SELECT w.place, c.oid, c.relkind
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS w (schema, name, place)
    LEFT JOIN (pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace)
        ON n.nspname = w.schema AND c.relname = w.name
),
-- A view down to its tables, a table with its partitions and children. A materialized view changes by itself only.
below AS (
    SELECT w.place, w.oid, w.relkind FROM wanted AS w WHERE w.oid IS NOT NULL
    UNION
    SELECT b.place, c.oid, c.relkind
    FROM below AS b
    CROSS JOIN LATERAL (
        SELECT i.inhrelid AS oid FROM pg_inherits AS i WHERE i.inhparent = b.oid
        UNION ALL
        SELECT d.refobjid
        FROM pg_rewrite AS r
        JOIN pg_depend AS d
            ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        WHERE b.relkind = 'v' AND r.ev_class = b.oid
    ) AS part
    JOIN pg_class AS c ON c.oid = part.oid
),
counted AS (
    SELECT
        b.place,
        bool_or(b.relkind IN ('r', 'm')) AS is_counted,
        -- What cannot be followed: tables of other servers, and functions of the database that may read any table.
        bool_or(b.relkind = 'f') OR bool_or(EXISTS (
            SELECT FROM pg_rewrite AS r
            JOIN pg_depend AS d
                ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass
            JOIN pg_proc AS f ON f.oid = d.refobjid AND f.provolatile <> 'i'
            WHERE b.relkind = 'v' AND r.ev_class = b.oid
        )) AS reads_more,
        sum(
            pg_stat_get_tuples_inserted(b.oid) + pg_stat_get_tuples_updated(b.oid) + pg_stat_get_tuples_deleted(b.oid)
        )::bigint AS writes,
        sum(pg_stat_get_tuples_deleted(b.oid))::bigint AS deletes,
        -- TRUNCATE counts no row, and gives the table a new file.
        md5(string_agg(concat_ws(':', b.oid, c.relfilenode), ' ' ORDER BY b.oid)) AS files,
        sum(
            pg_stat_get_xact_tuples_inserted(b.oid) + pg_stat_get_xact_tuples_updated(b.oid)
            + pg_stat_get_xact_tuples_deleted(b.oid)
        )::bigint AS unreported
    FROM below AS b
    JOIN pg_class AS c ON c.oid = b.oid
    GROUP BY b.place
)
SELECT
    w.oid IS NOT NULL AS exists,
    w.relkind = 'v' AS is_view,
    coalesce(k.is_counted, false) AS is_counted,
    coalesce(k.reads_more, false) AS reads_more,
    coalesce(k.writes, 0) AS writes,
    coalesce(k.deletes, 0) AS deletes,
    coalesce(k.files, '') AS files,
    coalesce(k.unreported, 0) AS unreported
FROM wanted AS w
LEFT JOIN counted AS k ON k.place = w.place
ORDER BY w.place
