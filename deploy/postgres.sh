#!/bin/sh
# Starts PostgreSQL as its image does. As soon as it answers, the role and the database `ballot` are made if they are
# missing and the role gets the password of the secret: a new secret becomes the password at the next start. The
# superuser's password is taken away: it is reached through the socket inside this container and by no network.
set -eu

role() {
    psql --quiet --no-psqlrc --username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 <<'SQL'
\set password `cat "$POSTGRES_PASSWORD_FILE"`
set log_statement = 'none';
set log_min_error_statement = 'panic';
select 'create role ballot login' where not exists (select from pg_roles where rolname = 'ballot') \gexec
alter role ballot password :'password';
select 'create database ballot owner ballot' where not exists (select from pg_database where datname = 'ballot') \gexec
alter role postgres password null;
SQL
}

# While the image sets up a new folder, a server without a network answers first and is stopped again: not that one.
(
    until [ "$(sed -n 6p "$PGDATA/postmaster.pid" 2>/dev/null)" = "*" ] && role 2>/dev/null; do
        sleep 1
    done
) &

exec docker-entrypoint.sh postgres "$@"
