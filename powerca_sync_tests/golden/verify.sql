-- digests of the source
SELECT g.prefix AS prefix, g.rows, g.own, g.digest
FROM (
    SELECT left(d.key, 2) AS prefix, sum(d.rows)::bigint AS rows, sum(d.own)::bigint AS own,
        encode(substr(decode(md5(concat_ws(' ', sum(d.own), coalesce(sum(d.own::numeric * ('x' || substr(d.content, 1, 16))::bit(64)::bigint), 0), coalesce(sum(d.own::numeric * ('x' || substr(d.content, 17, 16))::bit(64)::bigint), 0))), 'hex'), 1, 9), 'base64') AS digest
    FROM (
    SELECT n.key, n.content, n.rows, greatest(n.own - n.images, 0) AS own
    FROM (
        SELECT e.key, e.content, count(*) FILTER (WHERE e.is_row) AS rows,
            count(*) FILTER (WHERE e.own AND e.is_row) AS own,
            count(*) FILTER (WHERE e.own AND NOT e.is_row) AS images
        FROM (
    (
        SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', 'UTF8')), 'hex') AS key, encode(sha256(convert_to(CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0))::text, E'\x01n') || '' END, 'UTF8')), 'hex') AS content, NULL AS owned, TRUE AS own, true AS is_row
        FROM "public"."jobs" AS s
        WHERE TRUE AND TRUE
    )
    UNION ALL
    (
        SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || '', 'UTF8')), 'hex') AS key, encode(sha256(convert_to(coalesce(E'\x01v' || "s"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || trim_scale("s"."job_id")::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "s"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("s"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '', 'UTF8')), 'hex') AS content, NULL AS owned, TRUE AS own, false AS is_row
        FROM (SELECT ("l".image ->> 'org_id')::int4 AS "org_id", ("l".image ->> 'job_id')::numeric AS "job_id", ("l".image ->> 'name')::text AS "name", ("l".image ->> 'boss')::int4 AS "boss", ("l".image ->> 'secret')::text AS "secret", ("l".image ->> 'source')::bpchar AS "source", "l"."mobile_key" AS "ledger:mobile_key", "l"."born" AS "ledger:born", "l"."id" AS "ledger:id", CASE WHEN pg_column_size("l"."image") > 32768 THEN pg_column_size(ROW("l"."image"))::bigint ELSE 0 END AS "ledger:bytes" FROM powerca_sync.pulled AS l WHERE l.table_name = 'jobs' AND l.gone_at IS DISTINCT FROM '-infinity') AS s
        WHERE TRUE AND TRUE
    )
        ) AS e
        GROUP BY e.key, e.content, e.owned
    ) AS n
    ) AS d
    GROUP BY 1
) AS g;

-- digests of the target
SELECT g.prefix AS prefix, g.rows, g.own, g.digest
FROM (
    SELECT left(d.key, 3) AS prefix, sum(d.rows)::bigint AS rows, sum(d.own)::bigint AS own,
        encode(substr(decode(md5(concat_ws(' ', sum(d.own), coalesce(sum(d.own * ('x' || substr(d.content, 1, 16))::bit(64)::bigint), 0), coalesce(sum(d.own * ('x' || substr(d.content, 17, 16))::bit(64)::bigint), 0))), 'hex'), 1, 9), 'base64') AS digest
    FROM (
    SELECT encode(sha256(convert_to(coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', 'UTF8')), 'hex') AS key, CASE WHEN "t"."source"::text IS NOT DISTINCT FROM 'D' THEN encode(sha256(convert_to(CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."name"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || coalesce(E'\x01v' || "t"."boss"::text, E'\x01n') || coalesce(E'\x01v' || replace("t"."secret"::text COLLATE "C", E'\x01', E'\x01\x01'), E'\x01n') || '' ELSE coalesce(E'\x01v' || coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', E'\x01n') || coalesce(E'\x01v' || (coalesce(octet_length("t"."secret")::bigint, 0))::text, E'\x01n') || '' END, 'UTF8')), 'hex') END AS content, 1 AS rows, ("t"."source"::text IS NOT DISTINCT FROM 'D')::int AS own
    FROM "public"."jobs" AS t
    WHERE "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND left(encode(sha256(convert_to(coalesce(E'\x01v' || "t"."org_id"::text, E'\x01n') || coalesce(E'\x01v' || "t"."job_id"::text, E'\x01n') || '', 'UTF8')), 'hex'), 2) = ANY ('{a1,ff}'::text[])
    OFFSET 0
    ) AS d
    GROUP BY 1
) AS g;

