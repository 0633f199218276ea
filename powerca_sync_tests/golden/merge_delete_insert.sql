-- plan contents
WITH sides AS (
    SELECT (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN hash_record_extended(ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) ELSE hash_record_extended(ROW((coalesce(octet_length("s"."secret")::bigint, 0))::text, "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) END) AS hash, s.ctid AS place, 1::smallint AS side FROM "pg_temp"."powerca_staging" AS s
    UNION ALL
    SELECT CASE WHEN "t"."source"::text = 'D' THEN (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN hash_record_extended(ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) ELSE hash_record_extended(ROW((coalesce(octet_length("t"."secret")::bigint, 0))::text, "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) END) END, t.ctid, -1::smallint
    FROM "public"."jobs" AS t
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE
    ORDER BY hash
)
INSERT INTO "pg_temp"."powerca_unsettled" (hash, staged, existing, place)
SELECT hash, (count(*) + sum(side)) / 2, (count(*) - sum(side)) / 2, min(place)
FROM sides GROUP BY hash HAVING sum(side) <> 0;

-- plan pairs
WITH staged AS MATERIALIZED (
    SELECT f.place, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" AS content, ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS key,
        row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" ORDER BY f.place) AS copy
    FROM (
        SELECT u.place FROM "pg_temp"."powerca_unsettled" AS u WHERE u.staged = 1 AND u.staged + u.existing = 1
        UNION ALL
        SELECT c.place FROM (SELECT (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN hash_record_extended(ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) ELSE hash_record_extended(ROW((coalesce(octet_length("s"."secret")::bigint, 0))::text, "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) END) AS hash, "s"."ctid" AS place FROM "pg_temp"."powerca_staging" AS s OFFSET 0) AS c JOIN "pg_temp"."powerca_unsettled" AS u USING (hash) WHERE u.staged > 0 AND NOT (u.staged + u.existing = 1)
    ) AS f
    JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = f.place
), found AS MATERIALIZED (
    -- The version that this statement sees: other sessions may have written the row since the last statement.
    SELECT 2::oid AS relation,
        CASE
            WHEN EXISTS (SELECT FROM "public"."jobs" AS t WHERE t.ctid = u.place) THEN u.place
            ELSE currtid2(2::oid::regclass::text, u.place)
        END AS place
    FROM "pg_temp"."powerca_unsettled" AS u WHERE u.existing = 1 AND u.staged + u.existing = 1
    UNION ALL
    SELECT c.relation, c.place FROM (SELECT (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN hash_record_extended(ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) ELSE hash_record_extended(ROW((coalesce(octet_length("t"."secret")::bigint, 0))::text, "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) END) AS hash, "t"."ctid" AS place, t.tableoid AS relation FROM "public"."jobs" AS t WHERE "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE OFFSET 0) AS c JOIN "pg_temp"."powerca_unsettled" AS u USING (hash)
    WHERE u.existing > 0 AND NOT (u.staged + u.existing = 1)
), existing AS MATERIALIZED (
    -- The desktop's own rows come first, so that phone rows pair only with what is left over.
    SELECT e.*, row_number() OVER (PARTITION BY e.content ORDER BY e.rank, e.is_foreign, e.ordinal) AS copy
    FROM (
        SELECT t.tableoid AS relation, t.ctid AS place, (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" AS content, ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS key, CASE "t"."source"::text WHEN 'D' THEN 0 ELSE CASE WHEN "t"."source"::text IS NULL THEN 1 ELSE 2 END END AS rank, CASE WHEN age(t.xmin) <= age('3'::xid8::xid) THEN
        greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) = ANY ('{3,4}'::int2[]::bigint[])
        OR (greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) <> ALL ('{9}'::int2[]::bigint[])
            AND NOT pg_visible_in_snapshot(greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0)::text::xid8, '5:9:7'::pg_snapshot))
    ELSE FALSE END AS is_foreign, ROW("t"."id", t.tableoid, t.ctid) AS ordinal FROM found AS f JOIN "public"."jobs" AS t ON t.ctid = f.place AND t.tableoid = f.relation
        UNION ALL
        SELECT c.relation, c.place, c.content, c.key, c.rank, c.is_foreign, c.ordinal
        FROM (
            SELECT c.*, row_number() OVER (PARTITION BY c.rank, c.content ORDER BY c.phone DESC, c.place) AS copy
            FROM (SELECT (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN hash_record_extended(ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) ELSE hash_record_extended(ROW((coalesce(octet_length("t"."secret")::bigint, 0))::text, "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client"), (SELECT (extract(epoch FROM now()) * 1000000)::bigint)) END) AS hash, t.tableoid AS relation, t.ctid AS place, (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" AS content, ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS key, CASE "t"."source"::text WHEN 'D' THEN 0 ELSE CASE WHEN "t"."source"::text IS NULL THEN 1 ELSE 2 END END AS rank, CASE WHEN age(t.xmin) <= age('3'::xid8::xid) THEN
        greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) = ANY ('{3,4}'::int2[]::bigint[])
        OR (greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0) <> ALL ('{9}'::int2[]::bigint[])
            AND NOT pg_visible_in_snapshot(greatest((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - mod((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) - t.xmin::text::bigint + 4294967296, 4294967296), 0)::text::xid8, '5:9:7'::pg_snapshot))
    ELSE FALSE END AS is_foreign, ROW("t"."id", t.tableoid, t.ctid) AS ordinal, "t"."source"::text IS NOT DISTINCT FROM 'M' AS phone FROM "public"."jobs" AS t WHERE "t"."source"::text IS DISTINCT FROM 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE OFFSET 0) AS c
            LEFT JOIN (SELECT DISTINCT u.hash AS wanted FROM "pg_temp"."powerca_unsettled" AS u WHERE u.staged > 0) AS u
                ON u.wanted = c.hash
            WHERE c.rank = 1 OR u.wanted IS NOT NULL
        ) AS c
        -- A phone row whose copy was skipped as an echo pairs with no other row.
        LEFT JOIN (SELECT e.content, count(*) AS copies FROM "pg_temp"."powerca_echoed" AS e GROUP BY e.content) AS e USING (content)
        WHERE c.rank = 1 OR c.copy > coalesce(e.copies, 0)
    ) AS e
), same AS (
    SELECT s.place AS staged, t.relation, t.place AS existing, t.rank, t.content
    FROM staged AS s JOIN existing AS t USING (content, copy)
), loose_staged AS (
    SELECT s.*, row_number() OVER (PARTITION BY s.key ORDER BY s.content, s.place) AS n,
        count(*) OVER (PARTITION BY s.key) AS of_key
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM existing AS t WHERE (t.content, t.copy) = (s.content, s.copy))
), loose_existing AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.key ORDER BY t.rank, t.is_foreign, t.content, t.ordinal) AS n,
        count(*) OVER (PARTITION BY t.key) AS of_key
    FROM existing AS t
    WHERE t.rank < 2 AND NOT EXISTS (SELECT FROM staged AS s WHERE (t.content, t.copy) = (s.content, s.copy))
), paired AS (
    SELECT CASE rank WHEN 0 THEN 'unchanged' WHEN 1 THEN 'update' ELSE 'keep' END AS action,
        staged, relation, existing, content AS before
    FROM same
    UNION ALL
    SELECT
        CASE
            WHEN p.existing IS NULL THEN 'insert'
            -- One of the existing rows is the last good version of a quarantined row; which one is unknown.
            WHEN p.existing_of_key > p.staged_of_key AND p.is_held THEN 'ambiguous'
            WHEN p.staged IS NOT NULL THEN 'update'
            WHEN p.rank > 0 THEN 'other'
            WHEN p.is_held THEN 'held'
            ELSE 'delete'
        END,
        p.staged, p.relation, p.existing, p.before
    FROM (
        SELECT s.place AS staged, t.relation, t.place AS existing, t.rank, t.content AS before,
            s.of_key AS staged_of_key, t.of_key AS existing_of_key,
            EXISTS (SELECT FROM "pg_temp"."powerca_held" AS h WHERE ROW("h"."org_id", "h"."job_id")::text COLLATE "C" = t.key) AS is_held
        FROM loose_staged AS s FULL JOIN loose_existing AS t ON s.key = t.key AND s.n = t.n
    ) AS p
), recorded AS (
    INSERT INTO "pg_temp"."powerca_actions" (action, n, staged, relation, existing, before)
    SELECT action, row_number() OVER (PARTITION BY action ORDER BY staged), staged, relation, existing, before
    FROM paired
    WHERE action IN ('insert', 'update', 'delete', 'held', 'ambiguous')
)
SELECT action, count(*) FROM paired GROUP BY action
UNION ALL
SELECT 'overtaken', 1
WHERE (SELECT count(*) FROM existing WHERE rank = 0)
    <> (SELECT coalesce(sum(u.existing), 0) FROM "pg_temp"."powerca_unsettled" AS u);

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
WHERE a.action = 'update' AND a.n BETWEEN 1 AND 500 AND t.ctid = a.existing AND t.tableoid = a.relation AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = a.before AND ("t"."source"::text = 'D' OR "t"."source"::text IS NULL) AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}');

-- delete
DELETE FROM "public"."jobs" AS t USING "pg_temp"."powerca_actions" AS a
WHERE a.action = 'delete' AND a.n BETWEEN 1 AND 500 AND t.ctid = a.existing AND t.tableoid = a.relation AND t.xmin = a.version;

-- update
UPDATE "public"."jobs" AS t SET "org_id" = "s"."org_id", "job_id" = "s"."job_id", "name" = "s"."name", "boss" = "s"."boss", "client" = "s"."client", "secret" = "s"."secret", "source" = 'D', "updated_at" = pg_catalog.now()
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
    FROM moved AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = a.before
    WHERE NOT ("t"."source"::text IS NOT DISTINCT FROM 'D' AND (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client")::text END) COLLATE "C" = (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C") AND ("t"."source"::text = 'D' OR "t"."source"::text IS NULL) AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')
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

