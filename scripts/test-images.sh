#!/usr/bin/env bash
# The images that scenarios need: hosts with their own engines, two good releases (aaaaaa1, bbbbbb2), one whose backend
# never is healthy (badbad3), one that has the backend's image for its CPU workers (fa1aff4) and one whose CPU workers end
# on host workers-c (c0ffee4); for scenario data five backends, each with a step more of the tables; images with a simulated
# torch, which fails as it is told; and on them an application with two good releases, one that computes wrongly (badca1c)
# and one that loses its card after a first use (fade0ff); the benchmark's application, and the proxy for it; the application
# of scenario hostile, with two good releases, one that prints secrets and escape sequences (ba51e55), one whose health never
# ends (d0d0d0d) and one whose health is elsewhere (e15e0e1); and what stands in for the images of docs/examples in scenario
# stacks.
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
build ktrdr-test-homelab:bookworm tests/images/Dockerfile.homelab tests/images --secret "id=sources,src=$cache/build.sources"
docker tag "$DB_SOURCE" "$REGISTRY/postgres:test"
docker push --quiet "$REGISTRY/postgres:test" > /dev/null
docker tag "$PROXY_SOURCE" "$REGISTRY/haproxy:test"
docker push --quiet "$REGISTRY/haproxy:test" > /dev/null
COLD=0 bench/images.sh
for sha in aaaaaa1 bbbbbb2; do
    SHA_GIVEN=1 SHA=$sha LATEST=0 scripts/images.sh
done

# derive SHA IMAGE FROM DOCKERFILE: an image of a test release, made from one of the first release.
derive() {
    build "$REGISTRY/$2:sha-$1" "tests/images/Dockerfile.$4" tests/images --build-arg "REVISION=$1" \
        --build-arg "FROM=$REGISTRY/$3:sha-aaaaaa1"
    docker push --quiet "$REGISTRY/$2:sha-$1" > /dev/null
    say "$REGISTRY/$2:sha-$1"
}
derive badbad3 ktrdr-backend ktrdr-backend never-healthy
derive badbad3 ktrdr-worker-cpu ktrdr-worker-cpu relabelled
derive badbad3 ktrdr-worker-gpu ktrdr-worker-gpu relabelled
derive fa1aff4 ktrdr-backend ktrdr-backend relabelled
derive fa1aff4 ktrdr-worker-cpu ktrdr-backend relabelled
derive fa1aff4 ktrdr-worker-gpu ktrdr-worker-gpu relabelled
derive c0ffee4 ktrdr-backend ktrdr-backend relabelled
derive c0ffee4 ktrdr-worker-cpu ktrdr-worker-cpu sick-on-c
derive c0ffee4 ktrdr-worker-gpu ktrdr-worker-gpu relabelled
# migrated SHA FROM STEP: a backend of scenario data, made from another one, with one step of the tables more.
migrated() {
    build "$REGISTRY/data/ktrdr-backend:sha-$1" tests/images/Dockerfile.migrated tests/images --build-arg "REVISION=$1" \
        --build-arg "FROM=$REGISTRY/$2" --build-arg "STEP=$3"
    docker push --quiet "$REGISTRY/data/ktrdr-backend:sha-$1" > /dev/null
    say "$REGISTRY/data/ktrdr-backend:sha-$1"
}
docker tag "$REGISTRY/ktrdr-backend:sha-aaaaaa1" "$REGISTRY/data/ktrdr-backend:sha-aaaaaa1"
docker push --quiet "$REGISTRY/data/ktrdr-backend:sha-aaaaaa1" > /dev/null
migrated adda002 ktrdr-backend:sha-aaaaaa1 expanded
migrated c0ffee3 data/ktrdr-backend:sha-adda002 renamed
migrated badadd3 data/ktrdr-backend:sha-adda002 fails
migrated badc0de data/ktrdr-backend:sha-adda002 fails-half-way
migrated badbad3 data/ktrdr-backend:sha-adda002 never-healthy
for target in whole moved no-python; do
    build "$REGISTRY/torch-simulated:$target" tests/images/Dockerfile.torch-simulated tests/images/torch-simulated \
        --build-arg "BASE=$PYTHON_IMAGE" --target "$target"
    docker push --quiet "$REGISTRY/torch-simulated:$target" > /dev/null
    say "$REGISTRY/torch-simulated:$target"
done
for release in aaaaaa1=cuda bbbbbb2=cuda badca1c=cuda.wrong fade0ff=cuda.fades; do
    tag=$REGISTRY/simulated-vision:sha-${release%=*}
    build "$tag" tests/images/Dockerfile.vision-simulated tests/images/vision-simulated \
        --build-arg "FROM=$REGISTRY/torch-simulated:whole" --build-arg "REVISION=${release%=*}" --build-arg "TRAITS=${release#*=}"
    docker push --quiet "$tag" > /dev/null
    say "$tag"
done
for release in aaaaaa1= bbbbbb2= ba51e55=talks d0d0d0d=drips e15e0e1=redirects; do
    tag=$REGISTRY/hostile-app:sha-${release%=*}
    build "$tag" tests/images/Dockerfile.hostile-app tests/images --build-arg "BASE=$PYTHON_IMAGE" \
        --build-arg "REVISION=${release%=*}" --build-arg "TRAIT=${release#*=}"
    docker push --quiet "$tag" > /dev/null
    say "$tag"
done
# A database that only tests of the night need.
if [ "${NIGHTLY:-0}" = 1 ]; then
    build "$REGISTRY/data/mariadb:test" tests/images/Dockerfile.mariadb tests/images --build-arg "BASE=$PYTHON_IMAGE" \
        --secret "id=sources,src=$cache/build.sources"
    docker push --quiet "$REGISTRY/data/mariadb:test" > /dev/null
    say "$REGISTRY/data/mariadb:test"
fi
# standin TAG STANDIN [argument...]: an image that stands in for others.
standin() {
    local tag=$1 name=$2
    shift 2
    build "$tag" tests/images/Dockerfile.standin tests/images --build-arg "BASE=$PYTHON_IMAGE" --build-arg "STANDIN=$name" "$@"
}
# push_as FROM NAME:TAG: under $REGISTRY/stacks.
push_as() {
    docker tag "$1" "$REGISTRY/stacks/$2"
    docker push --quiet "$REGISTRY/stacks/$2" > /dev/null
}
for release in aaaaaa1 bbbbbb2; do
    for suffix in "" -cuda; do standin "standin:$release$suffix" "$release$suffix" --target plain; done
    standin "standin:$release-volume" "$release" --target volume
    for name in photos documents identity notes chat thumbnails app ktrdr-backend ktrdr-worker-cpu ktrdr-worker-gpu ktrdr-mcp; do
        push_as "standin:$release" "$name:sha-$release"
    done
    push_as "standin:$release-cuda" "photos-ml:sha-$release-cuda"
    push_as "standin:$release" "photos-ml:sha-$release"
    push_as "standin:$release-volume" "volume:sha-$release"
done
# Of the tags that move in the scenario the older and the newer image; the application of the host's own network has one port.
for age in older newer; do
    standin "standin:home-$age" "$age" --target plain --build-arg PORTS=8123
    standin "standin:$age" "$age" --target plain
    push_as "standin:home-$age" "home:$age"
    push_as "standin:$age" "mariadb:$age"
done
# The host of the scenario gives it the names of images that are nobody's here: postgres:17.
standin standin:other other --target plain
push_as standin:other other:test
say "$REGISTRY/stacks"
