-- Whether two names mean one zone: the time there at midwinter and at midsummer.
SELECT
    '2025-01-15 12:00+00'::timestamptz AT TIME ZONE %(ours)s = '2025-01-15 12:00+00'::timestamptz AT TIME ZONE %(theirs)s
    AND '2025-07-15 12:00+00'::timestamptz AT TIME ZONE %(ours)s
        = '2025-07-15 12:00+00'::timestamptz AT TIME ZONE %(theirs)s
