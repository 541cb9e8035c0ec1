"""What the jobs of a host wrote: a file for each job of a run, below ``jobs/`` of the state directory."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ansible.module_utils.rollout.io.atomic import write_atomic

# Of so many runs the files stay.
RUNS = 20


def path(root: Path, run: str, stack: str, job: str) -> Path:
    """Where the output of a job of a run lies."""
    return root / "jobs" / run / f"{stack}.{job}.log"


def write(root: Path, run: str, stack: str, job: str, text: str) -> None:
    """Keep the output of a job, and remove those of old runs. A failure to write it does not fail the job."""
    file = path(root, run, stack, job)
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(file, text.rstrip("\n") + "\n")
        # The id of a run begins with its time.
        for old in sorted(file.parents[1].iterdir())[:-RUNS]:
            shutil.rmtree(old, ignore_errors=True)
