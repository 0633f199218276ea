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

-- skip echoes
WITH entry AS MATERIALIZED (
    SELECT (CASE WHEN (coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss")::text END) COLLATE "C" AS content, ROW("l"."org_id", "l"."job_id")::text COLLATE "C" AS key, "l"."org_id" IS NOT NULL AND "l"."job_id" IS NOT NULL AS whole,
        row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss")::text END) COLLATE "C" ORDER BY l."ledger:id") AS copy
    FROM "pg_temp"."powerca_ledger" AS l
), staged AS MATERIALIZED (
    SELECT s.place, s.content, row_number() OVER (PARTITION BY s.content ORDER BY s.from_phone DESC, s.place) AS copy
    FROM (SELECT s.ctid AS place, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS content, "s"."from:phone" AS from_phone FROM "pg_temp"."powerca_staging" AS s) AS s
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.content = s.content)
), missing AS (
    INSERT INTO "pg_temp"."powerca_missing" (key)
    SELECT e.key FROM entry AS e
    WHERE e.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (e.content, e.copy))
    RETURNING 1
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING staged AS c JOIN entry AS e USING (content, copy)
    WHERE s.ctid = c.place
    RETURNING (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" AS content
), echoed AS (
    INSERT INTO "pg_temp"."powerca_echoed" (content) SELECT r.content FROM removed AS r RETURNING 1
)
SELECT (SELECT count(*) FROM echoed), (SELECT count(*) FROM missing);

-- skip the office's edits of phone rows
WITH missing AS MATERIALIZED (
    SELECT m.key, count(*) AS rows FROM "pg_temp"."powerca_missing" AS m GROUP BY m.key
), staged AS MATERIALIZED (
    SELECT s.*, row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM (SELECT s.ctid AS place, ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS key, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS own, "s"."from:phone" AS from_phone FROM "pg_temp"."powerca_staging" AS s) AS s
    WHERE EXISTS (SELECT FROM missing AS m WHERE m.key = s.key)
), existing AS MATERIALIZED (
    SELECT t.*, row_number() OVER (PARTITION BY t.own) AS copy
    FROM (
        SELECT ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS key, (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss")::text END) COLLATE "C" AS own
        FROM "public"."jobs" AS t
        WHERE "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND TRUE
    ) AS t
    WHERE EXISTS (SELECT FROM missing AS m WHERE m.key = t.key)
), changed AS (
    SELECT s.place, s.key, row_number() OVER (PARTITION BY s.key ORDER BY s.from_phone, s.own, s.place) AS ordinal
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM existing AS t WHERE (t.own, t.copy) = (s.own, s.copy))
), own_changes AS (
    SELECT t.key, count(*) AS rows
    FROM existing AS t
    WHERE NOT EXISTS (SELECT FROM staged AS s WHERE (t.own, t.copy) = (s.own, s.copy))
    GROUP BY t.key
), edited AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s
    USING changed AS c JOIN missing AS m USING (key) LEFT JOIN own_changes AS o USING (key)
    WHERE s.ctid = c.place AND c.ordinal - coalesce(o.rows, 0) BETWEEN 1 AND m.rows
    RETURNING c.key
)
SELECT count(*), (SELECT array_agg(few.key) FROM (SELECT e.key FROM edited AS e ORDER BY e.key LIMIT 20) AS few)
FROM edited;

-- skip phone rows that the ledger lacks
WITH staged AS MATERIALIZED (
    SELECT s.ctid AS place, ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS key, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS own FROM "pg_temp"."powerca_staging" AS s WHERE "s"."from:phone"
), existing AS MATERIALIZED (
    SELECT ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS key, (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss")::text END) COLLATE "C" AS own, "t"."source"::text = 'M'
            AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_ledger" AS l WHERE l."ledger:mobile_key" = "t"."id"::text) AS unknown
    FROM "public"."jobs" AS t
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND EXISTS (SELECT FROM staged)
), unknown AS MATERIALIZED (
    SELECT t.key, t.own FROM existing AS t WHERE t.unknown
), candidate AS (
    SELECT s.place, s.key, u.own IS NOT NULL AS same,
        row_number() OVER (PARTITION BY s.key ORDER BY u.own IS NULL, s.place) AS ordinal
    FROM staged AS s
    LEFT JOIN (SELECT DISTINCT u.own FROM unknown AS u) AS u USING (own)
    LEFT JOIN (SELECT DISTINCT t.own FROM existing AS t WHERE t.unknown IS NOT TRUE) AS t ON t.own = s.own
    WHERE u.own IS NOT NULL OR t.own IS NULL
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s
    USING candidate AS c JOIN (SELECT u.key, count(*) AS rows FROM unknown AS u GROUP BY u.key) AS u USING (key)
    WHERE s.ctid = c.place AND c.ordinal <= u.rows
    RETURNING c.key, c.same, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."name" COLLATE "C", "s"."boss", "s"."client")::text END) COLLATE "C" AS content
), echoed AS (
    INSERT INTO "pg_temp"."powerca_echoed" (content) SELECT r.content FROM removed AS r WHERE r.same
)
SELECT count(*) FILTER (WHERE r.same), count(*) FILTER (WHERE NOT r.same),
    (SELECT array_agg(few.key) FROM (SELECT r.key FROM removed AS r WHERE NOT r.same ORDER BY r.key LIMIT 20) AS few)
