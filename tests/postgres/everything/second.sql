-- a database without the schema public and without plpgsql
SET default_transaction_read_only = off;
DROP SCHEMA public CASCADE;
CREATE SCHEMA own AUTHORIZATION admin;
CREATE TABLE own."café" (a text);
INSERT INTO own."café" VALUES ('ä');
COMMENT ON TABLE own."café" IS 'naïve';
DROP EXTENSION plpgsql;
