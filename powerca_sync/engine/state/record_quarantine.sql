-- Replace the table's quarantine by the rows that this run rejected. Unchanged entries are not written.
WITH found AS (
    SELECT r.*, md5(ROW (r.*)::text) AS fingerprint, row_number() OVER (PARTITION BY ROW (r.*)::text) AS occurrence
    FROM pg_temp.powerca_rejected AS r
), closed AS (
    DELETE FROM powerca_sync.quarantine AS q
    WHERE q.office = %(office)s AND q.table_name = %(table)s
        AND NOT EXISTS (SELECT FROM found AS f WHERE (f.fingerprint, f.occurrence) = (q.fingerprint, q.occurrence))
), opened AS (
    INSERT INTO powerca_sync.quarantine
        (office, table_name, fingerprint, occurrence, reason, column_name, value, parent, message, key, image)
    SELECT %(office)s, %(table)s, f.fingerprint, f.occurrence, f.reason, f.column_name, f.value, f.parent, f.message,
        f.key, f.image
    FROM found AS f
    WHERE NOT EXISTS (
        SELECT FROM powerca_sync.quarantine AS q
        WHERE q.office = %(office)s AND q.table_name = %(table)s
            AND (q.fingerprint, q.occurrence) = (f.fingerprint, f.occurrence)
    )
    RETURNING 1
)
SELECT count(*) FROM opened
