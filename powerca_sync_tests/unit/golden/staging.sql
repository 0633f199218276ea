-- create
CREATE TEMP TABLE "pg_temp"."powerca_staging" ON COMMIT DROP AS
SELECT "t"."org_id", "t"."job_id", "t"."name", "t"."boss", "t"."client", "t"."secret", NULL::text AS "raw:1", NULL::text AS "raw:2", NULL::boolean AS "from:phone" FROM "public"."jobs" AS t WITH NO DATA;
CREATE TEMP TABLE "pg_temp"."powerca_held" ON COMMIT DROP AS
SELECT "t"."org_id", "t"."job_id" FROM "public"."jobs" AS t WITH NO DATA;
CREATE TEMP TABLE "pg_temp"."powerca_rejected" (
    reason text NOT NULL, column_name text, value text, parent text, message text, key jsonb, image jsonb
) ON COMMIT DROP;
CREATE TEMP TABLE "pg_temp"."powerca_echoed" (content text COLLATE "C") ON COMMIT DROP;

-- land
COPY "pg_temp"."powerca_staging" ("org_id", "job_id", "name", "boss", "secret", "raw:1", "raw:2", "from:phone") FROM STDIN;

-- hold
COPY "pg_temp"."powerca_held" ("org_id", "job_id") FROM STDIN;

