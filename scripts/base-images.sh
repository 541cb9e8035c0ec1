#!/usr/bin/env bash
# Decides what images are built on, and writes it to .cache/base.env: Docker Hub's where it is reached (BASE=hub),
# otherwise ones made here from the distribution's packages (BASE=debian). BASE=auto, the default, looks.
. scripts/common.sh
BASE=${BASE:-auto}
# The Dockerfiles say it once for all; Renovate renews it there, and the other three here.
python=$(sed -n 's/^ARG PYTHON_IMAGE=//p' deploy/docker/Dockerfile.backend)
db=postgres:17-alpine
proxy=haproxy:lts-alpine
registry=registry:2
if [ "$BASE" = auto ] && [ -s "$cache/base.env" ] && [ "${1:-}" != again ]; then
    # shellcheck source=/dev/null
    . "$cache/base.env"
    if docker image inspect "$PYTHON_IMAGE" "$DB_SOURCE" "$REGISTRY_IMAGE" "${PROXY_SOURCE:-none}" > /dev/null 2>&1; then exit 0; fi
    BASE=auto
fi
if [ "$BASE" = auto ]; then
    # The manifest costs a second; only where it came is the pull itself worth waiting for.
    if timeout 8 docker manifest inspect "$python" > /dev/null 2>&1 &&
        timeout 300 docker pull --quiet "$python" > /dev/null 2>&1; then BASE=hub; else BASE=debian; fi
fi
if [ "$BASE" = hub ]; then
    for image in "$db" "$registry" "$proxy"; do docker pull --quiet "$image" > /dev/null; done
    printf '%s\n' "PYTHON_IMAGE=$python" "DB_SOURCE=$db" "DB_IMAGE=$db" "PROXY_SOURCE=$proxy" "PROXY_IMAGE=$proxy" \
        "REGISTRY_IMAGE=$registry" TORCH_WHEELS= > "$cache/base.env"
    exit 0
fi
say "Docker Hub is not reached: images are built on one made from this distribution's packages."
scripts/debian-base.sh
build ktrdr-postgres:debian deploy/docker/debian/Dockerfile.postgres deploy/docker/debian \
    --secret "id=sources,src=$cache/build.sources"
build ktrdr-registry:debian deploy/docker/debian/Dockerfile.registry deploy/docker/debian \
    --secret "id=sources,src=$cache/build.sources"
build ktrdr-haproxy:debian deploy/docker/debian/Dockerfile.haproxy deploy/docker/debian \
    --secret "id=sources,src=$cache/build.sources"
scripts/torch-wheels.sh
printf '%s\n' PYTHON_IMAGE=ktrdr-base:bookworm DB_SOURCE=ktrdr-postgres:debian "DB_IMAGE=$REGISTRY/postgres:debian" \
    PROXY_SOURCE=ktrdr-haproxy:debian "PROXY_IMAGE=$REGISTRY/haproxy:debian" \
    REGISTRY_IMAGE=ktrdr-registry:debian "TORCH_WHEELS=$(cat "$cache/torch-wheels")" > "$cache/base.env"
