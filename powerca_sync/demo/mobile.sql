-- The mobile schema in the cloud: the tables that the sync fills, and three of the app's own.
-- `source` names the owner of a row; its default is the desktop, so that the app writes 'M' in each row it inserts.
-- Foreign keys exist where the office's data satisfies them. There are none for the concern of a client or employee
-- (most are 0 or NULL), the client of a job (a sixth of the jobs reference deleted clients), any job number (it is not
-- unique), any task number (the table of tasks is empty), or the employees of a reminder.

CREATE TABLE orgmaster (
    org_id numeric(3) PRIMARY KEY,
    orgname varchar(100),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE locmaster (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    loc_id numeric(3) PRIMARY KEY,
    locname varchar(100),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

-- `org_id` may be NULL, unlike elsewhere: the administrator's row 0 ("none") belongs to no organisation, and exists
-- before the first organisation.
CREATE TABLE conmaster (
    org_id numeric(3) REFERENCES orgmaster,
    con_id integer PRIMARY KEY,
    conname varchar(60),
    conmail varchar(60),
    conphone varchar(25),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE climaster (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    client_id numeric(7) PRIMARY KEY,
    clientname varchar(80),
    clientmail varchar(60),
    clientphone varchar(25),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE cliunimaster (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    client_id numeric(7) REFERENCES climaster,
    cliunit_id numeric(7) PRIMARY KEY,
    cliunitname varchar(80),
    cliunitadd1 varchar(50),
    cliunitadd2 varchar(50),
    cliunitcity varchar(50),
    cliunitpin varchar(8),
    cliunitstate varchar(35),
    cliunitcountry varchar(35),
    clientgeolocation varchar(100),
    cliunitmail varchar(40),
    cliunitphone varchar(25),
    cliunitcontactname varchar(60),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE taskmaster (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    task_id numeric(7) PRIMARY KEY,
    task_desc varchar(40),
    task_status numeric(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE jobmaster (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    job_id numeric(10) PRIMARY KEY,
    jobdesc varchar(100),
    jobstatus char(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE TABLE mbstaff (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer NOT NULL,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    staff_id numeric(8) PRIMARY KEY,
    app_username varchar(50),
    app_pw varchar(50),
    stafftype numeric(1),
    name varchar(50),
    phonumber varchar(30),
    dob date,
    email varchar(50),
    whetherca varchar(10),
    ca_mem_no varchar(10),
    desc_id numeric(8),
    spdoj date,
    createdby varchar(15),
    createddate date,
    suspendedby varchar(15),
    suspendeddate date,
    revokedby varchar(15),
    revokeddate date,
    terminatedby varchar(15),
    terminateddate date,
    active_status numeric(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX ON mbstaff (email);
CREATE INDEX ON mbstaff (active_status);

-- The last two columns were added long after the others.
CREATE TABLE jobshead (
    id bigserial PRIMARY KEY,
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer NOT NULL,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    job_id numeric(10) NOT NULL,
    year_id numeric(8),
    client_id numeric(7) NOT NULL,
    jobdate date,
    targetdate date,
    job_nature char(1),
    work_desc varchar(100),
    worklocation varchar(15),
    act_man_min numeric(10),
    drivefolderpath varchar(100),
    drivefolderkey varchar(100),
    job_status char(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    job_uid varchar(25),
    sporg_id numeric(8)
);
CREATE INDEX ON jobshead (client_id);
CREATE INDEX ON jobshead (jobdate);
CREATE INDEX ON jobshead (job_status);

-- `client_id` has no counterpart on the desktop: the sync looks it up in jobshead.
CREATE TABLE jobtasks (
    jt_id bigserial PRIMARY KEY,
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    job_id numeric(10),
    year_id numeric(8),
    task_id numeric(7),
    client_id numeric(7),
    taskorder numeric(10),
    task_desc varchar(40),
    jobdet_man_hrs numeric(8, 2),
    actual_man_hrs time,
    actual_man_min numeric(10),
    checklistlinked char(1),
    createdby varchar(15),
    createddate date,
    task_status numeric(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX ON jobtasks (job_id);
CREATE INDEX ON jobtasks (task_id);

CREATE TABLE taskchecklist (
    tc_id bigserial PRIMARY KEY,
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    task_id numeric(7),
    checklistdesc varchar(100),
    applicable varchar(15),
    formatdoc varchar(15),
    completedby varchar(15),
    completeddate date,
    comments varchar(100),
    checkliststatus numeric(1),
    job_id integer,
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

CREATE SEQUENCE workdiary_wd_id_seq;
CREATE TABLE workdiary (
    wd_id numeric(8) PRIMARY KEY DEFAULT nextval('workdiary_wd_id_seq'),
    org_id numeric(3) REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) REFERENCES locmaster,
    staff_id numeric(8) REFERENCES mbstaff,
    client_id numeric(7),
    cma_id numeric(5),
    job_id numeric(10),
    recper_id numeric(10),
    task_id numeric(7),
    date date,
    timefrom time,
    timeto time,
    minutes numeric(4),
    tasknotes varchar(200),
    attachment char(1),
    doc_ref text,
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
ALTER SEQUENCE workdiary_wd_id_seq OWNED BY workdiary.wd_id;
CREATE INDEX ON workdiary (staff_id);
CREATE INDEX ON workdiary (date);
CREATE INDEX ON workdiary (job_id);

CREATE TABLE reminder (
    rem_id numeric(8) PRIMARY KEY,
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    year_id numeric(9) NOT NULL,
    staff_id numeric(8) NOT NULL,
    remdate date,
    client_id numeric(7),
    client_name varchar(80),
    remtype varchar(30),
    remnotes varchar(100),
    remduedate date,
    user_create varchar(15),
    user_modify varchar(15),
    user_create_dt date,
    user_modify_dt date,
    remtotype char(1),
    remstatus numeric(1),
    remtime time,
    remtitle varchar(100),
    color integer,
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX ON reminder (staff_id);
CREATE INDEX ON reminder (remduedate);
CREATE INDEX ON reminder (remstatus);

CREATE TABLE remdetail (
    remdetid numeric(8) PRIMARY KEY,
    rem_id numeric(8) REFERENCES reminder,
    staff_id numeric(8),
    remresponse varchar(150),
    remresstatus char(1),
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

-- The phone generates the id: the milliseconds of its clock, modulo 100 000.
CREATE TABLE learequest (
    org_id numeric(3) NOT NULL REFERENCES orgmaster,
    con_id integer REFERENCES conmaster,
    loc_id numeric(3) NOT NULL REFERENCES locmaster,
    learequest_id numeric(5) PRIMARY KEY,
    staff_id numeric(8) NOT NULL REFERENCES mbstaff,
    requestdate date,
    fromdate date,
    todate date,
    fhvalue char(2),
    shvalue char(2),
    leavetype char(2),
    leaveremarks varchar(50),
    createdby varchar(15),
    createddate date,
    approval_status char(1),
    approvedby varchar(30),
    approveddate date,
    source char(1) DEFAULT 'D',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

-- Supabase sets `updated_at` to its own clock on each update, whatever the writer sends.
CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

DO $$
DECLARE
    stamped name;
BEGIN
    FOR stamped IN
        SELECT table_name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'updated_at'
    LOOP
        EXECUTE format(
            'CREATE TRIGGER set_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION set_updated_at()', stamped
        );
    END LOOP;
END
$$;

-- Tables of the app. Deleting an employee ends their session, so a sync that deletes and reinserts staff ends them all.
CREATE TABLE staff_sessions (
    session_id bigserial PRIMARY KEY,
    staff_id numeric(8) NOT NULL REFERENCES mbstaff ON DELETE CASCADE,
    device_id varchar(40) NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE login_requests (
    request_id bigserial PRIMARY KEY,
    staff_id numeric(8) NOT NULL REFERENCES mbstaff ON DELETE CASCADE,
    device_id varchar(40) NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'pending',
    requested_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE staff_devices (
    device_id varchar(40) PRIMARY KEY,
    staff_id numeric(8),
    platform varchar(10),
    added_at timestamptz NOT NULL DEFAULT now()
);
