#!/usr/bin/env bash
# kinfra.sh [FOLDER]: writes the command kinfra into a folder, .venv/bin unless named. It runs this checkout.
. scripts/common.sh
folder=${1:-.venv/bin}
cat > "$folder/kinfra.new" <<PYTHON
#!$PWD/.venv/bin/python
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path.insert(0, "$PWD")
from ktrdr.cli.kinfra.main import main

sys.exit(main())
PYTHON
chmod +x "$folder/kinfra.new"
mv "$folder/kinfra.new" "$folder/kinfra"