-- typed digests of the source
SELECT lpad(to_hex(g.prefix), 3, '0') AS prefix, g.rows, g.own, g.digest
FROM (
    SELECT (d.key >> 52) & 4095 AS prefix, sum(d.rows)::bigint AS rows, sum(d.own)::bigint AS own,
        encode(substr(decode(md5(concat_ws(' ', sum(d.own), coalesce(sum(d.own * d.content), 0))), 'hex'), 1, 9), 'base64') AS digest
    FROM (
    SELECT hash_record_extended(ROW("s"."org_id", trim_scale("s"."job_id")::text COLLATE "C"), 42) AS key, CASE WHEN TRUE THEN CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN hash_record_extended(ROW("s"."org_id", trim_scale("s"."job_id")::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C"), 42) ELSE hash_record_extended(ROW(hash_record_extended(ROW("s"."org_id", trim_scale("s"."job_id")::text COLLATE "C"), 42), (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0))::text), 42) END END AS content, 1 AS rows, (TRUE)::int AS own
    FROM "public"."jobs" AS s
    WHERE TRUE AND (hash_record_extended(ROW("s"."org_id", trim_scale("s"."job_id")::text COLLATE "C"), 42) >> 56) & 255 = ANY ('{161,255}'::int2[]::bigint[])
    OFFSET 0
    ) AS d
    GROUP BY 1
) AS g;

-- classes of rows that differ
WITH judged AS (
    SELECT NULL::tid AS place, NULL::text AS action, r.key - 'verify:changed' AS key, r.key ->> 'verify:changed' AS changed,
        FALSE AS equal
    FROM "pg_temp"."powerca_rejected" AS r
    WHERE r.reason <> 'deferred'
    UNION ALL
    SELECT a.ctid, a.action, jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) - 'verify:changed',
        CASE WHEN true AND ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C") IS NOT DISTINCT FROM ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C") THEN 't' ELSE "s"."verify:changed" END,
        a.action = 'update' AND ROW("s"."org_id", "s"."job_id", "s"."name" COLLATE "C", "s"."boss", "s"."client", "s"."secret" COLLATE "C") IS NOT DISTINCT FROM ROW("t"."org_id", "t"."job_id", "t"."name" COLLATE "C", "t"."boss", "t"."client", "t"."secret" COLLATE "C")
    FROM "pg_temp"."powerca_actions" AS a
    JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
    LEFT JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action IN ('insert', 'update')
), recorded AS (
    SELECT e.key, e.rows FROM jsonb_to_recordset('[]'::jsonb) AS e (key jsonb, rows bigint)
), classified AS (
    SELECT j.place, j.action, j.key,
        CASE
            WHEN j.settled THEN 'agreeing'
            WHEN j.n <= e.rows THEN 'quarantined'
            WHEN j.changed = 't' OR (j.action IS NULL AND j.key_changed) THEN 'changed'
            ELSE 'different'
        END AS class
    FROM (
        SELECT *, row_number() OVER (PARTITION BY key, settled ORDER BY action IS NOT NULL, changed) AS n,
            bool_or(changed = 't') OVER (PARTITION BY key) AS key_changed
        FROM (SELECT *, equal OR changed = 'false' AS settled FROM judged) AS found
    ) AS j
    LEFT JOIN recorded AS e USING (key)
), known AS (
    UPDATE "pg_temp"."powerca_actions" AS a SET action = 'known' FROM classified AS c WHERE a.ctid = c.place AND c.class <> 'different'
)
SELECT action, class, count(*), (array_agg(key ORDER BY key::text) FILTER (WHERE action IS NULL))[1:20]
FROM classified GROUP BY 1, 2;

-- wrong lookups
WITH answer AS (
    SELECT "p"."org_id" AS match,
        coalesce(min("p"."client") FILTER (WHERE "p"."source"::text = 'D'), min("p"."client")) AS value, min("p"."client") IS DISTINCT FROM max("p"."client") AS ambiguous
    FROM "public"."orgs" AS p
    WHERE "p"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND "p"."client" IS NOT NULL AND "p"."org_id" IS NOT NULL
    GROUP BY "p"."org_id"
)
SELECT EXISTS (
    SELECT FROM "public"."jobs" AS t
    LEFT JOIN answer AS a ON "t"."org_id" OPERATOR(pg_catalog.=) "a"."match"
    WHERE "t"."source"::text = 'D' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') AND "t"."client"::text IS DISTINCT FROM "a"."value"::text
);

-- rows that differ from what was staged
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

