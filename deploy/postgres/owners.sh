#!/bin/sh
# Once, when the cluster is made: one database, a role and a schema per owner, and no right on another's.
set -eu

ask() { # ask DATABASE [-v NAME=VALUE]...: SQL from standard input
	database=$1
	shift
	psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$database" "$@"
}

# UTF-8 and an order of bytes, whatever locale the image was made with: indexes then outlive an upgrade of the image.
ask postgres <<-'SQL'
	CREATE DATABASE imsg ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C' TEMPLATE template0;
	REVOKE ALL ON DATABASE imsg, postgres, template1 FROM PUBLIC;
SQL

ask imsg <<-'SQL'
	REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL

for owner in auth history wechat; do
	password=$(cat "/run/imsg/${owner}_db_password")
	ask imsg -v owner="$owner" -v role="imsg_$owner" -v password="$password" <<-'SQL'
		CREATE ROLE :"role" LOGIN PASSWORD :'password';
		CREATE SCHEMA :"owner" AUTHORIZATION :"role";
		ALTER ROLE :"role" SET search_path = :"owner";
		GRANT CONNECT ON DATABASE imsg TO :"role";
	SQL
done
