-- Let this desktop take the place of those that have its organisations, and of one that has no table of organisations. What is remembered of their tables is forgotten:
-- marks say nothing about another source, and the full runs that follow find anew what belongs in quarantine.
WITH replaced AS (
    SELECT DISTINCT o.office FROM powerca_sync.office AS o WHERE (o.org_id = ANY (%(orgs)s) OR o.org_id = '*') AND o.office <> %(office)s
), forgotten AS (
    DELETE FROM powerca_sync.table_state AS t WHERE t.office IN (SELECT r.office FROM replaced AS r)
), emptied AS (
    DELETE FROM powerca_sync.quarantine AS q WHERE q.office IN (SELECT r.office FROM replaced AS r)
)
UPDATE powerca_sync.office AS o SET office = %(office)s, claimed_at = now()
WHERE (o.org_id = ANY (%(orgs)s) OR o.org_id = '*') AND o.office <> %(office)s
