-- buckets of the source
SELECT left(d.key, 3), count(*), count(*) FILTER (WHERE d.own), coalesce(sum(('x' || substr("d"."content", 1, 16))::bit(64)::bigint) FILTER (WHERE d.own), 0)::text, coalesce(sum(('x' || substr("d"."content", 17, 16))::bit(64)::bigint) FILTER (WHERE d.own), 0)::text, coalesce(sum(('x' || substr("d"."owned", 1, 16))::bit(64)::bigint) FILTER (WHERE d.own), 0)::text
FROM (
    SELECT encode(sha256(convert_to(x.key, 'UTF8')), 'hex') AS key, encode(sha256(convert_to(x.content, 'UTF8')), 'hex') AS content, NULL AS owned, x.own
    FROM (
        SELECT coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '' AS key, CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0))::text, E'\x01n') || '' END AS content, '' AS owned, TRUE AS own
        FROM "public"."jobs" AS s
        WHERE TRUE
        OFFSET 0
    ) AS x
    OFFSET 0
) AS d
GROUP BY 1;

-- rows of the source
SELECT left(x.key, 32), left(encode(sha256(convert_to(x.content, 'UTF8')), 'hex'), 32), left('', 32), x."note:0", x."note:1", x."note:2", x."note:3"
FROM (
    SELECT k.key, CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0))::text, E'\x01n') || '' END AS content, '' AS owned, coalesce("s"."source"::text = 'M', false) AS "note:0", age(s.xmin) <= age(('5')::text::xid) AS "note:1", (FALSE OR ("s"."org_id", "s"."job_id") IS NOT NULL) AS "note:2", CASE WHEN convert_to(coalesce(E'\x01v' || replace("s"."org_id"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || replace("s"."job_id"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '', 'UTF8') = ANY ( E'{"\\\\x017631016e"}'::bytea[]) THEN convert_to(coalesce(E'\x01v' || replace("s"."org_id"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || replace("s"."job_id"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '', 'UTF8') END AS "note:3"
    FROM "public"."jobs" AS s
    CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', 'UTF8')), 'hex') AS key OFFSET 0) AS k
    WHERE TRUE AND left(k.key, 3) = ANY ('{0a1,fff}'::text[])
    OFFSET 0
) AS x;

-- rows of the target
SELECT left(x.key, 32), left(encode(sha256(convert_to(x.content, 'UTF8')), 'hex'), 32), left('', 32), x."note:0", x."note:1", x."note:2"
FROM (
    SELECT k.key, CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "t"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("t"."secret")::bigint, 0))::text, E'\x01n') || '' END AS content, '' AS owned, CASE WHEN "t"."source"::text IS NULL THEN 1 ELSE CASE "t"."source"::text WHEN 'D' THEN 0 WHEN 'M' THEN 2 ELSE 3 END END AS "note:0", "t"."id"::text AS "note:1", ("t"."created_at" AT TIME ZONE 'UTC')::text AS "note:2"
    FROM "public"."jobs" AS t
    CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', 'UTF8')), 'hex') AS key OFFSET 0) AS k
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND left(k.key, 3) = ANY ('{0a1}'::text[])
    OFFSET 0
) AS x;

-- images in the ledger
SELECT left(encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', 'UTF8')), 'hex'), 32), left(encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '', 'UTF8')), 'hex'), 32), "s"."ledger:mobile_key", "s"."ledger:born" FROM (SELECT ("l".image ->> 'org_id')::int4 AS "org_id", ("l".image ->> 'job_id')::numeric AS "job_id", ("l".image ->> 'name')::text AS "name", ("l".image ->> 'boss')::int4 AS "boss", ("l".image ->> 'secret')::text AS "secret", ("l".image ->> 'source')::bpchar AS "source", "l"."mobile_key" AS "ledger:mobile_key", "l"."born" AS "ledger:born", "l"."id" AS "ledger:id", CASE WHEN pg_column_size("l"."image") > 32768 THEN pg_column_size(ROW("l"."image"))::bigint ELSE 0 END AS "ledger:bytes" FROM powerca_sync.pulled AS l WHERE l.table_name = 'jobs' AND l.gone_at IS DISTINCT FROM '-infinity') AS s WHERE TRUE;

-- what differs
SELECT x.content, x."value:0", x."value:1", x."value:2", x."value:3", x."value:4"
FROM (
    SELECT left(encode(sha256(convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "t"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("t"."secret")::bigint, 0))::text, E'\x01n') || '' END, 'UTF8')), 'hex'), 32) AS content, convert_to((
    SELECT left(v.text, 10000) || CASE WHEN length(v.text) > 10000 THEN '... (md5 ' || md5(v.text) || ')' ELSE '' END
    FROM (SELECT "t"."org_id"::text AS text OFFSET 0) AS v
), 'UTF8') AS "value:0", convert_to((
    SELECT left(v.text, 10000) || CASE WHEN length(v.text) > 10000 THEN '... (md5 ' || md5(v.text) || ')' ELSE '' END
    FROM (SELECT "t"."job_id"::text AS text OFFSET 0) AS v
), 'UTF8') AS "value:1", convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN (
    SELECT left(v.text, 10000) || CASE WHEN length(v.text) > 10000 THEN '... (md5 ' || md5(v.text) || ')' ELSE '' END
    FROM (SELECT replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01') AS text OFFSET 0) AS v
) ELSE (coalesce(octet_length("t"."secret")::bigint, 0))::text || ' bytes' END, 'UTF8') AS "value:2", convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN (
    SELECT left(v.text, 10000) || CASE WHEN length(v.text) > 10000 THEN '... (md5 ' || md5(v.text) || ')' ELSE '' END
    FROM (SELECT "t"."boss"::text AS text OFFSET 0) AS v
) ELSE (coalesce(octet_length("t"."secret")::bigint, 0))::text || ' bytes' END, 'UTF8') AS "value:3", convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN encode(sha256(convert_to(replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), 'UTF8')), 'hex') ELSE (coalesce(octet_length("t"."secret")::bigint, 0))::text || ' bytes' END, 'UTF8') AS "value:4"
    FROM "public"."jobs" AS t
    CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', 'UTF8')), 'hex') AS key OFFSET 0) AS k
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND left(k.key, 3) = ANY ('{0a1}'::text[])
    OFFSET 0
) AS x
WHERE x.content = ANY ('{0a1b2c}'::text[]);

