-- rights on parameters, which there are since 15
GRANT SET ON PARAMETER log_min_messages TO app;
GRANT ALTER SYSTEM ON PARAMETER work_mem TO readers;
