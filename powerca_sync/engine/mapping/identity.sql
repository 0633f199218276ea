-- Asked outside a transaction, with the search path of the role.
SELECT
    control.system_identifier::pg_catalog.text,
    pg_catalog.current_database()::pg_catalog.text,
    pg_catalog.current_setting('TimeZone')
FROM pg_catalog.pg_control_system() AS control
