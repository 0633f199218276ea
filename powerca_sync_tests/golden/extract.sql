-- everything
COPY (
    SELECT "s"."org_id", trim_scale("s"."job_id"), CASE WHEN z.bytes <= 8388608 THEN "s"."name" END, "s"."boss", CASE WHEN z.bytes <= 8388608 THEN "s"."secret" END, "s"."job_id"::text, CASE WHEN z.bytes <= 8388608 THEN "s"."name"::text END, coalesce("s"."source"::text = 'M', false), CASE WHEN z.bytes > 8388608 THEN z.bytes END
    FROM "public"."jobs" AS s
    CROSS JOIN LATERAL (SELECT (coalesce(octet_length("s"."name")::bigint, 0) + coalesce(octet_length("s"."secret")::bigint, 0)) AS bytes OFFSET 0) AS z
    WHERE TRUE
) TO STDOUT;

-- the ledger
COPY (
    SELECT "s"."org_id", trim_scale("s"."job_id"), CASE WHEN "s"."ledger:bytes" <= 33554432 THEN "s"."name" END, "s"."boss", CASE WHEN "s"."ledger:bytes" <= 33554432 THEN "s"."secret" END, "s"."job_id"::text, CASE WHEN "s"."ledger:bytes" <= 33554432 THEN "s"."name"::text END, coalesce("s"."source"::text = 'M', false)
    FROM (SELECT ("l".image ->> 'org_id')::int4 AS "org_id", ("l".image ->> 'job_id')::numeric AS "job_id", ("l".image ->> 'name')::text AS "name", ("l".image ->> 'boss')::int4 AS "boss", ("l".image ->> 'secret')::text AS "secret", ("l".image ->> 'source')::bpchar AS "source", "l"."mobile_key" AS "ledger:mobile_key", "l"."born" AS "ledger:born", "l"."id" AS "ledger:id", CASE WHEN pg_column_size("l"."image") > 32768 THEN pg_column_size(ROW("l"."image"))::bigint ELSE 0 END AS "ledger:bytes" FROM powerca_sync.pulled AS l WHERE l.table_name = 'jobs' AND l.gone_at IS DISTINCT FROM '-infinity') AS s
    WHERE TRUE
) TO STDOUT;

-- by row version
age(s.xmin) <= age(('5')::text::xid);

-- by stamp
"s"."updated_at" > least(('2025-11-30T00:00:00+00:00')::timestamptz::timestamp, (('2025-11-30T00:00:00+00:00')::timestamptz AT TIME ZONE 'UTC') + (localtimestamp - (now() AT TIME ZONE 'UTC')))::timestamp OR "s"."updated_at" IS NULL;

-- with all of a key
ROW("s"."org_id"::text, "s"."job_id"::text)::text IN (SELECT ROW("s"."org_id"::text, "s"."job_id"::text)::text FROM "public"."jobs" AS s WHERE TRUE);

-- out of quarantine
ROW("s"."org_id"::text, "s"."job_id"::text)::text IN (SELECT ROW("k"."org_id"::text, "k"."job_id"::text)::text FROM (VALUES ('1'::text, '5.00'::text), (NULL::text, 'it''s'::text)) AS k ("org_id", "job_id"));