-- set aside what came from phones
WITH pulled AS MATERIALIZED (
    SELECT l."ledger:id" AS number, l."ledger:mobile_key" AS mobile_key, l."ledger:born" AS born, (CASE WHEN (coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss")::text END) COLLATE "C" AS content,
        ROW("l"."org_id", "l"."job_id")::text COLLATE "C" AS same, ROW("l"."org_id", "l"."job_id")::text COLLATE "C" AS key, "l"."org_id" IS NOT NULL AND "l"."job_id" IS NOT NULL AS whole
    FROM "pg_temp"."powerca_ledger" AS l
), staged AS MATERIALIZED (
    -- Joins to what is distinct: an IN within an OR is searched row by row where the planner expects many.
    SELECT s.*, row_number() OVER (PARTITION BY s.content ORDER BY s.from_phone DESC, s.place) AS copy
    FROM (
        SELECT s.ctid AS place, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS content, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS own, ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS same, ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS key,
            "s"."from:phone" AS from_phone
        FROM "pg_temp"."powerca_staging" AS s
    ) AS s
    LEFT JOIN (SELECT DISTINCT p.content AS known FROM pulled AS p) AS c ON c.known = s.content
    LEFT JOIN (SELECT DISTINCT p.key AS known FROM pulled AS p) AS k ON k.known = s.key
    WHERE c.known IS NOT NULL OR k.known IS NOT NULL OR s.from_phone
), entry AS MATERIALIZED (
    SELECT p.* FROM pulled AS p
    UNION ALL
    -- Beyond the images, a row's own word has the weight of one.
    SELECT NULL, NULL, NULL, s.content, s.same, s.key, FALSE
    FROM staged AS s LEFT JOIN (SELECT p.content, count(*) AS rows FROM pulled AS p GROUP BY 1) AS p USING (content)
    WHERE s.from_phone AND s.copy > coalesce(p.rows, 0)
), spare AS (
    SELECT same, least(e.images - t.phones, t.others - greatest(coalesce(s.rows, 0) - e.images, 0)) AS rows
    FROM (SELECT e.same, count(*) AS images FROM entry AS e GROUP BY e.same) AS e
    JOIN (
        SELECT ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS same, count(*) FILTER (WHERE "t"."source"::text = 'M' AND k.mobile_key IS NOT NULL) AS phones,
            count(*) FILTER (WHERE "t"."source"::text = 'D' OR "t"."source"::text IS NULL) AS others
        FROM "public"."jobs" AS t
        LEFT JOIN (SELECT DISTINCT p.mobile_key FROM pulled AS p) AS k ON k.mobile_key = "t"."id"::text
        WHERE EXISTS (SELECT FROM entry) AND "t"."org_id" = ANY ('{"1","2"}')
            AND EXISTS (SELECT FROM entry AS e WHERE e.same = ROW("t"."org_id", "t"."job_id")::text COLLATE "C")
        GROUP BY 1
    ) AS t USING (same)
    LEFT JOIN (SELECT s.same, count(*) AS rows FROM staged AS s GROUP BY s.same) AS s USING (same)
), turned AS (
    SELECT DISTINCT ON (p.mobile_key) p.number, p.same <> ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS changed
    FROM "public"."jobs" AS t
    JOIN pulled AS p ON p.mobile_key = "t"."id"::text
    -- Made at another time, it is another row.
    WHERE "t"."source"::text = 'D' AND "t"."org_id" = ANY ('{"1","2"}') AND coalesce(p.born = ("t"."created_at" AT TIME ZONE 'UTC')::text, TRUE)
    ORDER BY p.mobile_key, p.number DESC
), image AS MATERIALIZED (
    SELECT e.content, e.key, e.whole, e.handed,
        row_number() OVER (PARTITION BY e.content ORDER BY e.handed, e.number) AS copy
    FROM (
        SELECT e.*, r.number IS NOT NULL OR coalesce(p.rows, 0) >= row_number() OVER (
            PARTITION BY e.same
            ORDER BY r.changed IS TRUE, h.content IS NULL, r.number IS NULL,
                e.number DESC NULLS LAST
        ) AS handed
        FROM entry AS e
        LEFT JOIN spare AS p USING (same)
        LEFT JOIN turned AS r ON r.number = e.number
        LEFT JOIN (SELECT DISTINCT s.content FROM staged AS s) AS h USING (content)
    ) AS e
    WHERE e.handed OR e.number IS NOT NULL
), echo AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy) WHERE NOT i.handed
), gone AS (
    SELECT i.key, i.handed, row_number() OVER (PARTITION BY i.key, i.handed) AS ordinal
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (i.content, i.copy))
), left_over AS (
    SELECT s.place, s.key, s.own, s.from_phone,
        row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM echo AS e WHERE e.place = s.place)
), owned AS (
    SELECT ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS key, (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss")::text END) COLLATE "C" AS own, row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss")::text END) COLLATE "C") AS copy
    FROM "public"."jobs" AS t
    WHERE "t"."source"::text = 'D' AND "t"."org_id" = ANY ('{"1","2"}') AND EXISTS (SELECT FROM gone AS g WHERE g.key = ROW("t"."org_id", "t"."job_id")::text COLLATE "C")
), changed AS (
    SELECT l.place, l.key, l.from_phone, row_number() OVER (PARTITION BY l.key ORDER BY l.own, l.place) AS ordinal
    FROM left_over AS l
    WHERE NOT EXISTS (SELECT FROM owned AS o WHERE (o.own, o.copy) = (l.own, l.copy))
), own_changes AS (
    SELECT o.key, count(*) AS rows
    FROM owned AS o
    WHERE NOT EXISTS (SELECT FROM left_over AS l WHERE (o.own, o.copy) = (l.own, l.copy))
    GROUP BY o.key
), edited AS (
    SELECT c.place, c.key
    FROM changed AS c
    LEFT JOIN own_changes AS o USING (key)
    JOIN gone AS g ON NOT g.handed AND g.key = c.key AND g.ordinal = c.ordinal - coalesce(o.rows, 0)
), given_back AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy) WHERE i.handed
    UNION ALL
    SELECT c.place
    FROM (
        SELECT c.place, c.key, row_number() OVER (PARTITION BY c.key ORDER BY c.ordinal) AS ordinal
        FROM changed AS c
        WHERE c.from_phone AND NOT EXISTS (SELECT FROM edited AS e WHERE e.place = c.place)
            AND NOT EXISTS (
                SELECT FROM staged AS s JOIN image AS i USING (content, copy) WHERE i.handed AND s.place = c.place
            )
    ) AS c
    JOIN gone AS g ON g.handed AND (g.key, g.ordinal) = (c.key, c.ordinal)
), taken AS (
    SELECT e.place FROM echo AS e
    UNION
    SELECT e.place FROM edited AS e
    UNION
    SELECT s.place FROM staged AS s
    WHERE s.from_phone AND NOT EXISTS (SELECT FROM given_back AS b WHERE b.place = s.place)
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING taken AS t
    WHERE s.ctid = t.place
    RETURNING s.ctid AS place, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" AS content
), echoed AS (
    INSERT INTO "pg_temp"."powerca_echoed" (content)
    SELECT r.content FROM removed AS r WHERE NOT EXISTS (SELECT FROM edited AS e WHERE e.place = r.place)
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM echoed),
    (SELECT count(*) FROM edited),
    (SELECT array_agg(few.key) FROM (SELECT e.key FROM edited AS e ORDER BY e.key LIMIT 20) AS few);

