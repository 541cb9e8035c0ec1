"""The signals that end a run."""

from __future__ import annotations

import os
import signal


def interrupt() -> None:
    """Have SIGTERM, and SIGHUP unless it is ignored, end this process as Ctrl-C does: Ansible then ends its workers first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # With nohup the run is to go on.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))
