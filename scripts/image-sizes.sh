#!/usr/bin/env bash
# Unpacked and compressed size of each image beside its budget; ends with 1 where one is over.
. scripts/common.sh
SHA=${SHA:-$(git rev-parse --short=7 HEAD)}
over=0
printf '%-18s %12s %14s %10s\n' IMAGE 'UNPACKED MB' 'COMPRESSED MB' 'BUDGET MB'
for entry in ktrdr-backend:300 ktrdr-worker-cpu:1300 ktrdr-worker-gpu:0; do
    image=${entry%:*}
    budget=${entry#*:}
    reference=$REGISTRY/$image:sha-$SHA
    bytes=$(docker image inspect --format '{{.Size}}' "$reference" 2> /dev/null) ||
        die "$reference is not on this machine: build it first (make images SHA=$SHA)."
    compressed=$(python3 - "$reference" <<'PYTHON'
import json
import sys
import urllib.request

host, path = sys.argv[1].split("/", 1)
name, tag = path.rsplit(":", 1)
accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": accept})
print(sum(layer["size"] for layer in json.load(urllib.request.urlopen(request, timeout=20))["layers"]) // 10**6)
PYTHON
)
    mb=$((bytes / 1000000))
    word=ok
    if [ "$budget" -eq 0 ]; then word='no budget'; elif [ "$mb" -gt "$budget" ]; then word=OVER; over=1; fi
    printf '%-18s %12s %14s %10s  %s\n' "$image" "$mb" "$compressed" "$budget" "$word"
done
exit "$over"
