-- plan
WITH paired AS MATERIALIZED (
    SELECT s.ctid AS staged, t."t:relation" AS relation, t."t:place" AS existing,
        CASE
            WHEN t."t:place" IS NULL THEN 'insert'
            WHEN s.ctid IS NULL THEN
                CASE
                    WHEN ("t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT TRUE THEN 'other'
                    WHEN EXISTS (SELECT FROM "pg_temp"."powerca_held" AS h WHERE "h"."org_id" OPERATOR(pg_catalog.=) "t"."org_id" AND "h"."job_id" OPERATOR(pg_catalog.=) "t"."job_id") THEN 'held'
                    ELSE 'stale'
                END
            WHEN ("t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT TRUE THEN 'collision'
            WHEN "t"."source"::text IS NULL THEN 'update'
            WHEN "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C") IS NOT DISTINCT FROM ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C") THEN 'unchanged'
            WHEN "t"."source"::text = 'D' THEN 'update'
            WHEN ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C") IS DISTINCT FROM ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C") THEN 'conflict'
            ELSE 'keep'
        END AS action
    FROM "pg_temp"."powerca_staging" AS s
    FULL JOIN (
        SELECT t.tableoid AS "t:relation", t.ctid AS "t:place", t.*
        FROM "public"."jobs" AS t
        WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE
    ) AS t ON "s"."org_id" OPERATOR(pg_catalog.=) "t"."org_id" AND "s"."job_id" OPERATOR(pg_catalog.=) "t"."job_id"
    WHERE (s.ctid IS NOT NULL AND "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C") IS NOT DISTINCT FROM ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")) IS NOT TRUE
), planned AS MATERIALIZED (
    SELECT CASE WHEN o.place IS NULL THEN p.action ELSE 'collision' END AS action, p.staged,
        coalesce(p.relation, o.relation) AS relation, coalesce(p.existing, o.place) AS existing
    FROM paired AS p
    LEFT JOIN LATERAL (
        SELECT t.tableoid AS relation, t.ctid AS place
        FROM "pg_temp"."powerca_staging" AS s JOIN "public"."jobs" AS t ON "s"."org_id" OPERATOR(pg_catalog.=) "t"."org_id" AND "s"."job_id" OPERATOR(pg_catalog.=) "t"."job_id"
        WHERE p.action = 'insert' AND s.ctid = p.staged AND TRUE
        LIMIT 1
    ) AS o ON TRUE
), recorded AS (
    INSERT INTO "pg_temp"."powerca_actions" (action, n, staged, relation, existing, before)
    SELECT p.action, row_number() OVER (PARTITION BY p.action), p.staged, p.relation, p.existing, (SELECT (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" FROM "public"."jobs" AS t WHERE t.ctid = "p"."existing" AND t.tableoid = "p"."relation")
    FROM planned AS p
    WHERE p.action IN ('insert', 'update', 'delete', 'held', 'collision', 'conflict')
)
SELECT action, count(*) FROM planned GROUP BY action
UNION ALL
SELECT 'unchanged',
    (SELECT count(*) FROM "public"."jobs" AS t WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE) - (SELECT count(existing) FROM paired);

-- lock what is to be deleted
SELECT FROM "public"."jobs" AS t JOIN "pg_temp"."powerca_actions" AS a ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'delete' FOR UPDATE OF t;

-- note what others wrote
UPDATE "pg_temp"."powerca_actions" AS a SET author = greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0)
FROM "public"."jobs" AS t
WHERE (a.action = 'delete' OR (a.action IN ('held', 'ambiguous') AND NOT ("t"."id" <= 100 AND NOT greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) = ANY ('{3,4}'::int2[]::bigint[]))))
    AND t.ctid = a.existing AND t.tableoid = a.relation
    AND CASE WHEN age(t.xmin) <= age('3'::xid8::xid) THEN
        greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) = ANY ('{3,4}'::int2[]::bigint[])
        OR (greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) <> ALL ('{9}'::int2[]::bigint[])
            AND NOT pg_visible_in_snapshot(greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0)::text::xid8, '5:9:7'::pg_snapshot))
    ELSE FALSE END;

-- keep what others wrote
WITH foreign_rows AS MATERIALIZED (
    SELECT a.n, ("t"."id" <= 100 AND NOT greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) = ANY ('{3,4}'::int2[]::bigint[])) AS changed, NOT EXISTS (
        SELECT FROM "pg_temp"."powerca_actions" AS w JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = w.staged
        WHERE w.action IN ('insert', 'update') AND "s"."org_id" OPERATOR(pg_catalog.=) "t"."org_id" AND "s"."job_id" OPERATOR(pg_catalog.=) "t"."job_id"
    ) AND TRUE AS free
    FROM "pg_temp"."powerca_actions" AS a JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action = 'delete' AND a.author IS NOT NULL
)
UPDATE "pg_temp"."powerca_actions" AS a SET action = 'foreign'
FROM foreign_rows AS f
WHERE a.action = 'delete' AND a.n = f.n AND f.free
    AND (NOT f.changed OR (SELECT count(*) FROM foreign_rows AS c WHERE c.changed) > 20);

-- count what others wrote and is deleted
SELECT count(*) FROM "pg_temp"."powerca_actions" AS a WHERE a.action = 'delete' AND a.author IS NOT NULL;

