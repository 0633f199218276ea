-- Claim the organisations that are not claimed. Of two concurrent runs the second waits, and then finds them claimed.
INSERT INTO powerca_sync.office (org_id, office)
SELECT org.id, %(office)s
FROM unnest(%(orgs)s::text[]) AS org (id)
WHERE NOT EXISTS (SELECT FROM powerca_sync.office AS o WHERE o.org_id = org.id)
ORDER BY org.id
ON CONFLICT (org_id) DO NOTHING
