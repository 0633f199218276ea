-- empty
"t"."name" IS NULL;

-- too long
char_length("t"."name"::text) > 24;

-- too long but for padding
char_length(rtrim("t"."name"::text, ' ')) > 24;

-- too large
(abs("t"."amount"::numeric) >= 10::numeric ^ 6 OR "t"."amount"::numeric <> round("t"."amount"::numeric, 2));

-- not whole
("t"."amount"::numeric NOT BETWEEN -2147483648 AND 2147483647 OR "t"."amount"::numeric <> trunc("t"."amount"::numeric));

-- no such value
NOT pg_input_is_valid("t"."name"::text, 'date');

-- of a phone
"t"."source"::text = 'M';

-- of nobody we know
"t"."source"::text <> ALL ('{D,M,S}');

-- ours, or nobody's
("t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT FALSE;

-- rows
SELECT count(*),
    count(*) FILTER (WHERE "t"."name" IS NULL),
    count(*) FILTER (WHERE char_length("t"."name"::text) > 24)
FROM "public"."jobs" AS t
WHERE TRUE;

-- all
SELECT count(*) FROM "public"."jobs" AS t WHERE "t"."source"::text IS DISTINCT FROM 'M';

-- lost references
SELECT ARRAY["t"."org_id"::text], count(*)
FROM "public"."jobs" AS t
WHERE "t"."source"::text IS DISTINCT FROM 'M' AND "t"."org_id" IS NOT NULL AND "t"."org_id"::text <> '0' AND NOT EXISTS (SELECT FROM "public"."orgs" AS p WHERE "p"."org_id" OPERATOR(pg_catalog.=) "t"."org_id")
GROUP BY 1;

-- missing there
SELECT v.place::integer - 1
FROM jsonb_array_elements(%(values)s) WITH ORDINALITY AS v (texts, place)
WHERE NOT EXISTS (SELECT FROM "public"."orgs" AS p WHERE p."org_id"::numeric = (v.texts ->> 0)::numeric);

-- clashes
SELECT coalesce(sum(g.rows) FILTER (WHERE g.contents > 1), 0)::bigint,
    coalesce(sum(g.rows - 1) FILTER (WHERE g.contents = 1), 0)::bigint
FROM (
    SELECT count(*) AS rows, count(DISTINCT md5((CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0)) <= 134217728 THEN ROW("t"."name", "t"."boss")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0)), "t"."boss")::text END))) AS contents
    FROM "public"."jobs" AS t
    WHERE "t"."source"::text IS DISTINCT FROM 'M' AND "t"."org_id" IS NOT NULL AND "t"."job_id" IS NOT NULL
    GROUP BY "t"."org_id", "t"."job_id"
    HAVING count(*) > 1
) AS g;

-- copies
SELECT count(*) - count(DISTINCT md5((CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0)) <= 134217728 THEN ROW("t"."org_id", "t"."name")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0)), "t"."org_id")::text END))) FROM "public"."jobs" AS t WHERE "t"."source"::text IS DISTINCT FROM 'M';

-- twins
SELECT coalesce(sum(least(g.phone, g.desktop)), 0)::bigint
FROM (
    SELECT count(*) FILTER (WHERE "t"."source"::text = 'M') AS phone, count(*) FILTER (WHERE "t"."source"::text = 'D') AS desktop
    FROM "public"."jobs" AS t
    WHERE ("t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT FALSE
    GROUP BY md5((CASE WHEN (coalesce(octet_length("t"."secret")::bigint, 0)) <= 134217728 THEN ROW("t"."org_id", "t"."job_id", "t"."name", "t"."boss", "t"."client", "t"."secret")::text ELSE ROW((coalesce(octet_length("t"."secret")::bigint, 0)), "t"."org_id", "t"."job_id", "t"."name", "t"."boss", "t"."client")::text END))
) AS g;

-- highest
SELECT max("job_id")::numeric FROM "public"."jobs";