-- what others depend on
SELECT x.content
FROM (
    SELECT left(encode(sha256(convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "t"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("t"."secret")::bigint, 0))::text, E'\x01n') || '' END, 'UTF8')), 'hex'), 32) AS content, EXISTS (SELECT FROM "public"."ticks" AS c WHERE "c"."job" OPERATOR(pg_catalog.=) "t"."id") AS named
    FROM "public"."jobs" AS t
    CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', 'UTF8')), 'hex') AS key OFFSET 0) AS k
    WHERE "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND left(k.key, 3) = ANY ('{0a1}'::text[])
    OFFSET 0
) AS x
WHERE x.content = ANY ('{0a1b2c}'::text[]) AND x.named;

-- what was looked up
WITH answer AS (
    SELECT "p"."org_id" AS match,
        coalesce(min("p"."client") FILTER (WHERE "p"."source"::text = 'D'), min("p"."client")) AS value, min("p"."client") IS DISTINCT FROM max("p"."client") AS ambiguous
    FROM "public"."orgs" AS p
    WHERE "p"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND "p"."client" IS NOT NULL AND "p"."org_id" IS NOT NULL
    GROUP BY "p"."org_id"
)
SELECT count(*) OVER (), convert_to("t"."org_id"::text, 'UTF8'), convert_to("t"."job_id"::text, 'UTF8'), convert_to("t"."client"::text, 'UTF8'), convert_to("a"."value"::text, 'UTF8')
FROM "public"."jobs" AS t
LEFT JOIN answer AS a ON "t"."org_id" OPERATOR(pg_catalog.=) "a"."match"
WHERE "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND "t"."client"::text IS DISTINCT FROM "a"."value"::text
LIMIT 20;

-- what has not landed
WITH unlike AS (
    SELECT coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "s"."job_id"::text, E'\x01n') || '' AS key, CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "s"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || "s"."client"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "s"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("s"."secret")::bigint, 0))::text, E'\x01n') || '' END AS content
    FROM "pg_temp"."powerca_staging" AS "s"
    WHERE NOT EXISTS (SELECT FROM "pg_temp"."powerca_actions" AS a WHERE a.action = 'conflict' AND a.staged = s.ctid)
    EXCEPT ALL
    SELECT coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "t"."boss"::text, E'\x01n') || coalesce(E'\x01v' || "t"."client"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("t"."secret")::bigint, 0))::text, E'\x01n') || '' END
    FROM "public"."jobs" AS "t"
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')
)
SELECT (SELECT count(*) FROM unlike), ARRAY(SELECT u.key FROM unlike AS u ORDER BY u.key LIMIT 5);

