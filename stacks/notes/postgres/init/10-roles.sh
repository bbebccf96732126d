psql -v ON_ERROR_STOP=1 -U postgres -d postgres <<'SQL'
\set password `cat /run/secrets/postgres_app`
CREATE ROLE "notes app" LOGIN PASSWORD :'password' CONNECTION LIMIT 40;
CREATE ROLE readers;
CREATE ROLE "Лена" LOGIN IN ROLE readers VALID UNTIL '2099-01-01';
ALTER ROLE "notes app" SET statement_timeout = '20s';
CREATE DATABASE "Журнал" OWNER "notes app" TEMPLATE template0 CONNECTION LIMIT 20;
ALTER DATABASE notes SET work_mem = '6MB';
ALTER ROLE "Лена" IN DATABASE "Журнал" SET search_path = "Größe", public;
COMMENT ON DATABASE "Журнал" IS 'it''s a journal';
SQL
