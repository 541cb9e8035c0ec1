#!/usr/bin/env bash
# Runs the registry of the demo and of the tests: a container on loopback, and on the bridge for hosts in containers.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
bridge=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
# Debian's engine leaves the gateway out where it chose it itself.
bridge=${bridge:-172.17.0.1}
case $(docker container inspect --format '{{.State.Running}}' ktrdr-registry 2> /dev/null) in
    true) ;;
    false) docker start ktrdr-registry > /dev/null ;;
    *)
        docker run --detach --name ktrdr-registry --restart unless-stopped --volume ktrdr-registry:/var/lib/registry \
            --publish 127.0.0.1:5000:5000 --publish "$bridge:5000:5000" "$REGISTRY_IMAGE" > /dev/null ||
            { docker rm --force ktrdr-registry > /dev/null
              die "The registry could not be started: is something else on port 5000? (ss --listening --tcp --processes)"; }
        ;;
esac
for _ in $(seq 100); do
    if python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:5000/v2/", timeout=2)' 2> /dev/null; then
        exit 0
    fi
    sleep 0.1
done
die "The registry on 127.0.0.1:5000 does not answer: docker logs ktrdr-registry"
