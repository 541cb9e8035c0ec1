#!/usr/bin/env bash
# kinfra.sh [FOLDER]: writes the command kinfra into a folder, .venv/bin unless named. It runs this checkout.
. scripts/common.sh
folder=${1:-.venv/bin}
# By way of a shell, because a path in a first line may be neither long nor hold spaces.
# Ctrl-C waits until Python can take it without a traceback.
printf '#!/bin/sh\ntrap "" INT\nexec %q %q "$@"\n' "$PWD/.venv/bin/python" "$PWD/ktrdr/cli/kinfra" > "$folder/kinfra.new"
chmod +x "$folder/kinfra.new"
mv "$folder/kinfra.new" "$folder/kinfra"
