-- What the catalog has under the name of a function, and the role's rights to call it.
SELECT
    n.oid IS NOT NULL AS has_schema,
    count(p.oid) > 0 AS has_name,
    count(p.oid) FILTER (WHERE p.pronargs = 0) > 0 AS takes_no_arguments,
    coalesce(bool_or(p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype))
        FILTER (WHERE p.pronargs = 0), false) AS is_plain,
    -- RETURNS record without OUT parameters.
    coalesce(bool_or(p.prorettype = 'record'::regtype AND p.proargmodes IS NULL)
        FILTER (WHERE p.pronargs = 0), false) AS lacks_columns,
    coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS usage,
    coalesce(bool_or(has_function_privilege(p.oid, 'EXECUTE')) FILTER (WHERE p.pronargs = 0), false) AS execute
FROM (SELECT) AS nothing
LEFT JOIN pg_namespace AS n ON n.nspname = %(schema)s
LEFT JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = %(name)s
GROUP BY n.oid
