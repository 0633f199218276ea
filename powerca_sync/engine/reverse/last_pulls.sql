-- The digest recorded by the last reverse run of each wanted table, in the given order.
SELECT pull.digest
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN powerca_sync.pulls AS pull ON pull.table_name = wanted.name
ORDER BY wanted.place
