-- whether anything changed
SELECT count(*) FILTER (WHERE p.belongs) AS ours, count(*) FILTER (WHERE p.belongs IS NULL) AS unassigned,
    concat_ws(':', count(*), sum(CASE WHEN p.belongs IS NULL THEN ~p.hash ELSE p.hash END), md5('id integer, org_id integer, job_id integer, name text, boss integer, client integer, secret text, origin text, source bpchar, created_at timestamptz, updated_at timestamptz')) AS digest
FROM (SELECT ("s"."org_id" = ANY ('{"1","2"}') OR "s"."org_id" IS NULL) AND coalesce("s"."org_id" = ANY ('{"1","2"}'), (SELECT CASE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS TRUE) THEN TRUE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS FALSE) THEN FALSE END
    FROM "public"."jobs" AS "s_up" WHERE "s_up"."job_id" OPERATOR(pg_catalog.=) "s"."boss")) AS belongs, hashtidextended("s".ctid, "s".xmin::text::bigint) AS hash FROM "public"."jobs" AS s WHERE "s"."source" = 'M' AND "s"."source"::text = 'M' AND ("s"."org_id" = ANY ('{"1","2"}') OR "s"."org_id" IS NULL)) AS p
WHERE p.belongs IS NOT FALSE;

-- who they are
COPY (
    SELECT "s"."id"::text, "s"."id"::text, md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), ("s"."created_at" AT TIME ZONE 'UTC')::text
    FROM "public"."jobs" AS s
    WHERE "s"."source" = 'M' AND "s"."source"::text = 'M' AND ("s"."org_id" = ANY ('{"1","2"}') OR "s"."org_id" IS NULL) AND coalesce("s"."org_id" = ANY ('{"1","2"}'), (SELECT CASE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS TRUE) THEN TRUE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS FALSE) THEN FALSE END
    FROM "public"."jobs" AS "s_up" WHERE "s_up"."job_id" OPERATOR(pg_catalog.=) "s"."boss"))
) TO STDOUT;

-- who they are, by content
COPY (
    SELECT md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), ("s"."created_at" AT TIME ZONE 'UTC')::text
    FROM "public"."jobs" AS s
    WHERE "s"."source" = 'M' AND "s"."source"::text = 'M' AND ("s"."org_id" = ANY ('{"1","2"}') OR "s"."org_id" IS NULL) AND coalesce("s"."org_id" = ANY ('{"1","2"}'), (SELECT CASE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS TRUE) THEN TRUE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS FALSE) THEN FALSE END
    FROM "public"."jobs" AS "s_up" WHERE "s_up"."job_id" OPERATOR(pg_catalog.=) "s"."boss"))
) TO STDOUT;

-- hold them against the ledger
CREATE TEMP TABLE "pg_temp"."powerca_classification" ON COMMIT DROP AS
WITH phone AS (
    SELECT p.*, row_number() OVER (PARTITION BY p.known ORDER BY p.born, p.hash) AS nth FROM "pg_temp"."powerca_phones" AS p
), entry AS (
    SELECT l.id, l.content_hash, l.born, l.gone_at IS NOT NULL AS gone, l.mobile_key AS known, l.occurrence AS nth
    FROM powerca_sync.pulled AS l
    WHERE l.table_name = 'jobs'
), gone AS (
    SELECT DISTINCT ON (g.known, g.content_hash, g.nth) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.content_hash, g.nth, g.id DESC
), once AS (
    SELECT DISTINCT ON (g.known, g.born) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.born, g.id DESC
), found AS (
    SELECT p.key, p.hash, p.born, p.nth, live.id AS live, gone.id AS gone, g.id AS once,
        live.id IS NOT NULL AND coalesce(p.was = live.content_hash, p.born = live.born, TRUE) AS same,
        live.id IS NOT NULL AND coalesce(p.born <> live.born, FALSE) AS reborn
    FROM phone AS p
    LEFT JOIN entry AS live ON NOT live.gone AND (live.known, live.nth) = (p.known, p.nth)
    LEFT JOIN gone ON (gone.known, gone.content_hash, gone.nth) = (p.known, coalesce(p.was, p.hash), p.nth)
    LEFT JOIN once AS g ON (g.known, g.born) = (p.known, p.born)
), judged AS (
    SELECT f.*,
        CASE
            WHEN f.same THEN 'there'
            WHEN f.live IS NOT NULL AND NOT f.reborn THEN 'changed'
            WHEN f.gone IS NOT NULL THEN 'there'
            WHEN f.once IS NOT NULL THEN 'changed'
            ELSE 'new'
        END AS verdict,
        CASE WHEN f.same OR NOT f.reborn THEN f.live END AS still
    FROM found AS f
)
SELECT j.key, j.hash, j.born, row_number() OVER (PARTITION BY j.key ORDER BY j.nth, j.hash) AS occurrence, j.verdict,
    coalesce(j.still, j.gone, j.once) AS entry
