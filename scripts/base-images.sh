#!/usr/bin/env bash
# Decides what images are built on, and writes it to .cache/base.env: Docker Hub's where it is reached (BASE=hub),
# otherwise ones made here from the distribution's packages (BASE=debian). BASE=auto, the default, looks.
. scripts/common.sh
BASE=${BASE:-auto}
if [ "$BASE" = auto ] && [ -s "$cache/base.env" ] && [ "${1:-}" != again ]; then
    # shellcheck source=/dev/null
    . "$cache/base.env"
    if docker image inspect "$PYTHON_IMAGE" "$DB_SOURCE" "$REGISTRY_IMAGE" "${PROXY_SOURCE:-none}" > /dev/null 2>&1; then exit 0; fi
    BASE=auto
fi
if [ "$BASE" = auto ]; then
    # The manifest costs a second; only where it came is the pull itself worth waiting for.
    if timeout 8 docker manifest inspect python:3.11-slim-bookworm > /dev/null 2>&1 &&
        timeout 300 docker pull --quiet python:3.11-slim-bookworm > /dev/null 2>&1; then BASE=hub; else BASE=debian; fi
fi
if [ "$BASE" = hub ]; then
    docker pull --quiet postgres:17-alpine > /dev/null
    docker pull --quiet registry:2 > /dev/null
    docker pull --quiet haproxy:lts-alpine > /dev/null
    printf '%s\n' PYTHON_IMAGE=python:3.11-slim-bookworm DB_SOURCE=postgres:17-alpine DB_IMAGE=postgres:17-alpine \
        PROXY_SOURCE=haproxy:lts-alpine PROXY_IMAGE=haproxy:lts-alpine \
        REGISTRY_IMAGE=registry:2 TORCH_WHEELS= > "$cache/base.env"
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
