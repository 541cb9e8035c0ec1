"""How a service lets go of its work before it is stopped: what a gate asks for, when the wait is over, how it is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.gate import CHECKPOINT, Drain
from ansible.module_utils.rollout.errors import Refusal

IDLE, BUSY, FAIL = "idle", "busy", "fail"
# Seconds that a drain request may stay unanswered: a backend that is restarted, not one that is gone.
SILENCE_S = 5.0
STILL_WORKS = Refusal(
    "Gate drain",
    "{seconds:.0f} s after it was told to take no more work it still does {work}. Raise {longer}, or let its work be "
    "checkpointed: {how}",
    "wait until the work is done, or type what the sentence names: see [work that is not done yet](#work-that-is-not-done-yet)",
)
UNKNOWN_WORK = Refusal(
    "Gate drain",
    "cannot tell whether it is idle: {trouble}. Fix that URL, or do not wait: {how}",
    "check that the URL is right and that the backend runs",
)
SILENT = Refusal(
    "Gate drain",
    "{url} does not answer ({reason})",
    "check that the service listens, and on that port",
)
BAD_STATUS = Refusal(
    "Gate drain",
    "{url} answers HTTP {status}{reason}",
    "find out why that URL answers so",
)
NO_LIST = Refusal(
    "Gate drain",
    "{url} answers without a list 'operations'{cut}",
    "correct `busy` or `stop` of the [drain](inventory.md#drain), or let the answer have that list",
)
NOT_TOLD = Refusal(
    "Work that is not done yet",
    "was not told to take no more work: {trouble}. It was stopped all the same",
    "find out why the drain URL did not answer; `checkpoint` does not need it",
)
# Seconds of a forced stop between the request to end and the end: enough to say goodbye.
FORCED_GRACE_S = 1


def mode(asked: Drain, default: str, forth: bool) -> str:
    """How this service is drained. On the way back nothing is waited for: what failed is not to go on."""
    return (asked.mode or default) if forth else CHECKPOINT


@dataclass
class Wait:
    """The wait of one service to be idle, fed with answers until it says IDLE or FAIL (``why`` then says why); ``doing`` is
    what it was last heard to do.

    ``default`` is the run's timeout, in seconds. ``started`` and what is looked at ``now`` are monotonic seconds. ``first``
    is the first answer that told something.
    """

    asked: Drain
    default: float
    started: float
    first: Optional[Answer] = None
    silent_since: Optional[float] = None
    why: str = field(default="", init=False)
    doing: str = field(default="its answer", init=False)

    @property
    def limit(self) -> float:
        """Seconds that it may take."""
        return self.default if self.asked.timeout is None else self.asked.timeout

    def look(self, answer: Answer, now: float) -> str:
        """Take one answer."""
        late = now - self.started >= self.limit
        there = "in the drain of its gate"
        checkpoint = f"mode: checkpoint {there}" if self.asked.mode else "-e rollout_drain=checkpoint"
        longer = "rollout_drain_timeout" if self.asked.timeout is None else f"the timeout {there}"
        if not good(answer) or answer.operations is None:
            self.silent_since = now if self.silent_since is None else self.silent_since
            self.why = UNKNOWN_WORK.text(trouble=trouble(answer), how=checkpoint)
            return FAIL if late or now - self.silent_since >= SILENCE_S else BUSY
        self.first, self.silent_since = self.first or answer, None
        if not answer.operations:
            return IDLE
        self.doing = named(answer.operations)
        self.why = STILL_WORKS.text(seconds=now - self.started, work=named(answer.operations), longer=longer, how=checkpoint)
        return FAIL if late else BUSY


def good(answer: Answer) -> bool:
    """Whether a request was heard and heeded."""
    return answer.status is not None and 200 <= answer.status < 300


def trouble(answer: Answer) -> str:
    """What is wrong with an answer: nobody, an error, or no list of operations."""
    if answer.status is None:
        return SILENT.text(url=answer.url, reason=answer.reason)
    if not good(answer):
        return BAD_STATUS.text(url=answer.url, status=answer.status, reason=f" {answer.reason}" if answer.reason else "")
    return NO_LIST.text(url=answer.url, cut=f": {answer.cut}" if answer.cut else "")


def told(how: str, first: Optional[Answer], seconds: float) -> str:
    """What the run says of a service that was stopped after ``seconds``; empty where nothing was to be waited for.

    Args:
        how: the mode.
        first: the first answer to the drain request; none where nothing was asked.
    """
    if first is None:
        return "stopped by force"
    if not good(first):
        return NOT_TOLD.text(trouble=trouble(first))
    if not first.operations:
        return ""
    end = " to end or be checkpointed" if how == CHECKPOINT else ""
    return f"waited {seconds:.0f} s for {count(first.operations)}{end}"


def count(operations: tuple[str, ...]) -> str:
    """``1 operation``, ``2 operations``."""
    return f"{len(operations)} operation{'' if len(operations) == 1 else 's'}"


def named(operations: tuple[str, ...], most: int = 3) -> str:
    """``2 operations (op-1, op-2)``; of many the first ones."""
    more = ", …" if len(operations) > most else ""
    return f"{count(operations)} ({', '.join(operations[:most])}{more})"
