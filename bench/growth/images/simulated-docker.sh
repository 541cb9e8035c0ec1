#!/bin/bash
# Stands before the docker command of a simulated host. All of them share one engine, and a rollout refuses one machine under two
# names: so `docker info` tells an ID of this host's own. Nothing else is changed.
if [ "${1:-}" = info ]; then
    set -o pipefail
    /usr/bin/docker "$@" | sed "s/^{\"ID\":\"[^\"]*\"/{\"ID\":\"$(cat /etc/simulated-engine-id)\"/"
else
    exec /usr/bin/docker "$@"
fi
