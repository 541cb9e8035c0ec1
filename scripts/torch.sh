#!/usr/bin/env bash
# CPU torch into .venv, for the tests of the application: what pip finds, otherwise torch's own index.
. scripts/common.sh
unset PYTHONDONTWRITEBYTECODE
if .venv/bin/python -c 'import torch' 2> /dev/null; then exit 0; fi
.venv/bin/pip install -qq torch==2.13.0+cpu 2> /dev/null ||
    .venv/bin/pip install -qq torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu ||
    say "torch could not be installed: the tests that need it will say that they were skipped."
