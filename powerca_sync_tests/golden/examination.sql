-- empty
"t"."name" IS NULL;

-- too long
char_length("t"."name"::text) > 24;

-- too long but for padding
char_length(rtrim("t"."name"::text, ' ')) > 24;

-- of a phone
"t"."source"::text = 'M';

-- of nobody we know
"t"."source"::text <> ALL ('{D,M,S}');

-- ours, or of no known office
("t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')) IS NOT FALSE;

-- rows
SELECT count(*),
    count(*) FILTER (WHERE "t"."name" IS NULL),
    count(*) FILTER (WHERE char_length("t"."name"::text) > 24)
FROM "public"."jobs" AS t
WHERE TRUE;

-- copies
SELECT count(*), count(*) - count(DISTINCT md5((CASE WHEN (coalesce(octet_length("t"."name")::bigint, 0)) <= 134217728 THEN ROW("t"."org_id", "t"."name")::text ELSE ROW((coalesce(octet_length("t"."name")::bigint, 0)), "t"."org_id")::text END))) FROM "public"."jobs" AS t WHERE "t"."source"::text IS DISTINCT FROM 'M';

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