-- look up
WITH answer AS (
    SELECT "p"."org_id" AS match,
        coalesce(min("p"."client") FILTER (WHERE "p"."source"::text = 'D'), min("p"."client")) AS value, min("p"."client") IS DISTINCT FROM max("p"."client") AS ambiguous
    FROM "public"."orgs" AS p
    WHERE "p"."org_id" = ANY ('{"1","2"}') AND "p"."client" IS NOT NULL AND "p"."org_id" IS NOT NULL
    GROUP BY "p"."org_id"
), filled AS (
    UPDATE "pg_temp"."powerca_staging" AS s SET "client" = a.value FROM answer AS a WHERE "s"."org_id" = "a"."match" RETURNING a.ambiguous
)
SELECT count(*), count(*) FILTER (WHERE ambiguous) FROM filled;

-- set aside what does not fit
WITH faulty AS MATERIALIZED (
SELECT judged.place, rule.reason, rule.column_name,
    (
        SELECT string_agg(judged.image ->> c.name, ', ' ORDER BY c.place)
        FROM unnest(string_to_array(rule.column_name, ', ')) WITH ORDINALITY AS c (name, place)
    ) AS value,
    rule.parent, NULL AS message
FROM (
    SELECT s.ctid AS place, jsonb_object('{org_id,job_id,name,boss,client,secret}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text, CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 16777216 THEN left("s"."secret"::text, 10000) ELSE (coalesce(octet_length("s"."secret")::bigint, 0)) || ' bytes' END]::text[]) AS image, CASE WHEN "s"."org_id" IS NULL THEN 0 WHEN "s"."job_id" IS NULL THEN 1 WHEN ("s"."name"::text = "s"."raw:2") IS FALSE THEN 2 WHEN "s"."name" IS NULL THEN 3 WHEN (name <> ''::text) IS FALSE THEN 4 WHEN "s"."org_id" IS NOT NULL AND "ref:0"."ref:0:0" IS NULL THEN 5 WHEN "s"."boss" IS NOT NULL AND "ref:1"."ref:1:0" IS NULL THEN 6 WHEN ("s"."org_id" = ANY ('{"1","2"}')) IS NOT TRUE THEN 7 END AS rule
    FROM "pg_temp"."powerca_staging" AS s
    LEFT JOIN (SELECT DISTINCT r.value AS "ref:0:0" FROM (SELECT "p"."org_id" AS value FROM "public"."orgs" AS p WHERE "p"."org_id" = ANY ('{"1","2"}')) AS r) AS "ref:0" ON "ref:0"."ref:0:0" = "s"."org_id"
    LEFT JOIN (SELECT DISTINCT r.value AS "ref:1:0" FROM (SELECT "p"."job_id" AS value FROM "public"."jobs" AS p WHERE "p"."org_id" = ANY ('{"1","2"}') UNION ALL SELECT "p"."job_id" FROM "pg_temp"."powerca_staging" AS p) AS r) AS "ref:1" ON "ref:1"."ref:1:0" = "s"."boss"
    WHERE ("s"."org_id" IS NULL) OR ("s"."job_id" IS NULL) OR (("s"."name"::text = "s"."raw:2") IS FALSE) OR ("s"."name" IS NULL) OR ((name <> ''::text) IS FALSE) OR ("s"."org_id" IS NOT NULL AND "ref:0"."ref:0:0" IS NULL) OR ("s"."boss" IS NOT NULL AND "ref:1"."ref:1:0" IS NULL) OR (("s"."org_id" = ANY ('{"1","2"}')) IS NOT TRUE)
) AS judged
JOIN (VALUES (0, 'null_key', 'org_id'::text, NULL::text), (1, 'null_key', 'job_id'::text, NULL::text), (2, 'altered', 'name'::text, NULL::text), (3, 'not_null', 'name'::text, NULL::text), (4, 'check', 'name'::text, 'jobs_name_check'::text), (5, 'reference', 'org_id'::text, 'orgs'::text), (6, 'reference', 'boss'::text, 'jobs'::text), (7, 'office', 'org_id'::text, NULL::text)) AS rule (n, reason, column_name, parent) ON rule.n = judged.rule
), gone AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, CASE WHEN string_to_array(f.column_name, ', ') && '{secret}'::text[] THEN '***' ELSE f.value END AS "f:value", f.parent, replace(f.message, coalesce(nullif("s"."secret"::text, ''), '***'), '***') AS "f:message",
        jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) AS "f:key", jsonb_object('{org_id,job_id,name,boss,client}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text]::text[]) AS "f:image", "s"."org_id" AS "f:key:0", "s"."job_id" AS "f:key:1"
), hold AS (INSERT INTO "pg_temp"."powerca_held" ("org_id", "job_id") SELECT "f:key:0", "f:key:1" FROM gone AS g)
INSERT INTO "pg_temp"."powerca_rejected" (reason, column_name, value, parent, message, key, image)
SELECT g.reason, g.column_name, g."f:value", g.parent, g."f:message", g."f:key", g."f:image" FROM gone AS g;

