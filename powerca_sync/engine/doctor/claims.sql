-- Which of these organisations another desktop has.
SELECT o.org_id, o.office
FROM powerca_sync.office AS o
WHERE o.org_id = ANY (%(orgs)s) AND o.office <> %(office)s
ORDER BY o.org_id
