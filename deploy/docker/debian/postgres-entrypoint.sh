#!/bin/sh
# Makes the cluster at the first start, as the official image does, then becomes the server.
set -eu
PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"
data=/var/lib/postgresql/data/cluster
user=${POSTGRES_USER:-postgres}
if [ ! -s "$data/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD is missing: set it in the environment of the container." >&2
        exit 1
    fi
    password=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" > "$password"
    initdb --pgdata "$data" --username "$user" --pwfile "$password" --auth-host scram-sha-256 --auth-local trust \
        --encoding UTF8 --locale C.UTF-8 >/dev/null
    rm -f "$password"
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    pg_ctl --pgdata "$data" --options "-c listen_addresses=''" --wait start >/dev/null
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        createdb --username "$user" --maintenance-db postgres "${POSTGRES_DB:-$user}"
    fi
    pg_ctl --pgdata "$data" --mode fast --wait stop >/dev/null
fi
exec postgres -D "$data" -c listen_addresses='*'
