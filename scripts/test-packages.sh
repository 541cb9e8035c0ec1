#!/usr/bin/env bash
# What the tests need of the distribution: PostgreSQL's server.
. scripts/common.sh
if compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null; then exit 0; fi
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql > /dev/null