-- who wrote what stays
SELECT ARRAY(
    SELECT DISTINCT a.author FROM "pg_temp"."powerca_actions" AS a WHERE a.author IS NOT NULL AND a.action <> 'delete' ORDER BY 1 LIMIT 10001
);

-- what this run wrote
SELECT
    CASE (WITH RECURSIVE parts AS (
    SELECT 2::oid AS part
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN parts AS p ON p.part = i.inhparent
)
SELECT sum(
    pg_stat_get_xact_tuples_inserted(p.part)
    + pg_stat_get_xact_tuples_updated(p.part)
    + pg_stat_get_xact_tuples_deleted(p.part)
)::bigint
FROM parts AS p) WHEN 7 THEN ARRAY(SELECT DISTINCT ((SELECT pg_current_xact_id_if_assigned()::text::bigint) + mod(t.xmin::text::bigint - mod((SELECT pg_current_xact_id_if_assigned()::text::bigint), 4294967296) + 4294967296, 4294967296)) FROM "pg_temp"."powerca_actions" AS t WHERE t.action = 'written')
        ELSE ARRAY(SELECT DISTINCT ((SELECT pg_current_xact_id_if_assigned()::text::bigint) + mod(t.xmin::text::bigint - mod((SELECT pg_current_xact_id_if_assigned()::text::bigint), 4294967296) + 4294967296, 4294967296)) FROM "public"."jobs" AS t WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND CASE WHEN age(t.xmin) <= age(pg_current_xact_id_if_assigned()::xid) THEN pg_xact_status(((SELECT pg_current_xact_id_if_assigned()::text::bigint) + mod(t.xmin::text::bigint - mod((SELECT pg_current_xact_id_if_assigned()::text::bigint), 4294967296) + 4294967296, 4294967296))::text::xid8) = 'in progress' ELSE FALSE END) END,
    greatest(100, (SELECT max("t"."id") FROM "public"."jobs" AS t WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND CASE WHEN age(t.xmin) <= age(pg_current_xact_id_if_assigned()::xid) THEN pg_xact_status(((SELECT pg_current_xact_id_if_assigned()::text::bigint) + mod(t.xmin::text::bigint - mod((SELECT pg_current_xact_id_if_assigned()::text::bigint), 4294967296) + 4294967296, 4294967296))::text::xid8) = 'in progress' ELSE FALSE END AND "t"."id" > 100));

-- name what others wrote
SELECT jsonb_object('{id,org_id,job_id}'::text[], ARRAY["t"."id"::text, "t"."org_id"::text, "t"."job_id"::text]::text[])
FROM "pg_temp"."powerca_actions" AS a JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'foreign' ORDER BY a.relation, a.existing LIMIT 5;

-- keep what others depend on
UPDATE "pg_temp"."powerca_actions" AS a SET action = 'referenced'
FROM "public"."jobs" AS t
WHERE a.action = 'delete' AND t.ctid = a.existing AND t.tableoid = a.relation
    AND EXISTS (SELECT FROM "public"."ticks" AS c WHERE "c"."job" OPERATOR(pg_catalog.=) "t"."id");

-- confirm
UPDATE "pg_temp"."powerca_actions" AS a SET version = t.xmin
FROM "public"."jobs" AS t
WHERE a.action = 'update' AND a.n BETWEEN 1 AND 500 AND t.ctid = a.existing AND t.tableoid = a.relation AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = a.before AND ("t"."source"::text = 'D' OR "t"."source"::text IS NULL) AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}');

-- delete
DELETE FROM "public"."jobs" AS t USING "pg_temp"."powerca_actions" AS a
WHERE a.action = 'delete' AND a.n BETWEEN 1 AND 500 AND t.ctid = a.existing AND t.tableoid = a.relation AND t.xmin = a.version;

-- update
UPDATE "public"."jobs" AS t SET "name" = "s"."name", "boss" = "s"."boss", "client" = "s"."client", "secret" = "s"."secret", "source" = 'D', "updated_at" = pg_catalog.now()
FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'update' AND a.n BETWEEN 1 AND 500 AND t.ctid = a.existing AND t.tableoid = a.relation AND t.xmin = a.version;

-- update what was ticked meanwhile
WITH moved AS MATERIALIZED (
    SELECT a.n, a.staged, a.before, a.relation, currtid2(a.relation::regclass::text, a.existing) AS existing
    FROM "pg_temp"."powerca_actions" AS a
    WHERE a.action = 'update'
        AND NOT EXISTS (SELECT FROM "public"."jobs" AS t WHERE t.ctid = a.existing AND t.tableoid = a.relation)
), found AS (
    SELECT a.n, a.existing, t.xmin AS version
    FROM moved AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = a.before
    WHERE NOT ("t"."source"::text IS NOT DISTINCT FROM 'D' AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C") AND ("t"."source"::text = 'D' OR "t"."source"::text IS NULL) AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')
)
UPDATE "pg_temp"."powerca_actions" AS a SET existing = f.existing, version = f.version
FROM found AS f
WHERE a.action = 'update' AND a.n = f.n
RETURNING a.n;

-- insert
INSERT INTO "public"."jobs" ("org_id", "job_id", "name", "boss", "client", "secret", "source", "created_at", "updated_at", "origin")
SELECT "s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."client", "s"."secret", 'D', pg_catalog.now(), pg_catalog.now(), '100% desktop'
FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'insert' AND a.n BETWEEN 1 AND 500;

