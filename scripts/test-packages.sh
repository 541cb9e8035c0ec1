#!/usr/bin/env bash
# What the tests need of the distribution: PostgreSQL's server.
. scripts/common.sh
if compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; then exit 0; fi
apt_install postgresql
