#!/bin/sh
# What postgres.md says about setting up, for a database that is there already: once, when it is empty.
exec psql --set=ON_ERROR_STOP=1 --no-psqlrc --quiet --username="${POSTGRES_USER:-postgres}" --dbname="$POSTGRES_DB" \
    --set=writer="$POSTGRES_PASSWORD" --set=reader="$READER_PASSWORD" --set=database="$POSTGRES_DB" <<'SQL'
CREATE ROLE argus LOGIN PASSWORD :'writer';
CREATE ROLE grafana LOGIN PASSWORD :'reader' CONNECTION LIMIT 10;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO argus;
GRANT CONNECT ON DATABASE :"database" TO grafana;
CREATE SCHEMA argus AUTHORIZATION argus;
GRANT USAGE ON SCHEMA argus TO grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE argus IN SCHEMA argus GRANT SELECT ON TABLES TO grafana;
SQL
