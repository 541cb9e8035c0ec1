#!/usr/bin/env bash
# The images of `make bench`: two good releases (aaaaaa1, bbbbbb2), one whose health answers 503 (badbad3), one of which only
# worker-1's does (bad3a7e), and with COLD=1, the default, the second one again in one layer that nothing else has (c01dc01), so
# that it can be removed from the engine and pulled as a whole.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
app=$REGISTRY/bench-app
if [ "$PROXY_SOURCE" != "$PROXY_IMAGE" ]; then
    docker tag "$PROXY_SOURCE" "$PROXY_IMAGE"
    docker push --quiet "$PROXY_IMAGE" > /dev/null || die "Image $PROXY_IMAGE could not be pushed."
fi
docker tag "$PYTHON_IMAGE" "$REGISTRY/bench-db:1"
docker push --quiet "$REGISTRY/bench-db:1" > /dev/null || die "Image $REGISTRY/bench-db:1 could not be pushed."
build ktrdr-bench:base deploy/docker/Dockerfile.backend . --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"
for release in aaaaaa1=0 bbbbbb2=0 badbad3=1 bad3a7e=worker-1; do
    sha=${release%=*} broken=${release#*=}
    build "$app:sha-$sha" bench/app/Dockerfile.bench-app bench/app --build-arg FROM=ktrdr-bench:base \
        --build-arg "REVISION=$sha" --build-arg "BROKEN=$broken"
    docker push --quiet "$app:sha-$sha" > /dev/null || die "Image $app:sha-$sha could not be pushed."
done

if [ "${COLD:-1}" = 0 ]; then exit 0; fi
# A build would keep its layers in the build cache, and the pull would find them there: so it is exported and imported.
cold=$app:sha-c01dc01
from=$(docker image inspect --format '{{.Id}}' "$app:sha-bbbbbb2")
known() { docker image inspect --format '{{index .Config.Labels "bench.from"}}' "$cold" 2> /dev/null || true; }
if [ "$(known)" != "$from" ]; then docker pull --quiet "$cold" > /dev/null 2>&1 || true; fi
if [ "$(known)" != "$from" ]; then
    container=$(docker create "$app:sha-bbbbbb2")
    trap 'docker rm --force "$container" > /dev/null' EXIT
    changes=(--change "LABEL bench.from=$from" --change "LABEL org.opencontainers.image.revision=c01dc01")
    # shellcheck disable=SC2016
    check='["sh", "-c", "KTRDR_PORT=$PORT exec healthcheck"]'
    changes+=(--change "HEALTHCHECK --interval=2s --timeout=5s --retries=3 CMD $check")
    changes+=(--change 'CMD ["python3", "/app/bench_app.py"]' --change 'USER 10001' --change 'WORKDIR /app')
    while IFS= read -r variable; do
        changes+=(--change "ENV $variable")
    done < <(docker image inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$app:sha-bbbbbb2" | grep . |
        sed 's/^BENCH_RELEASE=.*/BENCH_RELEASE=sha-c01dc01/')
    docker export "$container" | docker import "${changes[@]}" - "$cold" > /dev/null
    docker push --quiet "$cold" > /dev/null || die "Image $cold could not be pushed."
fi
say "$app: sha-aaaaaa1, sha-bbbbbb2, sha-badbad3, sha-c01dc01"
