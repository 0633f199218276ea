-- Replace the table's quarantine by the rows that this run rejected. Unchanged entries keep their time.
WITH found AS (
    SELECT r.*, r.key ->> 'phone:key' AS mobile_key, r.key ->> 'phone:hash' AS content_hash,
        (r.key ->> 'phone:occurrence')::bigint AS occurrence
    FROM pg_temp.powerca_rejected AS r
), closed AS (
    DELETE FROM powerca_sync.quarantine AS q
    WHERE q.table_name = %(table)s
        AND NOT EXISTS (
            SELECT FROM found AS f
            WHERE (f.mobile_key, f.content_hash, f.occurrence) = (q.mobile_key, q.content_hash, q.occurrence)
        )
)
INSERT INTO powerca_sync.quarantine AS q
    (table_name, mobile_key, content_hash, occurrence, reason, column_name, value, parent, message, key, image, theirs,
    form)
SELECT %(table)s, f.mobile_key, f.content_hash, f.occurrence, f.reason, f.column_name, f.value, f.parent, f.message,
    f.key - ARRAY['phone:key', 'phone:hash', 'phone:occurrence'], f.image, f.theirs, f.form
FROM found AS f
ON CONFLICT (table_name, mobile_key, content_hash, occurrence) DO UPDATE SET
    reason = excluded.reason,
    column_name = excluded.column_name,
    value = excluded.value,
    parent = excluded.parent,
    message = excluded.message,
    key = excluded.key,
    image = excluded.image,
    theirs = excluded.theirs,
    form = excluded.form
WHERE (q.reason, q.column_name, q.value, q.parent, q.message, q.image, q.theirs, q.form)
    IS DISTINCT FROM (excluded.reason, excluded.column_name, excluded.value, excluded.parent, excluded.message,
        excluded.image, excluded.theirs, excluded.form)
