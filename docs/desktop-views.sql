-- Example: views through which the sync reads the product's own tables, with mobile's column names.
--
-- With them the desktop needs no copies of these tables and no refresh: an edit in the product is a change of the view,
-- and the sensor `desktop_rows` sees it. Run this file once, as an administrator of the desktop's database:
--
--     psql -d enterprise_db -f desktop-views.sql
--
-- then name the views in `.env`, all on one line, and leave out those that you do not use:
--
--     POWERCA_DESKTOP_RELATIONS=conmaster=sync.v_conmaster,climaster=sync.v_climaster,jobshead=sync.v_jobshead
--
-- The right-hand sides are those of the product's views `v_...`, as far as they are known: compare them with yours
-- (`\d+ public.v_climaster`) and correct this file. A column that is left out is not synced: mobile keeps what it has.
-- `powerca-sync plan` shows what a run would change, before anything changes.
--
-- Not here: tables into which phones write (workdiary, learequest, reminder, remdetail). Reverse sync inserts into
-- tables, and what the product's function books from there may look different in the product's own tables.

CREATE SCHEMA IF NOT EXISTS sync;

CREATE OR REPLACE VIEW sync.v_conmaster AS
SELECT
    v.org_id,
    v.bfir_n_firmid AS con_id,
    v.bfir_s_name AS conname,
    v.bfir_s_email AS conmail,
    v.bfir_s_phone1 AS conphone
FROM public.v_conmaster AS v;

CREATE OR REPLACE VIEW sync.v_climaster AS
SELECT
    v.org_id,
    v.billfirm_id AS con_id,
    v.loc_id,
    v.client_id,
    v.client_name AS clientname,
    v.email AS clientmail,
    v.cell_no AS clientphone
FROM public.v_climaster AS v;

CREATE OR REPLACE VIEW sync.v_mbstaff AS
SELECT
    v.org_id,
    v.bfir_n_firmid AS con_id,
    v.loc_id,
    v.sporgid AS staff_id,
    v.userloginname AS app_username,
    v.userpassword AS app_pw,
    v.sptype AS stafftype,
    v.spfirname AS name,
    v.sasmsmobno AS phonumber,
    v.spdob AS dob,
    v.saemail AS email,
    v.prof_type AS whetherca,
    v.des_id AS desc_id,
    v.terminateddate_final AS terminateddate,
    v.active_status
FROM public.v_mbstaff AS v;

-- One row for each person assigned to a job. `job_uid`, `worklocation` and the columns of the drive are not in the
-- product's view; mobile keeps them.
CREATE OR REPLACE VIEW sync.v_jobshead AS
SELECT
    v.org_id,
    v.bfir_n_firmid AS con_id,
    v.loc_id,
    v.job_id,
    v.year_id,
    v.client_id,
    v.job_dt AS jobdate,
    v.target_dt AS targetdate,
    v.job_job_nature AS job_nature,
    v.job_work_desc AS work_desc,
    v.act_man_min,
    v.job_status,
    v.sporgid AS sporg_id
FROM public.v_jobshead AS v;

CREATE OR REPLACE VIEW sync.v_jobtasks AS
SELECT
    v.org_id,
    v.bfir_n_firmid AS con_id,
    v.loc_id,
    v.job_id,
    v.year_id,
    v.task_id,
    v.job_det_n_seq AS taskorder,
    v.task_desc,
    v.jobdet_man_hrs,
    v.actual_man_hrs,
    v.actual_man_min,
    v.task_checklist_appl AS checklistlinked
FROM public.v_jobtasks AS v;

-- Phones tick lines off: `checkliststatus` is written when a line is inserted on mobile, and never updated.
CREATE OR REPLACE VIEW sync.v_taskchecklist AS
SELECT
    v.org_id,
    v.loc_id,
    v.task_id,
    v.tcldesc AS checklistdesc,
    'Y'::varchar(15) AS applicable,
    v.activestatus AS checkliststatus
FROM public.v_taskchecklist AS v;

-- For a user of the sync other than the owner of these views, here `powerca`; the views read with their owner's rights.
-- GRANT USAGE ON SCHEMA sync TO powerca;
-- GRANT SELECT ON ALL TABLES IN SCHEMA sync TO powerca;