FROM judged AS j;

-- hold them against the ledger, by content
CREATE TEMP TABLE "pg_temp"."powerca_classification" ON COMMIT DROP AS
WITH phone AS (
    SELECT p.*, row_number() OVER (PARTITION BY p.known ORDER BY p.born, p.hash) AS nth FROM "pg_temp"."powerca_phones" AS p
), entry AS (
    SELECT l.id, l.content_hash, l.born, l.gone_at IS NOT NULL AS gone, l.content_hash AS known, row_number() OVER (PARTITION BY l.content_hash ORDER BY l.gone_at NULLS FIRST, l.occurrence, l.id) AS nth
    FROM powerca_sync.pulled AS l
    WHERE l.table_name = 'jobs'
), gone AS (
    SELECT DISTINCT ON (g.known, g.content_hash, g.nth) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.content_hash, g.nth, g.id DESC
), once AS (
    SELECT DISTINCT ON (g.known, g.born) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.born, g.id DESC
), found AS (
    SELECT p.key, p.hash, p.born, p.nth, live.id AS live, gone.id AS gone, g.id AS once,
        live.id IS NOT NULL AND coalesce(p.was = live.content_hash, p.born = live.born, TRUE) AS same,
        live.id IS NOT NULL AND coalesce(p.born <> live.born, FALSE) AS reborn
    FROM phone AS p
    LEFT JOIN entry AS live ON NOT live.gone AND (live.known, live.nth) = (p.known, p.nth)
    LEFT JOIN gone ON (gone.known, gone.content_hash, gone.nth) = (p.known, coalesce(p.was, p.hash), p.nth)
    LEFT JOIN once AS g ON FALSE
), judged AS (
    SELECT f.*,
        CASE
            WHEN f.same THEN 'there'
            WHEN f.live IS NOT NULL AND NOT f.reborn THEN 'changed'
            WHEN f.gone IS NOT NULL THEN 'there'
            WHEN f.once IS NOT NULL THEN 'changed'
            ELSE 'new'
        END AS verdict,
        CASE WHEN f.same OR NOT f.reborn THEN f.live END AS still
    FROM found AS f
)
SELECT j.key, j.hash, j.born, row_number() OVER (PARTITION BY j.key ORDER BY j.nth, j.hash) AS occurrence, j.verdict,
    coalesce(j.still, j.gone, j.once) AS entry
FROM judged AS j;

-- mark what is gone
UPDATE powerca_sync.pulled AS l SET gone_at = now()
WHERE l.table_name = 'jobs' AND l.gone_at IS NULL
    AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_classification" AS f WHERE f.entry = l.id);

-- bring entries up to date
UPDATE powerca_sync.pulled AS l SET
    gone_at = NULL,
    mobile_key = f.key,
    content_hash = CASE WHEN f.verdict = 'there' THEN f.hash ELSE l.content_hash END,
    occurrence = f.occurrence
FROM "pg_temp"."powerca_classification" AS f
WHERE f.entry = l.id
    AND (l.gone_at IS NOT NULL OR l.mobile_key <> f.key OR (f.verdict = 'there' AND l.content_hash <> f.hash));

