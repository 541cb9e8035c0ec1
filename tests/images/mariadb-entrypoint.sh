#!/bin/sh
# Makes the data directory at the first start, as the official image does, then becomes the server.
set -eu
: "${MARIADB_ROOT_PASSWORD:?set it in the environment of the container}"
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
    mariadb-install-db --datadir="$data" --skip-test-db --auth-root-authentication-method=normal >/dev/null
    mariadbd --datadir="$data" --bootstrap <<SQL
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
CREATE USER root@'%' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS \`${MARIADB_DATABASE:-app}\`;
SQL
fi
exec mariadbd --datadir="$data" --bind-address=0.0.0.0
