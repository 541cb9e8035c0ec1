"""Bounds what a host can do to the process that waits for its answer: time, and bytes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path
from typing import Any, Iterator, Mapping

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.rollout.domain.answers import WHOLE
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io import clock

SECTION = "A host is down"
TOO_SLOW = Refusal(
    SECTION,
    "it did not answer within {seconds:g} s, the longest that this step may take (rollout_step_timeout)",
    "find out what hangs there: its disk, its engine, its network. Raise `rollout_step_timeout` if a pull really takes that long",
)
TOO_LONG = Refusal(
    SECTION,
    "it answered more than {mib} MiB, which no step does",
    "find out which program answers there instead of this tool",
)
# Where the inventory sets nothing; the role `fleet` has the same.
STEP_S = 3600.0
# The memory that Ansible needs to gather and decode an answer of `WHOLE` bytes, several times over. It copies the whole with each
# piece that comes: four times the room takes sixteen times as long to fill.
ROOM = 12 * WHOLE
# So often a process that waits for a host looks whether its run is still there.
LOOK_S = 1.0


def too_long() -> str:
    """The sentence for an answer of more than `WHOLE` bytes."""
    return TOO_LONG.text(mib=WHOLE // 2**20)


class _LateError(BaseException):
    """The time is over. No `except Exception` of a connection plugin on the way may take it for a fault of its own."""


def step_limit(templar: Any, variables: Mapping[str, Any]) -> float:
    """Seconds that a host may take for one step, as the inventory has it."""
    return float(templar.template(variables.get("rollout_step_timeout", STEP_S)))


@contextlib.contextmanager
def bounded(seconds: float, elsewhere: bool) -> Iterator[None]:
    """Give up what is done inside, an exchange with a host, when it takes too long or fills the memory.

    If the run itself was killed, this process, which has its secrets, ends with it.

    Args:
        seconds: how long it may take.
        elsewhere: whether the host is another machine. Here the agent is a child of this process, of whatever user, and would
            inherit the limit.

    Raises:
        AnsibleConnectionFailure: it was given up; to Ansible the host is unreachable then.
    """

    parent, ends = os.getppid(), clock.monotonic() + seconds

    def look(_signal: int, _frame: Any) -> None:
        if os.getppid() != parent:
            end_children()
            os._exit(1)
        rest = ends - clock.monotonic()
        if rest <= 0:
            raise _LateError
        signal.setitimer(signal.ITIMER_REAL, min(LOOK_S, rest))

    before = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, min(LOOK_S, seconds))
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    given_up = ""
    try:
        if elsewhere:
            resource.setrlimit(resource.RLIMIT_DATA, (_data() + ROOM, limits[1]))
        yield
    except MemoryError:
        given_up = too_long()
    except _LateError:
        given_up = TOO_SLOW.text(seconds=seconds)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
    if given_up:
        end_children()
        raise AnsibleConnectionFailure(given_up)


def _data() -> int:
    """Bytes of this process that RLIMIT_DATA counts."""
    # Field 6 of /proc/self/statm: data and stack, in pages (proc(5)).
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def end_children() -> None:
    """End the connections' programs, which would hear the host out behind this task; a persistent connection is not a child."""
    # Each thread has its own.
    for thread in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            for child in (thread / "children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
