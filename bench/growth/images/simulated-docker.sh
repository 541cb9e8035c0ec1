#!/bin/bash
# Stands before the docker command of a simulated host. All of them share one engine, and a rollout refuses one machine under two
# names: so the engine's API, over `docker system dial-stdio`, tells an ID of this host's own, as long as the real one, since the
# length of an answer comes before it. Nothing else is changed.
if [ "${1:-} ${2:-}" = "system dial-stdio" ]; then
    set -o pipefail
    real=$(/usr/bin/docker info --format '{{.ID}}')
    own=$(printf "%-${#real}.${#real}s" "$(cat /etc/simulated-engine-id)" | tr ' ' -)
    /usr/bin/docker "$@" | sed --unbuffered "s/^{\"ID\":\"$real\"/{\"ID\":\"$own\"/"
else
    exec /usr/bin/docker "$@"
fi
