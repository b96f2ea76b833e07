#!/bin/sh
# Makes the cluster when the container starts for the first time, and becomes the server. The
# superuser postgres has the password in POSTGRES_PASSWORD; arguments are those of `postgres`.
set -eu
: "${POSTGRES_PASSWORD:?is the password of the superuser postgres}"
if ! [ -f "$PGDATA/ready" ]; then
    umask 077
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata="$PGDATA" --username=postgres --pwfile=/tmp/password --auth=scram-sha-256 \
        --encoding=UTF8 --no-locale --no-sync
    : >/tmp/password
    echo "include '/postgres/settings.conf'" >>"$PGDATA/postgresql.conf"
    for database in all replication; do
        echo "host $database all all scram-sha-256"
    done >>"$PGDATA/pg_hba.conf"
    : >"$PGDATA/ready"
fi
exec postgres -D "$PGDATA" "$@"
