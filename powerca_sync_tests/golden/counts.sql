-- count rows
SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(n) FILTER (WHERE o.owner = 'D'), 0)::bigint, coalesce(sum(n) FILTER (WHERE o.owner IS NULL OR o.owner NOT IN ('D', 'M')), 0)::bigint, coalesce(sum(n) FILTER (WHERE o.owner = 'M'), 0)::bigint, coalesce(sum(written), 0)::bigint
FROM (
    SELECT "t"."source"::text AS owner, count(*) AS n, count(*) FILTER (WHERE "t"."source"::text = 'M' AND CASE WHEN age(t.xmin) <= age(pg_current_xact_id_if_assigned()::xid) THEN pg_xact_status(((SELECT pg_current_xact_id_if_assigned()::text::bigint) + mod(t.xmin::text::bigint - mod((SELECT pg_current_xact_id_if_assigned()::text::bigint), 4294967296) + 4294967296, 4294967296))::text::xid8) = 'in progress' ELSE FALSE END) AS written
    FROM "public"."jobs" AS t
    WHERE ("t"."source"::text IS DISTINCT FROM 'M' AND "t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}') OR "t"."source"::text = 'M' AND ("t"."org_id" = ANY ('{"1","2"}') OR "t"."org_id" IS NULL) AND coalesce("t"."org_id" = ANY ('{"1","2"}'), TRUE))
    GROUP BY 1
) AS o;

-- count writes
WITH RECURSIVE parts AS (
    SELECT 2::oid AS part
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN parts AS p ON p.part = i.inhparent
)
SELECT sum(
    pg_stat_get_xact_tuples_inserted(p.part)
    + pg_stat_get_xact_tuples_updated(p.part)
    + pg_stat_get_xact_tuples_deleted(p.part)
)::bigint
FROM parts AS p;

