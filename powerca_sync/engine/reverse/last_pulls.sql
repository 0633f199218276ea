-- What the last pull of each wanted table recorded, in the order asked.
SELECT pull.digest
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN powerca_sync.pulls AS pull ON pull.table_name = wanted.name
ORDER BY wanted.place
