#!/usr/bin/env bash
# The images of the growth benchmark: the application in two releases, and the simulated host, from that of the scenarios.
. scripts/common.sh
scripts/base-images.sh
# shellcheck source=/dev/null
. "$cache/base.env"
scripts/registry.sh
images=bench/growth/images
for sha in aaaaaa1 bbbbbb2; do
    tag=$REGISTRY/growth-app:sha-$sha
    build "$tag" "$images/Dockerfile.app" "$images" --build-arg "FROM=$PYTHON_IMAGE" --build-arg "REVISION=$sha"
    docker push --quiet "$tag" > /dev/null
    say "$tag"
done
build rollout-growth-simulated-host "$images/Dockerfile.simulated-host" "$images"
