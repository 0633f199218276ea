-- Claim the organisations that nobody has. Two runs may do so at once: the later one waits, and then finds them claimed.
INSERT INTO powerca_sync.office (org_id, office)
SELECT org.id, %(office)s
FROM unnest(%(orgs)s::text[]) AS org (id)
WHERE NOT EXISTS (SELECT FROM powerca_sync.office AS o WHERE o.org_id = org.id)
ORDER BY org.id
ON CONFLICT (org_id) DO NOTHING
