#!/bin/sh
# One database; a role and a schema for each service, without rights on the others'. The script creates what is missing
# and corrects what exists, so it may run again at any time, also on a cluster that is older than a service.
# For a server of your own: PGHOST, PGPASSWORD and POSTGRES_USER name it and its administrator, IMSG_SECRETS the folder
# that holds auth_db_password, history_db_password, callbacks_db_password, wechat_db_password, catalog_db_password and scheduler_db_password; its pg_hba.conf stays as it is.
set -eu
secrets=${IMSG_SECRETS:-/run/imsg}

# A server that is away, or goes in the middle, is waited for: psql says 2 to it, and each piece may be done twice.
patience=60

ask() { # ask DATABASE [-v NAME=VALUE]...: SQL from standard input
	database=$1
	shift
	sql=$(cat)
	while :; do
		code=0
		printf '%s\n' "$sql" | psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$database" "$@" || code=$?
		[ "$code" = 2 ] && [ "$patience" -gt 0 ] || return "$code"
		patience=$((patience - 1))
		sleep 1
	done
}

# UTF-8 and an order of bytes, whatever locale the image was made with: indexes then outlive an upgrade of the image.
ask postgres <<-'SQL'
	SET client_min_messages = warning;
	SELECT current_setting('server_version_num')::int >= 170000 AS has_builtin \gset
	SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'imsg') AS is_made \gset
	\if :is_made
	\elif :has_builtin
	CREATE DATABASE imsg ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C' TEMPLATE template0;
	\else
	CREATE DATABASE imsg ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
	\endif
	REVOKE ALL ON DATABASE imsg, postgres, template1 FROM PUBLIC;
SQL

ask imsg <<-'SQL'
	REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL

for service in auth history callbacks wechat catalog scheduler; do
	# Read by psql itself: what stands on its command line is every process' to read.
	IMSG_PASSWORD_FILE="$secrets/${service}_db_password"
	export IMSG_PASSWORD_FILE
	ask imsg -v service="$service" -v role="imsg_$service" <<-'SQL'
		\set password `cat "$IMSG_PASSWORD_FILE"`
		SET password_encryption = 'scram-sha-256';
		SET client_min_messages = warning;
		SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') AS is_made \gset
		\if :is_made
		\else
		CREATE ROLE :"role";
		\endif
		ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
		CREATE SCHEMA IF NOT EXISTS :"service" AUTHORIZATION :"role";
		ALTER ROLE :"role" SET search_path = :"service";
		GRANT CONNECT ON DATABASE imsg TO :"role";
	SQL
done

# The audit belongs to a role that nobody logs in as: history may read it and insert, and has what is older than
# IMSG_KEEP_AUDIT_DAYS removed by a function that removes nothing younger than a year, whatever that setting says.
# The columns are those of history's own table.
ask imsg <<-'SQL'
	SET client_min_messages = warning;
	SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'imsg_audit') AS is_made \gset
	\if :is_made
	\else
	CREATE ROLE imsg_audit NOLOGIN;
	\endif
	CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION imsg_audit;
	SET ROLE imsg_audit;
	CREATE TABLE IF NOT EXISTS audit.audit (
		id varchar(32) PRIMARY KEY, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL,
		target text NOT NULL, before text, after text, actor_id text, target_id text, key text, address text,
		request text
	);
	CREATE INDEX IF NOT EXISTS audit_by_age ON audit.audit (at DESC, id DESC);
	CREATE OR REPLACE FUNCTION audit.delete_old_audit(before timestamptz) RETURNS bigint
		LANGUAGE sql SECURITY DEFINER SET search_path = audit, pg_temp AS $body$
		WITH old AS (DELETE FROM audit.audit
			WHERE at < least(delete_old_audit.before, now() - interval '365 days') RETURNING 1)
		SELECT count(*) FROM old $body$;
	REVOKE ALL ON FUNCTION audit.delete_old_audit FROM PUBLIC;
	GRANT USAGE ON SCHEMA audit TO imsg_history;
	GRANT SELECT, INSERT ON audit.audit TO imsg_history;
	GRANT EXECUTE ON FUNCTION audit.delete_old_audit TO imsg_history;
	RESET ROLE;
	ALTER ROLE imsg_history SET search_path = history, audit;
SQL

# Over the network come these roles alone, and logins that are made members of them, to their database alone, by
# SCRAM. The administrator of the cluster comes through the socket inside the container, where upkeep is done.
if [ -n "${PGDATA:-}" ]; then
	cat >"$PGDATA/pg_hba.conf" <<-EOF
		# TYPE DATABASE USER ADDRESS METHOD
		local all $POSTGRES_USER trust
		local imsg +imsg_auth,+imsg_history,+imsg_callbacks,+imsg_wechat,+imsg_catalog,+imsg_scheduler scram-sha-256
		host imsg +imsg_auth,+imsg_history,+imsg_callbacks,+imsg_wechat,+imsg_catalog,+imsg_scheduler all scram-sha-256
	EOF
	echo 'SELECT pg_reload_conf() \g /dev/null' | ask postgres
fi
