"""The command kinfra."""

from __future__ import annotations

import signal
import sys

import typer

from ktrdr.cli.kinfra import sandbox
from ktrdr.cli.kinfra.errors import KinfraError

INTERRUPTED = 130  # typer's word for Ctrl-C
app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(sandbox.app, name="sandbox")


@app.callback()
def kinfra() -> None:
    """ktrdr's infrastructure on this machine."""


def main() -> int:
    """Run the command of the command line; returns the exit status: 2 for wrong input, 1 for other refusals."""
    try:
        # What starts this (__main__.py) lets Ctrl-C end it without words while modules are loaded.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = app(standalone_mode=False, prog_name="kinfra")
    except KeyboardInterrupt:
        status = INTERRUPTED
    except KinfraError as error:
        print(error, file=sys.stderr)
        return error.status
    except typer.TyperException as error:
        # Without a command the help was shown, and the message is empty.
        if message := " ".join(error.format_message().split()).rstrip("."):
            print(f"{message}: see kinfra --help.", file=sys.stderr)
        return 2
    if status == INTERRUPTED:
        print("Interrupted: nothing was changed.", file=sys.stderr)
        return 1
    return int(status or 0)
