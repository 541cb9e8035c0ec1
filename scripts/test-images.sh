#!/usr/bin/env bash
# The images that scenarios need: a host with its own engine, and three releases; the third's backend never is healthy.
. scripts/common.sh
scripts/base-images.sh
scripts/debian-base.sh
# shellcheck source=/dev/null
. "$cache/base.env"
scripts/registry.sh
context=$cache/host
mkdir -p "$context"
plugin=$(docker info --format '{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}')
cp --update "$plugin" tests/images/host-entrypoint.sh "$context/"
build ktrdr-test-host:bookworm tests/images/Dockerfile.host "$context" --secret "id=sources,src=$cache/build.sources"
docker tag "$DB_SOURCE" "$REGISTRY/postgres:test"
docker push --quiet "$REGISTRY/postgres:test" > /dev/null
for sha in aaaaaa1 bbbbbb2 badbad3; do
    SHA_GIVEN=1 SHA=$sha LATEST=0 scripts/images.sh
done
build "$REGISTRY/ktrdr-backend:sha-badbad3" tests/images/Dockerfile.never-healthy tests/images \
    --build-arg "FROM=$REGISTRY/ktrdr-backend:sha-aaaaaa1"
docker push --quiet "$REGISTRY/ktrdr-backend:sha-badbad3" > /dev/null
