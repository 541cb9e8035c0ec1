"""`python ktrdr/cli/kinfra`, from anywhere: what the script of `make setup` runs."""

import signal
import sys
from pathlib import Path

# While modules are loaded, Ctrl-C ends it without words.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# The repository in place of this folder, whose modules have common names.
sys.path[0] = str(Path(__file__).resolve().parents[3])

from ktrdr.cli.kinfra.main import main

status = main()
# All is said and done.
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.exit(status)
