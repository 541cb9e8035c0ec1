#!/usr/bin/env bash
# Removes all that `make demo` made, except installed packages.
. scripts/common.sh
made='localhost:5000/(postgres|ktrdr-(backend|worker-cpu|worker-gpu))'
made+='|ktrdr-(base|haproxy|postgres|registry|torch-wheels)|localhost:5000/haproxy'
if ! command -v docker > /dev/null; then
    : # Nothing was ever built here.
elif ! docker info > /dev/null 2>&1; then
    die "Docker does not answer, so that its containers and images could not be removed: start it (make prepare), then run again."
else
    for project in ktrdr-gpu-worker ktrdr-workers ktrdr-core; do
        docker compose --project-name "$project" down --volumes --remove-orphans > /dev/null 2>&1 ||
            die "Project $project could not be removed: docker compose --project-name $project down --volumes says why."
    done
    docker rm --force --volumes ktrdr-registry > /dev/null 2>&1 || true
    docker volume rm --force ktrdr-registry > /dev/null
    # Each by its own name, for an image may have others; one that was pulled by digest has no tag. What another container uses
    # stays.
    docker image ls --all --digests --format '{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}' |
        awk -v made="^($made)\$" '$1 ~ made { print ($2 != "<none>" ? $1 ":" $2 : $3 != "<none>" ? $1 "@" $3 : $4) }' |
        sort --unique | xargs --no-run-if-empty docker image rm --force > /dev/null ||
        say "Images that a container uses were left: see Docker's message above."
fi
as_root rm -rf /var/lib/rollout/ktrdr
if [ -d /var/lib/rollout ]; then as_root rmdir --ignore-fail-on-non-empty /var/lib/rollout; fi
rm -rf inventory/local/.secrets inventory/local/group_vars/all/demo.yml "$cache"
say "The demo is gone; packages, .venv, collections, reports and build cache stay."
