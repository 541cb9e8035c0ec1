#!/usr/bin/env bash
# Pins what requirements/*.in name, for Python 3.11 to 3.13 at once, with hashes and without index addresses.
. scripts/common.sh
cd requirements
for name in controller app dev collections; do
    extra=()
    if [ "$name" = collections ]; then extra=(--no-deps); fi
    uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-find-links \
        --no-emit-index-url "${extra[@]}" "$name.in" --output-file "$name.txt"
done
