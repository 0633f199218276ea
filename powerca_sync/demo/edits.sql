-- A day of edits on the desktop between two runs. Each statement returns the rows that it changed. The rows are picked
-- by their content, so that the same office always gets the same edits, and a second day new ones.

-- 1. Two clients change their names.
UPDATE climaster AS client
SET clientname = renamed.clientname || ' (India)'
FROM (
    SELECT ctid, clientname FROM climaster
    WHERE loc_id = 1 AND clientname NOT LIKE '% (India)' AND length(clientname) <= 72
    ORDER BY client_id
    LIMIT 2
) AS renamed
WHERE client.ctid = renamed.ctid
RETURNING client.client_id::integer, renamed.clientname, client.clientname;

-- 2. Five rows of the newest jobs get a later target date.
UPDATE jobshead
SET targetdate = targetdate + 14
WHERE ctid IN (SELECT ctid FROM jobshead WHERE loc_id = 1 ORDER BY job_id DESC, sporg_id LIMIT 5)
RETURNING job_id::integer, sporg_id::integer;

-- 3. A new job for the first client, assigned to the first two employees.
INSERT INTO jobshead (
    org_id, con_id, loc_id, job_id, year_id, client_id, jobdate, targetdate, job_nature, work_desc, job_status,
    jctincharge, job_uid, sporg_id, source
)
SELECT
    client.org_id, coalesce(client.con_id, 0), client.loc_id, job.next_id, 20252026, client.client_id,
    '2025-10-28', '2025-11-30', 'C', 'Project report for bank, term loan', 'W',
    CASE person.place WHEN 1 THEN 'Y' ELSE 'N' END, job.next_id || '-001', person.staff_id, 'D'
FROM (SELECT * FROM climaster WHERE loc_id = 1 ORDER BY client_id LIMIT 1) AS client
CROSS JOIN (SELECT max(job_id) + 1 AS next_id FROM jobshead) AS job
CROSS JOIN (
    SELECT staff_id, row_number() OVER (ORDER BY staff_id) AS place FROM mbstaff ORDER BY staff_id LIMIT 2
) AS person
RETURNING job_id::integer, sporg_id::integer;

-- 4. Its tasks.
INSERT INTO jobtasks (
    org_id, con_id, loc_id, job_id, year_id, task_id, taskorder, task_desc, jobdet_man_hrs, checklistlinked, source
)
SELECT
    job.org_id, job.con_id, job.loc_id, job.job_id, job.year_id, task.task_id, task.taskorder, task.task_desc,
    task.hours, 'N', 'D'
FROM (SELECT * FROM jobshead ORDER BY job_id DESC, sporg_id LIMIT 1) AS job
CROSS JOIN (
    VALUES (13, 1, 'Collect trial balance', 1.50), (40, 2, 'Draft financial statements', 6.00), (49, 3, 'Fee note', 0.25)
) AS task (task_id, taskorder, task_desc, hours)
RETURNING task_id::integer;

-- 5. Three employees are removed from the largest job.
DELETE FROM jobshead
WHERE ctid IN (
    SELECT ctid FROM jobshead
    WHERE job_id = (SELECT job_id FROM jobshead GROUP BY job_id ORDER BY count(*) DESC, job_id LIMIT 1)
    ORDER BY sporg_id DESC
    LIMIT 3
)
RETURNING job_id::integer, sporg_id::integer;

-- 6. Two reminders are postponed by a week.
UPDATE mbreminder
SET remduedate = remduedate + 7, remstatus = 1 - remstatus
WHERE ctid IN (SELECT ctid FROM mbreminder ORDER BY rem_id LIMIT 2)
RETURNING rem_id::integer;

-- 7. A new reminder.
INSERT INTO mbreminder (
    rem_id, org_id, loc_id, year_id, staff_id, remdate, client_id, remtype, remnotes, remduedate, user_create,
    user_create_dt, remtotype, remstatus, remtime, remtitle, color, source
)
SELECT
    (SELECT max(rem_id) + 1 FROM mbreminder), person.org_id, person.loc_id, 20252026, person.staff_id, '2025-10-28', 0,
    'Client', 'Bring the draft report', '2025-11-05', person.staff_id, '2025-10-28', 'S', 0, '10:30', 'Client meeting',
    255, 'D'
FROM (SELECT * FROM mbstaff ORDER BY staff_id LIMIT 1) AS person
RETURNING rem_id::integer;
