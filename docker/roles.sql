-- The database, its owner, and the role for SQL users. The postgres image runs this once, when its data folder is new.
-- Neither role is a superuser. The migrations grant the reader's rights.
\getenv owner_password TRACEMILL_PASSWORD
\getenv reader_password READER_PASSWORD

create role tracemill login password :'owner_password';
create role tracemill_reader login password :'reader_password';
create database tracemill owner tracemill;
revoke all on database tracemill, postgres, template1 from public;
grant connect on database tracemill to tracemill_reader;