-- carry entries over
WITH image AS MATERIALIZED (
    SELECT e.id, e.content, row_number() OVER (PARTITION BY e.content ORDER BY e.gone, e.id) AS n
    FROM (
        SELECT l."e:id" AS id, l."e:gone" AS gone, ROW("l"."org_id", trim_scale("l"."job_id"), rtrim("l"."name", ' '), "l"."boss", rtrim("l"."secret", ' '))::text COLLATE "C" AS content
        FROM (
            SELECT l.id AS "e:id", l.gone_at IS NOT NULL AS "e:gone", ("l".image ->> 'org_id')::int4 AS "org_id", ("l".image ->> 'job_id')::numeric AS "job_id", ("l".image ->> 'name')::text AS "name", ("l".image ->> 'boss')::int4 AS "boss", ("l".image ->> 'secret')::text AS "secret", ("l".image ->> 'source')::bpchar AS "source"
            FROM powerca_sync.pulled AS l
            WHERE "l".table_name = 'jobs' AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_classification" AS f WHERE f.entry = "l".id)
        ) AS l
    ) AS e
    WHERE e.content IS NOT NULL
), phone AS MATERIALIZED (
    SELECT c."phone:key" AS key, c."phone:occurrence" AS occurrence, ROW("c"."org_id", trim_scale("c"."job_id"), rtrim("c"."name", ' '), "c"."boss", rtrim("c"."secret", ' '))::text COLLATE "C" AS content,
        row_number() OVER (PARTITION BY ROW("c"."org_id", trim_scale("c"."job_id"), rtrim("c"."name", ' '), "c"."boss", rtrim("c"."secret", ' '))::text COLLATE "C" ORDER BY c."phone:key", c."phone:occurrence") AS n
    FROM "pg_temp"."powerca_contents" AS c
    JOIN "pg_temp"."powerca_classification" AS f ON (f.key, f.occurrence) = (c."phone:key", c."phone:occurrence") AND f.verdict = 'new'
)
UPDATE "pg_temp"."powerca_classification" AS f SET verdict = 'there', entry = i.id
FROM phone AS p JOIN image AS i USING (content, n)
WHERE (f.key, f.occurrence) = (p.key, p.occurrence);

-- count what cannot be told
WITH image AS MATERIALIZED (
    SELECT ROW("l"."org_id", trim_scale("l"."job_id"))::text COLLATE "C" AS content
    FROM (SELECT ("l".image ->> 'org_id')::int4 AS "org_id", ("l".image ->> 'job_id')::numeric AS "job_id", ("l".image ->> 'name')::text AS "name", ("l".image ->> 'boss')::int4 AS "boss", ("l".image ->> 'secret')::text AS "secret", ("l".image ->> 'source')::bpchar AS "source" FROM powerca_sync.pulled AS l WHERE "l".table_name = 'jobs' AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_classification" AS f WHERE f.entry = "l".id) AND "l".gone_at IS NULL) AS l
)
SELECT count(*)
FROM "pg_temp"."powerca_contents" AS c
JOIN "pg_temp"."powerca_classification" AS f ON (f.key, f.occurrence) = (c."phone:key", c."phone:occurrence") AND f.verdict = 'new'
WHERE EXISTS (SELECT FROM image AS i WHERE i.content = ROW("c"."org_id", trim_scale("c"."job_id"))::text COLLATE "C");

-- find the copies of entries
CREATE TEMP TABLE "pg_temp"."powerca_entries" ON COMMIT DROP AS
WITH image AS MATERIALIZED (
    SELECT l."e:id" AS id, l."e:gone" AS gone, (CASE WHEN (coalesce(octet_length("l"."name")::bigint, 0) + coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id"::text COLLATE "C", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."name")::bigint, 0) + coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id"::text COLLATE "C", "l"."boss")::text END) COLLATE "C" AS content, ROW("l"."org_id", trim_scale("l"."job_id"))::text COLLATE "C" AS key, "l"."org_id" IS NOT NULL AND "l"."job_id" IS NOT NULL AS whole,
        row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("l"."name")::bigint, 0) + coalesce(octet_length("l"."secret")::bigint, 0)) <= 33554432 THEN ROW("l"."org_id", "l"."job_id"::text COLLATE "C", "l"."name" COLLATE "C", "l"."boss", "l"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("l"."name")::bigint, 0) + coalesce(octet_length("l"."secret")::bigint, 0)), "l"."org_id", "l"."job_id"::text COLLATE "C", "l"."boss")::text END) COLLATE "C" ORDER BY l."e:gone", l."e:id") AS copy
    FROM (
        SELECT p.id AS "e:id", p.gone_at IS NOT NULL AS "e:gone", ("p".image ->> 'org_id')::int4 AS "org_id", ("p".image ->> 'job_id')::numeric AS "job_id", ("p".image ->> 'name')::text AS "name", ("p".image ->> 'boss')::int4 AS "boss", ("p".image ->> 'secret')::text AS "secret"
        FROM powerca_sync.pulled AS p
        WHERE p.table_name = 'jobs'
    ) AS l
), present AS MATERIALIZED (
    -- Joins to distinct values: an IN within an OR is evaluated row by row if the planner expects many.
    SELECT t.*, row_number() OVER (PARTITION BY t.content ORDER BY t.relation, t.place) AS copy
    FROM (
        SELECT t.tableoid AS relation, t.ctid AS place, (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" AS content, ROW("t"."org_id", trim_scale("t"."job_id"))::text COLLATE "C" AS key FROM "public"."jobs" AS t
    ) AS t
    LEFT JOIN (SELECT DISTINCT i.content AS known FROM image AS i) AS c ON c.known = t.content
    LEFT JOIN (SELECT DISTINCT i.key AS known FROM image AS i) AS k ON k.known = t.key
    WHERE c.known IS NOT NULL OR k.known IS NOT NULL
), same AS (
    SELECT i.id, p.relation, p.place FROM image AS i JOIN present AS p USING (content, copy)
), loose_image AS (
    SELECT i.id, i.key, row_number() OVER (PARTITION BY i.key ORDER BY i.gone, i.id) AS n
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM same AS s WHERE s.id = i.id)
), loose_present AS (
    SELECT p.relation, p.place, p.key, row_number() OVER (PARTITION BY p.key ORDER BY p.relation, p.place) AS n
    FROM present AS p
    WHERE NOT EXISTS (SELECT FROM same AS s WHERE (s.relation, s.place) = (p.relation, p.place))
)
SELECT i.id, i.gone, coalesce(s.relation, p.relation) AS relation, coalesce(s.place, p.place) AS place
FROM image AS i
LEFT JOIN same AS s ON s.id = i.id
LEFT JOIN loose_image AS l ON l.id = i.id
LEFT JOIN loose_present AS p ON (p.key, p.n) = (l.key, l.n);