-- collapse copies
WITH numbered AS (
    SELECT s.ctid AS place, row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" ORDER BY s.ctid) AS n
    FROM "pg_temp"."powerca_staging" AS s
    WHERE ("s"."org_id", "s"."job_id") IS NOT NULL
), dropped AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING numbered AS c WHERE s.ctid = c.place AND c.n > 1 RETURNING 1
)
SELECT count(*) FROM dropped;

-- set aside other duplicates
WITH faulty AS MATERIALIZED (
SELECT s.ctid AS place, 'duplicate_key' AS reason, 'org_id, job_id' AS column_name, concat_ws(', ', "s"."org_id", "s"."job_id") AS value,
    NULL AS parent, NULL AS message
FROM "pg_temp"."powerca_staging" AS s
JOIN (
    SELECT s.ctid AS place, count(*) OVER (PARTITION BY "s"."org_id", "s"."job_id") AS copies FROM "pg_temp"."powerca_staging" AS s
) AS counted ON counted.place = s.ctid
WHERE (counted.copies > 1 AND ("s"."org_id", "s"."job_id") IS NOT NULL) OR EXISTS (SELECT FROM "pg_temp"."powerca_held" AS h WHERE "h"."org_id" = "s"."org_id" AND "h"."job_id" = "s"."job_id")
), gone AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, CASE WHEN string_to_array(f.column_name, ', ') && '{secret}'::text[] THEN '***' ELSE f.value END AS "f:value", f.parent, replace(f.message, coalesce(nullif("s"."secret"::text, ''), '***'), '***') AS "f:message",
        jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) AS "f:key", jsonb_object('{org_id,job_id,name,boss,client}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text]::text[]) AS "f:image", "s"."org_id" AS "f:key:0", "s"."job_id" AS "f:key:1"
), hold AS (INSERT INTO "pg_temp"."powerca_held" ("org_id", "job_id") SELECT "f:key:0", "f:key:1" FROM gone AS g)
INSERT INTO "pg_temp"."powerca_rejected" (reason, column_name, value, parent, message, key, image)
SELECT g.reason, g.column_name, g."f:value", g.parent, g."f:message", g."f:key", g."f:image" FROM gone AS g;