FROM removed AS r;

-- end entries of rows handed over
WITH entry AS MATERIALIZED (
    SELECT l.ctid AS place, l."ledger:id" AS number, ROW("l"."org_id", "l"."job_id")::text COLLATE "C" AS same, (CASE WHEN (coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id", "l"."name" COLLATE "C", "l"."boss")::text END) COLLATE "C" AS content FROM "pg_temp"."powerca_ledger" AS l
), staged AS MATERIALIZED (
    SELECT s.* FROM (SELECT ROW("s"."org_id", "s"."job_id")::text COLLATE "C" AS same, (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss")::text END) COLLATE "C" AS content FROM "pg_temp"."powerca_staging" AS s) AS s
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.same = s.same)
), existing AS (
    SELECT t.same, count(*) FILTER (WHERE t.owner = 'M') AS phones,
        count(*) FILTER (WHERE t.owner = 'D' OR t.owner IS NULL) AS others
    FROM (SELECT ROW("t"."org_id", "t"."job_id")::text COLLATE "C" AS same, "t"."source"::text AS owner FROM "public"."jobs" AS t WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) AS t
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.same = t.same)
    GROUP BY t.same
), counted AS (
    SELECT e.place, e.same, count(*) OVER (PARTITION BY e.same) AS entries,
        -- Entries that the desktop still has a row of come first.
        row_number() OVER (PARTITION BY e.same ORDER BY c.content IS NULL, e.number DESC) AS n
    FROM entry AS e LEFT JOIN (SELECT DISTINCT s.content FROM staged AS s) AS c USING (content)
)
DELETE FROM "pg_temp"."powerca_ledger" AS l
USING counted AS e
    JOIN existing AS t USING (same)
    LEFT JOIN (SELECT s.same, count(*) AS rows FROM staged AS s GROUP BY s.same) AS s USING (same)
WHERE l.ctid = e.place
    AND e.n <= least(e.entries - t.phones, t.others - greatest(coalesce(s.rows, 0) - e.entries, 0));

-- leave alone what the ledger knows
NOT EXISTS (
    SELECT FROM "pg_temp"."powerca_ledger" AS l
    WHERE l."ledger:mobile_key" = "t"."id"::text AND coalesce(l."ledger:born" = ("t"."created_at" AT TIME ZONE 'UTC')::text, TRUE) AND "t"."source"::text IS DISTINCT FROM 'M'
);

-- look up
WITH answer AS (
    SELECT "p"."org_id" AS match,
        coalesce(min("p"."client") FILTER (WHERE "p"."source"::text = 'D'), min("p"."client")) AS value, min("p"."client") IS DISTINCT FROM max("p"."client") AS ambiguous
    FROM "public"."orgs" AS p
    WHERE "p"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND "p"."client" IS NOT NULL AND "p"."org_id" IS NOT NULL
    GROUP BY "p"."org_id"
), filled AS (
    UPDATE "pg_temp"."powerca_staging" AS s SET "client" = a.value FROM answer AS a WHERE "s"."org_id" OPERATOR(pg_catalog.=) "a"."match" RETURNING a.ambiguous
)
SELECT count(*), count(*) FILTER (WHERE ambiguous) FROM filled;

-- set aside what does not fit
WITH faulty AS MATERIALIZED (
SELECT judged.place, CASE WHEN judged.rule = 6 AND judged.image ->> 'boss' IN (SELECT coalesce(q.image ->> 'job_id', q.key ->> 'job_id') FROM (SELECT key, image FROM "pg_temp"."powerca_rejected") AS q) THEN 'quarantined_parent' ELSE rule.reason END AS reason, rule.column_name,
    (
        SELECT string_agg(judged.image ->> c.name, ', ' ORDER BY c.place)
        FROM unnest(string_to_array(rule.column_name, ', ')) WITH ORDINALITY AS c (name, place)
    ) AS value,
    rule.parent, NULL AS message
FROM (
    SELECT s.ctid AS place, jsonb_object('{org_id,job_id,name,boss,client,secret}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text, CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 16777216 THEN left("s"."secret"::text, 10000) ELSE (coalesce(octet_length("s"."secret")::bigint, 0)) || ' bytes' END]::text[]) AS image, CASE WHEN "s"."org_id" IS NULL THEN 0 WHEN "s"."job_id" IS NULL THEN 1 WHEN ("s"."name"::text = "s"."raw:2") IS FALSE THEN 2 WHEN "s"."name" IS NULL THEN 3 WHEN (name <> ''::text) IS FALSE THEN 4 WHEN "s"."org_id" IS NOT NULL AND "ref:0"."ref:0:0" IS NULL THEN 5 WHEN "s"."boss" IS NOT NULL AND "ref:1"."ref:1:0" IS NULL THEN 6 WHEN ("s"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT TRUE THEN 7 END AS rule
    FROM "pg_temp"."powerca_staging" AS s
    LEFT JOIN (SELECT DISTINCT r.value AS "ref:0:0" FROM (SELECT "p"."org_id" AS value FROM "public"."orgs" AS p WHERE "p"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) AS r) AS "ref:0" ON "ref:0"."ref:0:0" OPERATOR(pg_catalog.=) "s"."org_id"
    LEFT JOIN (SELECT DISTINCT r.value AS "ref:1:0" FROM (SELECT "p"."job_id" AS value FROM "public"."jobs" AS p WHERE "p"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') UNION ALL SELECT "p"."job_id" FROM "pg_temp"."powerca_staging" AS p) AS r) AS "ref:1" ON "ref:1"."ref:1:0" OPERATOR(pg_catalog.=) "s"."boss"
    WHERE ("s"."org_id" IS NULL) OR ("s"."job_id" IS NULL) OR (("s"."name"::text = "s"."raw:2") IS FALSE) OR ("s"."name" IS NULL) OR ((name <> ''::text) IS FALSE) OR ("s"."org_id" IS NOT NULL AND "ref:0"."ref:0:0" IS NULL) OR ("s"."boss" IS NOT NULL AND "ref:1"."ref:1:0" IS NULL) OR (("s"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT TRUE)
) AS judged
JOIN (VALUES (0, 'null_key', 'org_id'::text, NULL::text), (1, 'null_key', 'job_id'::text, NULL::text), (2, 'altered', 'name'::text, NULL::text), (3, 'not_null', 'name'::text, NULL::text), (4, 'check', 'name'::text, 'jobs_name_check'::text), (5, 'reference', 'org_id'::text, 'orgs'::text), (6, 'reference', 'boss'::text, 'jobs'::text), (7, 'office', 'org_id'::text, NULL::text)) AS rule (n, reason, column_name, parent) ON rule.n = judged.rule
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, CASE WHEN string_to_array(f.column_name, ', ') && '{secret}'::text[] THEN '***' ELSE f.value END AS "f:value", f.parent, replace(f.message, coalesce(nullif("s"."secret"::text, ''), '***'), '***') AS "f:message",
        jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) AS "f:key", jsonb_object('{org_id,job_id,name,boss,client}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text]::text[]) AS "f:image", "s"."org_id" AS "f:key:0", "s"."job_id" AS "f:key:1"
), retained AS (INSERT INTO "pg_temp"."powerca_held" ("org_id", "job_id") SELECT "f:key:0", "f:key:1" FROM removed AS r)
INSERT INTO "pg_temp"."powerca_rejected" (reason, column_name, value, parent, message, key, image)
SELECT r.reason, r.column_name, r."f:value", r.parent, r."f:message", r."f:key", r."f:image"
FROM removed AS r;

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
WHERE (counted.copies > 1 AND ("s"."org_id", "s"."job_id") IS NOT NULL) OR EXISTS (SELECT FROM "pg_temp"."powerca_held" AS h WHERE "h"."org_id" OPERATOR(pg_catalog.=) "s"."org_id" AND "h"."job_id" OPERATOR(pg_catalog.=) "s"."job_id")
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, CASE WHEN string_to_array(f.column_name, ', ') && '{secret}'::text[] THEN '***' ELSE f.value END AS "f:value", f.parent, replace(f.message, coalesce(nullif("s"."secret"::text, ''), '***'), '***') AS "f:message",
        jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) AS "f:key", jsonb_object('{org_id,job_id,name,boss,client}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text]::text[]) AS "f:image", "s"."org_id" AS "f:key:0", "s"."job_id" AS "f:key:1"
), retained AS (INSERT INTO "pg_temp"."powerca_held" ("org_id", "job_id") SELECT "f:key:0", "f:key:1" FROM removed AS r)
INSERT INTO "pg_temp"."powerca_rejected" (reason, column_name, value, parent, message, key, image)
SELECT r.reason, r.column_name, r."f:value", r.parent, r."f:message", r."f:key", r."f:image"
FROM removed AS r;

