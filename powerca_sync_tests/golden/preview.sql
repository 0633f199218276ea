-- count the changes
SELECT count(*) FILTER (WHERE ROW("t"."name" COLLATE "C")::text COLLATE "C" IS DISTINCT FROM ROW("s"."name" COLLATE "C")::text COLLATE "C"),
    count(*) FILTER (WHERE ROW("t"."boss")::text COLLATE "C" IS DISTINCT FROM ROW("s"."boss")::text COLLATE "C"),
    count(*) FILTER (WHERE ROW("t"."client")::text COLLATE "C" IS DISTINCT FROM ROW("s"."client")::text COLLATE "C"),
    count(*) FILTER (WHERE (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)))::text END) COLLATE "C" IS DISTINCT FROM (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)))::text END) COLLATE "C"),
    count(*) FILTER (WHERE CASE WHEN (coalesce(octet_length("t"."source")::bigint, 0)) <= 16777216 THEN left("t"."source"::text, 10000) ELSE (coalesce(octet_length("t"."source")::bigint, 0)) || ' bytes' END IS DISTINCT FROM 'D'::text)
FROM "pg_temp"."powerca_actions" AS a
JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'update';

-- count what is taken over
SELECT count(*)
FROM "pg_temp"."powerca_actions" AS a JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'update' AND "t"."source"::text IS NULL;

-- sample inserts
SELECT jsonb_object('{org_id,job_id}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text]::text[]), NULL, jsonb_object('{org_id,job_id,name,boss,client,secret}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."client"::text, CASE WHEN CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 16777216 THEN left("s"."secret"::text, 10000) ELSE (coalesce(octet_length("s"."secret")::bigint, 0)) || ' bytes' END IS NOT NULL THEN '***' END]::text[])
FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'insert' ORDER BY a.n LIMIT 5;

-- sample updates
SELECT jsonb_object('{id,org_id,job_id}'::text[], ARRAY["t"."id"::text, "t"."org_id"::text, "t"."job_id"::text]::text[]), (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(jsonb_object('{name,boss,client,secret,source}'::text[], ARRAY["t"."name"::text, "t"."boss"::text, "t"."client"::text, CASE WHEN CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 16777216 THEN left("t"."secret"::text, 10000) ELSE (coalesce(octet_length("t"."secret")::bigint, 0)) || ' bytes' END IS NOT NULL THEN '***' END, CASE WHEN (coalesce(octet_length("t"."source")::bigint, 0)) <= 16777216 THEN left("t"."source"::text, 10000) ELSE (coalesce(octet_length("t"."source")::bigint, 0)) || ' bytes' END]::text[])) AS e WHERE e.key = ANY (ARRAY[CASE WHEN ROW("t"."name" COLLATE "C")::text COLLATE "C" IS DISTINCT FROM ROW("s"."name" COLLATE "C")::text COLLATE "C" THEN 'name' END, CASE WHEN ROW("t"."boss")::text COLLATE "C" IS DISTINCT FROM ROW("s"."boss")::text COLLATE "C" THEN 'boss' END, CASE WHEN ROW("t"."client")::text COLLATE "C" IS DISTINCT FROM ROW("s"."client")::text COLLATE "C" THEN 'client' END, CASE WHEN (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)))::text END) COLLATE "C" IS DISTINCT FROM (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)))::text END) COLLATE "C" THEN 'secret' END, CASE WHEN CASE WHEN (coalesce(octet_length("t"."source")::bigint, 0)) <= 16777216 THEN left("t"."source"::text, 10000) ELSE (coalesce(octet_length("t"."source")::bigint, 0)) || ' bytes' END IS DISTINCT FROM 'D'::text THEN 'source' END])), (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(jsonb_object('{name,boss,client,secret,source}'::text[], ARRAY["s"."name"::text, "s"."boss"::text, "s"."client"::text, CASE WHEN CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 16777216 THEN left("s"."secret"::text, 10000) ELSE (coalesce(octet_length("s"."secret")::bigint, 0)) || ' bytes' END IS NOT NULL THEN '***' END, 'D'::text]::text[])) AS e WHERE e.key = ANY (ARRAY[CASE WHEN ROW("t"."name" COLLATE "C")::text COLLATE "C" IS DISTINCT FROM ROW("s"."name" COLLATE "C")::text COLLATE "C" THEN 'name' END, CASE WHEN ROW("t"."boss")::text COLLATE "C" IS DISTINCT FROM ROW("s"."boss")::text COLLATE "C" THEN 'boss' END, CASE WHEN ROW("t"."client")::text COLLATE "C" IS DISTINCT FROM ROW("s"."client")::text COLLATE "C" THEN 'client' END, CASE WHEN (CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)))::text END) COLLATE "C" IS DISTINCT FROM (CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)))::text END) COLLATE "C" THEN 'secret' END, CASE WHEN CASE WHEN (coalesce(octet_length("t"."source")::bigint, 0)) <= 16777216 THEN left("t"."source"::text, 10000) ELSE (coalesce(octet_length("t"."source")::bigint, 0)) || ' bytes' END IS DISTINCT FROM 'D'::text THEN 'source' END]))
FROM "pg_temp"."powerca_actions" AS a
JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'update' ORDER BY a.n LIMIT 5;

-- sample deletes
SELECT jsonb_object('{id,org_id,job_id}'::text[], ARRAY["t"."id"::text, "t"."org_id"::text, "t"."job_id"::text]::text[]), jsonb_object('{org_id,job_id,name,boss,client,secret}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text, "t"."name"::text, "t"."boss"::text, "t"."client"::text, CASE WHEN CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 16777216 THEN left("t"."secret"::text, 10000) ELSE (coalesce(octet_length("t"."secret")::bigint, 0)) || ' bytes' END IS NOT NULL THEN '***' END]::text[]), NULL
FROM "pg_temp"."powerca_actions" AS a JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
WHERE a.action = 'delete' ORDER BY a.n LIMIT 5;

-- keep what there would be
CREATE TEMP TABLE "pg_temp"."powerca_planned_3" ON COMMIT DROP AS
SELECT "t"."id", "t"."org_id", "t"."job_id", "t"."source"
FROM "public"."jobs" AS t
WHERE NOT EXISTS (
    SELECT FROM "pg_temp"."powerca_actions" AS a
    WHERE a.action IN ('update', 'delete') AND a.existing = t.ctid AND a.relation = t.tableoid
)
UNION ALL
SELECT "t"."id", "t"."org_id", "t"."job_id", 'D'
FROM "public"."jobs" AS t
JOIN "pg_temp"."powerca_actions" AS a ON a.existing = t.ctid AND a.relation = t.tableoid
JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'update'
UNION ALL
SELECT NULL, "s"."org_id", "s"."job_id", 'D'
FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'insert';

-- make room
DROP TABLE IF EXISTS "pg_temp"."powerca_staging", "pg_temp"."powerca_ledger", "pg_temp"."powerca_rejected", "pg_temp"."powerca_held", "pg_temp"."powerca_echoed", "pg_temp"."powerca_missing", "pg_temp"."powerca_actions", "pg_temp"."powerca_unsettled";

