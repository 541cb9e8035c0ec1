#!/usr/bin/env bash
# Packages of the distribution that the tests need: PostgreSQL's server, and the registry whose client is tested.
. scripts/common.sh
compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || apt_install postgresql
# Unpacked, and not installed: its package starts a service on port 5000.
registry=$cache/registry
[ ! -x "$registry/usr/bin/docker-registry" ] || exit 0
say "Unpacking docker-registry into $registry"
mkdir -p "$registry"
# Where there is none, its tests are skipped.
(cd "$registry" && apt-get download -qq docker-registry && dpkg-deb --extract ./docker-registry_*.deb . && rm ./docker-registry_*.deb) ||
    say "No package docker-registry could be had: the tests with a real registry are skipped."
