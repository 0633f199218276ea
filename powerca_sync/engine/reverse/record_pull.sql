INSERT INTO powerca_sync.pulls AS p
    (table_name, columns, content_form, key_form, digest, alone, state, findings, run_id, pulled_at, own_writes, unbooked)
VALUES (%(table)s, %(columns)s, %(content_form)s, %(key_form)s, %(digest)s, %(alone)s, %(state)s,
    %(findings)s, %(run)s, now(), %(own_writes)s, %(pulled)s)
ON CONFLICT (table_name) DO UPDATE SET
    columns = excluded.columns,
    content_form = excluded.content_form,
    key_form = excluded.key_form,
    digest = excluded.digest,
    alone = excluded.alone,
    state = excluded.state,
    findings = excluded.findings,
    run_id = excluded.run_id,
    pulled_at = excluded.pulled_at,
    own_writes = p.own_writes + excluded.own_writes,
    unbooked = p.unbooked + excluded.unbooked
