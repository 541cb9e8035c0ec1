#!/usr/bin/env bash
# Removes all that `make demo` made, except installed packages.
. scripts/common.sh
if docker info > /dev/null 2>&1; then
    for project in ktrdr-gpu-worker ktrdr-workers ktrdr-core; do
        docker compose --project-name "$project" down --volumes --remove-orphans > /dev/null 2>&1 || true
    done
    docker rm --force --volumes ktrdr-registry > /dev/null 2>&1 || true
    docker volume rm ktrdr-registry > /dev/null 2>&1 || true
    images=$(docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E '^(localhost:5000/(ktrdr-|postgres:)|ktrdr-)' |
        grep -v ':<none>$' || true)
    [ -z "$images" ] || xargs docker image rm --force <<< "$images" > /dev/null
    digests=$(docker image ls --digests --format '{{.Repository}}@{{.Digest}}' | grep -E '^localhost:5000/ktrdr-.*@sha256:' || true)
    [ -z "$digests" ] || xargs docker image rm --force <<< "$digests" > /dev/null
fi
as_root rm -rf /var/lib/rollout/ktrdr
rm -rf inventory/local/.secrets inventory/local/group_vars/all/demo.yml .cache
say "The demo is gone. Installed packages, .venv and collections stay."
