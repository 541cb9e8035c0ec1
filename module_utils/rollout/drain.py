"""How a service lets go of its work before it is stopped: what a gate asks for, when the wait is over, how it is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping, Optional
from urllib.parse import urlsplit

from ansible.module_utils.rollout.errors import RolloutError

if TYPE_CHECKING:
    from ansible.module_utils.rollout.health import Answer

WAIT, CHECKPOINT, FORCE = "wait", "checkpoint", "force"
MODES = (WAIT, CHECKPOINT, FORCE)
IDLE, BUSY, FAIL = "idle", "busy", "fail"
# Seconds that a drain request may stay unanswered: a backend that is restarted, not one that is gone.
SILENCE_S = 5.0
# Seconds of a forced stop between the request to end and the end: enough to say goodbye.
FORCED_GRACE_S = 1
_KEYS = ("stop", "busy", "mode", "timeout")


@dataclass(frozen=True)
class Drain:
    """The key ``drain`` of a gate. Its URLs are as seen from the host.

    ``stop`` takes ``{"draining": true}`` and ``{"draining": false}`` by POST; ``busy``, where there is one, otherwise
    ``stop`` answers with the list ``operations``, which is empty when the service is idle. ``mode`` and ``timeout`` (in
    seconds) are the run's where they are not given.
    """

    stop: str
    busy: str = ""
    mode: str = ""
    timeout: Optional[float] = None


def is_url(value: Any) -> bool:
    """Whether it is an http or https URL that can be asked."""
    try:
        parts = urlsplit(str(value))
        # A port that is none shows when it is asked for.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def read_drain(value: Any, where: str) -> Drain:
    """Read the key ``drain`` of a gate.

    Raises:
        RolloutError: it cannot be meant; names ``where``, the key and the value.
    """
    if not isinstance(value, Mapping):
        raise RolloutError(f"{where} is {value!r}: expected a mapping with stop, the URL that stops the intake of work.")
    for key in value:
        if key not in _KEYS:
            raise RolloutError(f"{where} has '{key}'; known are {', '.join(_KEYS)}.")
    if "stop" not in value:
        raise RolloutError(f"{where}.stop is missing: expected the URL that stops the intake of work.")
    for key in ("stop", "busy"):
        if key in value and not is_url(value[key]):
            raise RolloutError(f"{where}.{key} is '{value[key]}': expected an http:// URL.")
    if "mode" in value and value["mode"] not in MODES:
        raise RolloutError(f"{where}.mode is {value['mode']!r}: expected one of {', '.join(MODES)}.")
    timeout = value.get("timeout", 0)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or timeout < 0:
        raise RolloutError(f"{where}.timeout is {timeout!r}: expected a number of seconds.")
    return Drain(**value)


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
            self.why = f"it is not known what it still does: {trouble(answer)}. Mend that, or do not wait: {checkpoint}"
            return FAIL if late or now - self.silent_since >= SILENCE_S else BUSY
        self.first, self.silent_since = self.first or answer, None
        if not answer.operations:
            return IDLE
        self.doing = named(answer.operations)
        self.why = (
            f"{now - self.started:.0f} s after it was told to take no more work it still does {named(answer.operations)}. "
            f"Raise {longer}, or let its work be checkpointed: {checkpoint}"
        )
        return FAIL if late else BUSY


def good(answer: Answer) -> bool:
    """Whether a request was heard and heeded."""
    return answer.status is not None and 200 <= answer.status < 300


def trouble(answer: Answer) -> str:
    """What is wrong with an answer: nobody, an error, or no list of operations."""
    if answer.status is None:
        return f"{answer.url} does not answer ({answer.reason})"
    if not good(answer):
        return f"{answer.url} answers HTTP {answer.status}{' ' + answer.reason if answer.reason else ''}"
    return f"{answer.url} answers without a list 'operations'"


def told(how: str, first: Optional[Answer], seconds: float) -> str:
    """What the run says of a service that was stopped after ``seconds``; empty where nothing was to be waited for.

    Args:
        how: the mode.
        first: the first answer to the drain request; none where nothing was asked.
    """
    if first is None:
        return "stopped by force"
    if not good(first):
        return f"was not told to take no more work: {trouble(first)}. It was stopped all the same"
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
