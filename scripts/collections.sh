#!/usr/bin/env bash
# Unpacks the few collections that are used out of the ansible wheel (the whole of it would cost 547 MB on disk).
. scripts/common.sh
wheel=$(mktemp -d)
trap 'rm -rf "$wheel"' EXIT
.venv/bin/pip download -qq --no-deps --require-hashes --dest "$wheel" --requirement requirements/collections.txt
rm -rf collections
mkdir collections
.venv/bin/python - "$wheel"/ansible-*.whl <<'PYTHON'
import sys
import zipfile

used = ("community/docker/", "community/library_inventory_filtering_v1/", "ansible/posix/")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.startswith(tuple("ansible_collections/" + u for u in used)):
            wheel.extract(name, "collections")
PYTHON