-- pull what is missing again
WITH missing AS (
    UPDATE "pg_temp"."powerca_classification" AS f SET verdict = 'new', entry = NULL
    FROM "pg_temp"."powerca_entries" AS e
    WHERE e.id = f.entry AND e.place IS NULL
    RETURNING e.id
)
DELETE FROM powerca_sync.pulled AS l USING missing AS m WHERE l.id = m.id;

-- count
WITH fate AS (
    SELECT f.key, f.verdict, f.verdict <> 'new' AND e.place IS NULL AS missing
    FROM "pg_temp"."powerca_classification" AS f
    LEFT JOIN "pg_temp"."powerca_entries" AS e ON e.id = f.entry
)
SELECT count(*), count(*) FILTER (WHERE f.verdict <> 'new'), count(*) FILTER (WHERE f.verdict = 'changed'),
    count(*) FILTER (WHERE f.missing),
    (SELECT coalesce(array_agg(few.key), '{}') FROM (SELECT f.key FROM fate AS f WHERE f.verdict = 'changed' ORDER BY f.key LIMIT 20) AS few),
    (SELECT coalesce(array_agg(few.key), '{}') FROM (SELECT f.key FROM fate AS f WHERE f.missing ORDER BY f.key LIMIT 20) AS few)
FROM fate AS f;

-- read
COPY (
    SELECT "s"."org_id", "s"."job_id", "s"."name", "s"."boss", CASE WHEN z.bytes <= 8388608 THEN "s"."secret" END, CASE WHEN z.bytes <= 8388608 THEN "s"."source" END, "s"."job_id"::text, "s"."id"::text, md5((CASE WHEN (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) <= 8388608 THEN ROW("s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source")::text ELSE ROW((coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)), "s"."org_id", "s"."job_id", "s"."name", "s"."boss")::text END)), ("s"."created_at" AT TIME ZONE 'UTC')::text, row_number() OVER (PARTITION BY "s"."id"::text), CASE WHEN z.bytes > 8388608 THEN z.bytes END
    FROM "public"."jobs" AS s
    CROSS JOIN LATERAL (SELECT (coalesce(octet_length("s"."secret")::bigint, 0) + coalesce(octet_length("s"."source")::bigint, 0)) AS bytes OFFSET 0) AS z
    WHERE "s"."source" = 'M' AND "s"."source"::text = 'M' AND ("s"."org_id" = ANY ('{"1","2"}') OR "s"."org_id" IS NULL) AND coalesce("s"."org_id" = ANY ('{"1","2"}'), (SELECT CASE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS TRUE) THEN TRUE WHEN bool_and(("s_up"."org_id" = ANY ('{"1","2"}')) IS FALSE) THEN FALSE END
    FROM "public"."jobs" AS "s_up" WHERE "s_up"."job_id" OPERATOR(pg_catalog.=) "s"."boss")) AND "s"."id"::text = ANY ('{7,8}'::text[])
) TO STDOUT;

