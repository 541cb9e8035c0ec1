#!/usr/bin/env bash
# Where pip finds torch's CPU wheel on this machine (find-links), an image that carries it is made for builds, and its
# name written to .cache/torch-wheels; an empty name means that builds take torch from its index.
. scripts/common.sh
: > "$cache/torch-wheels"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
if .venv/bin/pip download -qq --no-deps --no-index --require-hashes --only-binary :all: --python-version 3.11 \
    --dest "$wheels/torch" --requirement requirements/torch-cpu.txt > /dev/null 2>&1; then
    printf 'FROM scratch\nCOPY torch /torch\n' > "$wheels/Dockerfile"
    build ktrdr-torch-wheels:cpu "$wheels/Dockerfile" "$wheels"
    echo ktrdr-torch-wheels:cpu > "$cache/torch-wheels"
fi
