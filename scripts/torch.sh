#!/usr/bin/env bash
# CPU torch into .venv, for the tests of the application: the wheel that pip finds on this machine, otherwise that of torch's
# own index; its hash decides. What it needs is in the ordinary index: each call has one index.
. scripts/common.sh
unset PYTHONDONTWRITEBYTECODE
if .venv/bin/python -c 'import torch' 2> /dev/null; then exit 0; fi
install() { .venv/bin/pip install -qq --require-hashes "$@"; }
torch=(--no-deps --requirement requirements/torch-cpu.txt)
if ! install --requirement requirements/torch-cpu-needs.txt ||
    ! { install --no-index "${torch[@]}" 2> /dev/null || install --index-url https://download.pytorch.org/whl/cpu "${torch[@]}"; }; then
    say "torch could not be installed: the tests that need it will say that they were skipped."
fi