-- keep what is new
DELETE FROM "pg_temp"."powerca_staging" AS s WHERE NOT EXISTS (
    SELECT FROM "pg_temp"."powerca_classification" AS f WHERE f.verdict = 'new' AND (f.key, f.occurrence) = ("s"."phone:key", "s"."phone:occurrence")
);
DELETE FROM "pg_temp"."powerca_rejected" AS r WHERE NOT EXISTS (
    SELECT FROM "pg_temp"."powerca_classification" AS f
    WHERE f.verdict = 'new' AND (f.key, f.occurrence) = (r.key ->> 'phone:key', (r.key ->> 'phone:occurrence')::bigint)
);
ALTER TABLE "pg_temp"."powerca_rejected" ADD theirs jsonb, ADD form text;

-- adopt
WITH staged AS MATERIALIZED (
    SELECT s.ctid AS place, "s"."phone:key" AS key, "s"."phone:hash" AS hash, "s"."phone:born" AS born, "s"."phone:occurrence" AS occurrence,
        (CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id"::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id"::text COLLATE "C", "s"."boss")::text END) COLLATE "C" AS content, row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id"::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id"::text COLLATE "C", "s"."boss")::text END) COLLATE "C" ORDER BY s.ctid) AS copy
    FROM "pg_temp"."powerca_staging" AS s
    WHERE ("s"."org_id" IS NOT NULL AND "s"."job_id" IS NOT NULL)
), present AS MATERIALIZED (
    SELECT t.tableoid AS relation, t.ctid AS place, (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" AS content, jsonb_object('{org_id,job_id,name,boss,secret,source}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text, "t"."name"::text, "t"."boss"::text, "t"."secret"::text, "t"."source"::text]::text[]) AS image,
        jsonb_object('{org_id,job_id}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text]::text[]) AS desktop_key,
        row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" ORDER BY t.tableoid, t.ctid) AS copy
    FROM "public"."jobs" AS t
    WHERE (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" IN (SELECT s.content FROM staged AS s) AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_entries" AS e WHERE (e.relation, e.place) = ("t".tableoid, "t".ctid))
), entered AS (
    INSERT INTO "powerca_sync"."pulled"
        (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT 'jobs', s.key, s.occurrence, p.desktop_key, p.image, s.hash, s.born, 'run'
    FROM staged AS s JOIN present AS p USING (content, copy)
    RETURNING id, mobile_key, content_hash, occurrence
), explained AS (
    INSERT INTO "pg_temp"."powerca_entries" (id, gone, relation, place)
    SELECT e.id, FALSE, p.relation, p.place
    FROM entered AS e
    JOIN staged AS s ON (s.key, s.hash, s.occurrence) = (e.mobile_key, e.content_hash, e.occurrence)
    JOIN present AS p USING (content, copy)
)
DELETE FROM "pg_temp"."powerca_staging" AS s USING entered AS e
WHERE ("s"."phone:key", "s"."phone:hash", "s"."phone:occurrence") = (e.mobile_key, e.content_hash, e.occurrence);

-- adopt by content
WITH staged AS MATERIALIZED (
    SELECT s.ctid AS place, "s"."phone:key" AS key, "s"."phone:hash" AS hash, "s"."phone:born" AS born, "s"."phone:occurrence" AS occurrence,
        (CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id"::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id"::text COLLATE "C", "s"."boss")::text END) COLLATE "C" AS content, row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id"::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id"::text COLLATE "C", "s"."boss")::text END) COLLATE "C" ORDER BY s.ctid) AS copy
    FROM "pg_temp"."powerca_staging" AS s
    WHERE TRUE
), present AS MATERIALIZED (
    SELECT t.tableoid AS relation, t.ctid AS place, (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" AS content, jsonb_object('{org_id,job_id,name,boss,secret,source}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text, "t"."name"::text, "t"."boss"::text, "t"."secret"::text, "t"."source"::text]::text[]) AS image,
        jsonb_object('{org_id,job_id}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text]::text[]) AS desktop_key,
        row_number() OVER (PARTITION BY (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" ORDER BY t.tableoid, t.ctid) AS copy
    FROM "public"."jobs" AS t
    WHERE (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" IN (SELECT s.content FROM staged AS s) AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_entries" AS e WHERE (e.relation, e.place) = ("t".tableoid, "t".ctid))
), entered AS (
    INSERT INTO "powerca_sync"."pulled"
        (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT 'jobs', s.key, s.occurrence, p.desktop_key, p.image, s.hash, s.born, NULL
    FROM staged AS s JOIN present AS p USING (content, copy)
    RETURNING id, mobile_key, content_hash, occurrence
), explained AS (
    INSERT INTO "pg_temp"."powerca_entries" (id, gone, relation, place)
    SELECT e.id, FALSE, p.relation, p.place
    FROM entered AS e
    JOIN staged AS s ON (s.key, s.hash, s.occurrence) = (e.mobile_key, e.content_hash, e.occurrence)
    JOIN present AS p USING (content, copy)
)
DELETE FROM "pg_temp"."powerca_staging" AS s USING entered AS e
WHERE ("s"."phone:key", "s"."phone:hash", "s"."phone:occurrence") = (e.mobile_key, e.content_hash, e.occurrence);

-- set conflicts aside
WITH faulty AS MATERIALIZED (
SELECT s.ctid AS place, 'conflict' AS reason, 'org_id, job_id' AS column_name, concat_ws(', ', "s"."org_id", "s"."job_id") AS value,
    NULL AS parent, NULL AS message
FROM "pg_temp"."powerca_staging" AS s
WHERE EXISTS (SELECT FROM "public"."jobs" AS t WHERE "t"."org_id" OPERATOR(pg_catalog.=) "s"."org_id" AND "t"."job_id" OPERATOR(pg_catalog.=) "s"."job_id" AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_entries" AS e WHERE (e.relation, e.place) = ("t".tableoid, "t".ctid)))
), removed AS (
    DELETE FROM "pg_temp"."powerca_staging" AS s USING faulty AS f
    WHERE s.ctid = f.place
    RETURNING f.reason, f.column_name, CASE WHEN string_to_array(f.column_name, ', ') && '{secret}'::text[] THEN '***' ELSE f.value END AS "f:value", f.parent, replace(f.message, coalesce(nullif("s"."secret"::text, ''), '***'), '***') AS "f:message",
        jsonb_build_object('org_id', "s"."org_id"::text, 'job_id', "s"."raw:1"::text) AS "f:key", jsonb_object('{org_id,job_id,name,boss,source}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0)) <= 16777216 THEN left("s"."name"::text, 10000) ELSE (coalesce(octet_length("s"."name")::bigint, 0)) || ' bytes' END, "s"."boss"::text, CASE WHEN (coalesce(octet_length("s"."source")::bigint, 0)) <= 16777216 THEN left("s"."source"::text, 10000) ELSE (coalesce(octet_length("s"."source")::bigint, 0)) || ' bytes' END]::text[]) AS "f:image", "s"."org_id" AS "f:key:0", "s"."job_id" AS "f:key:1"
), retained AS (INSERT INTO "pg_temp"."powerca_held" ("org_id", "job_id") SELECT "f:key:0", "f:key:1" FROM removed AS r)
INSERT INTO "pg_temp"."powerca_rejected" (reason, column_name, value, parent, message, key, image)
SELECT r.reason, r.column_name, r."f:value", r.parent, r."f:message", r."f:key", r."f:image"
FROM removed AS r;

-- show the other side of conflicts
UPDATE "pg_temp"."powerca_rejected" AS r SET theirs = (
    SELECT jsonb_object('{org_id,job_id,name,boss,source}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text, CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0)) <= 16777216 THEN left("t"."name"::text, 10000) ELSE (coalesce(octet_length("t"."name")::bigint, 0)) || ' bytes' END, "t"."boss"::text, CASE WHEN (coalesce(octet_length("t"."source")::bigint, 0)) <= 16777216 THEN left("t"."source"::text, 10000) ELSE (coalesce(octet_length("t"."source")::bigint, 0)) || ' bytes' END]::text[]) FROM "public"."jobs" AS t WHERE "t"."org_id"::text = r.image ->> 'org_id' AND "t"."job_id"::text = r.image ->> 'job_id' AND NOT EXISTS (SELECT FROM "pg_temp"."powerca_entries" AS e WHERE (e.relation, e.place) = ("t".tableoid, "t".ctid)) ORDER BY t.tableoid, t.ctid LIMIT 1
)
WHERE r.reason = 'conflict' AND r.theirs IS NULL AND r.column_name = 'org_id, job_id';

-- number
WITH planned AS (
    INSERT INTO "pg_temp"."powerca_actions" (action, n, staged)
    SELECT 'insert', row_number() OVER (ORDER BY length("s"."phone:key"), "s"."phone:key", "s"."phone:occurrence"), s.ctid FROM "pg_temp"."powerca_staging" AS s
    RETURNING 1
)
SELECT count(*) FROM planned;

-- insert
WITH landed AS (
    INSERT INTO "public"."jobs" AS t ("org_id", "job_id", "name", "boss", "secret", "source")
    SELECT "s"."org_id", "s"."job_id", "s"."name", "s"."boss", "s"."secret", "s"."source"
    FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
    WHERE a.action = 'insert' AND a.n BETWEEN 1 AND 500
    ORDER BY a.n
    RETURNING t.tableoid AS relation, t.ctid AS place
), numbered AS (
    SELECT l.relation, l.place, pg_catalog.row_number() OVER () + 1 - 1 AS n FROM landed AS l
)
UPDATE "pg_temp"."powerca_actions" AS a SET relation = l.relation, existing = l.place
FROM numbered AS l
WHERE a.action = 'insert' AND a.n = l.n;

-- enter
WITH known AS (
    SELECT "s"."phone:key" AS mobile_key, "s"."phone:hash" AS hash, "s"."phone:born" AS born, "s"."phone:occurrence" AS occurrence,
        CASE WHEN t.ctid IS NULL THEN jsonb_object('{org_id,job_id,name,boss,secret,source}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text, "s"."name"::text, "s"."boss"::text, "s"."secret"::text, "s"."source"::text]::text[]) ELSE jsonb_object('{org_id,job_id,name,boss,secret,source}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text, "t"."name"::text, "t"."boss"::text, "t"."secret"::text, "t"."source"::text]::text[]) END AS image,
        CASE WHEN t.ctid IS NULL THEN jsonb_object('{org_id,job_id}'::text[], ARRAY["s"."org_id"::text, "s"."job_id"::text]::text[]) ELSE jsonb_object('{org_id,job_id}'::text[], ARRAY["t"."org_id"::text, "t"."job_id"::text]::text[]) END AS desktop_key,
        t.ctid IS NOT NULL AND (CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)) <= 33554432 THEN ROW("t"."org_id", "t"."job_id"::text COLLATE "C", "t"."name" COLLATE "C", "t"."boss", "t"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0) + coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id"::text COLLATE "C", "t"."boss")::text END) COLLATE "C" <> (CASE WHEN (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) <= 33554432 THEN ROW("s"."org_id", "s"."job_id"::text COLLATE "C", "s"."name" COLLATE "C", "s"."boss", "s"."secret" COLLATE "C")::text ELSE ROW((coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)), "s"."org_id", "s"."job_id"::text COLLATE "C", "s"."boss")::text END) COLLATE "C" AS is_altered
    FROM "pg_temp"."powerca_actions" AS a
    JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
    LEFT JOIN "public"."jobs" AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action = 'insert' AND a.n BETWEEN 1 AND 500
), entered AS (
    INSERT INTO powerca_sync.pulled
        (table_name, mobile_key, occurrence, desktop_key, image, content_hash, born, run_id)
    SELECT 'jobs', k.mobile_key, k.occurrence, k.desktop_key, k.image, k.hash, k.born, 'run' FROM known AS k
)
SELECT count(*) FILTER (WHERE k.is_altered) FROM known AS k;

-- find the highest key
SELECT max("s"."job_id") FILTER (WHERE "s"."job_id" <= 90000), max("s"."job_id") FILTER (WHERE "s"."job_id" > 90000)
FROM "pg_temp"."powerca_actions" AS a JOIN "pg_temp"."powerca_staging" AS s ON s.ctid = a.staged
WHERE a.action = 'insert';

-- move the sequence
SELECT setval('"public"."job''s ids"'::regclass, greatest(coalesce(s.last, nextval('"public"."job''s ids"'::regclass)), 500))
FROM (SELECT pg_sequence_last_value('"public"."job''s ids"'::regclass) AS last) AS s
WHERE coalesce(s.last, 0) < 500;

