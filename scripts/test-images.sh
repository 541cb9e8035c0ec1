#!/usr/bin/env bash
# The images that scenarios need: hosts with their own engines, two good releases (aaaaaa1, bbbbbb2), one whose backend
# never is healthy (badbad3), one that has the backend's image for its CPU workers (fa1aff4) and one whose CPU workers end
# on host workers-c (c0ffee4); images with a simulated torch, which fails as it is told; and on them an application with two
# good releases, one that computes wrongly (badca1c) and one that loses its card after a first use (fade0ff); the benchmark's
# application, and the proxy for it; the application of scenario hostile, with two good releases, one that prints secrets and
# escape sequences (ba51e55), one whose health never ends (d0d0d0d) and one whose health is elsewhere (e15e0e1).
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
