#!/bin/sh
# Once, when the database is made: a role and a schema per owner, and no right on another's.
set -eu

for owner in auth history; do
	psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
		-v owner="$owner" -v role="imsg_$owner" -v password="$(cat "/run/imsg/${owner}_db_password")" <<-'SQL'
			CREATE ROLE :"role" LOGIN PASSWORD :'password';
			CREATE SCHEMA :"owner" AUTHORIZATION :"role";
			ALTER ROLE :"role" SET search_path = :"owner";
			GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
		SQL
done

psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<-'SQL'
	REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
	REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
