-- Replace the desktops that have claimed this desktop's organisations, or that have no table of organisations. The state
-- of their tables is deleted: watermarks are meaningless for another source, and full runs fill the quarantine again.
WITH replaced AS (
    SELECT DISTINCT o.office FROM powerca_sync.office AS o WHERE (o.org_id = ANY (%(orgs)s) OR o.org_id = '*') AND o.office <> %(office)s
), forgotten AS (
    DELETE FROM powerca_sync.table_state AS t WHERE t.office IN (SELECT r.office FROM replaced AS r)
), cleared AS (
    DELETE FROM powerca_sync.failure AS f WHERE f.office IN (SELECT r.office FROM replaced AS r)
), emptied AS (
    DELETE FROM powerca_sync.quarantine AS q WHERE q.office IN (SELECT r.office FROM replaced AS r)
)
UPDATE powerca_sync.office AS o SET office = %(office)s, claimed_at = now()
WHERE (o.org_id = ANY (%(orgs)s) OR o.org_id = '*') AND o.office <> %(office)s
