"""Messages to people, through Apprise. The only file that speaks to their services.

A URL of Apprise holds its secrets anywhere, its host included (``discord://ID/TOKEN``, ``tgram://TOKEN/CHAT``): what is said of
a receiver is its place in the list and the name of its service, never a part of the URL.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence

from ansible.module_utils.rollout.errors import Refusal

MISSING = Refusal(
    "Notifications",
    "Apprise is not installed where ansible-playbook runs: make setup installs it, or take rollout_notify_urls away.",
    "type `make setup`, or remove `rollout_notify_urls`",
)
UNKNOWN_URL = Refusal(
    "Notifications",
    "URL {number} of rollout_notify_urls is not one that Apprise knows.",
    "correct the URL: it has a typo, or a part is missing",
)
TOO_SLOW = Refusal(
    "Notifications",
    "{name} (URL {number} of rollout_notify_urls) did not take it within {limit_s:g} s.",
    "check that the service answers, or raise `rollout_notify_timeout`",
)
NOT_TAKEN = Refusal(
    "Notifications",
    "{name} (URL {number} of rollout_notify_urls) did not take it: is it there, is the URL right?",
    "put the URL into a file and type `apprise --config FILE --body test`",
)
# Bytes that a child may have beyond those that it begins with: a plugin reads the whole of what its receiver answers.
_MEMORY = 256 * 1024 * 1024
# What a child says with its exit status.
_SENT, _REFUSED = 0, 1


@dataclass(frozen=True)
class Message:
    """What is sent; ``kind`` is success, warning or failure."""

    title: str
    body: str
    kind: str


def send(urls: Sequence[str], message: Message, limit_s: float) -> list[str]:
    """Send a message to all at once.

    Each receiver has a process of its own: whatever hangs in it (a name that does not resolve, a server that never answers)
    is killed when the time is over. The URL comes to it by the fork, so that no process list shows it.

    Returns:
        A sentence for each that did not take it within ``limit_s`` seconds in all.
    """
    try:
        import apprise
    except ImportError:
        return [MISSING.text()] if urls else []
    # Its log names URLs.
    logging.getLogger("apprise").disabled = True
    fork = multiprocessing.get_context("fork")
    ends = time.monotonic() + limit_s
    unsent: dict[int, str] = {}
    children: dict[int, tuple[str, Any]] = {}
    for number, url in enumerate(urls, 1):
        service = _service(apprise, url)
        if service is None:
            unsent[number] = UNKNOWN_URL.text(number=number)
            continue
        child = fork.Process(target=_deliver, args=(service, message), daemon=True)
        child.start()
        children[number] = (str(service.service_name), child)
    for number, (name, child) in children.items():
        child.join(max(0.0, ends - time.monotonic()))
        if child.exitcode is None:
            child.kill()
            child.join()
            unsent[number] = TOO_SLOW.text(name=name, number=number, limit_s=limit_s)
        elif child.exitcode != _SENT:
            unsent[number] = NOT_TAKEN.text(name=name, number=number)
    return [unsent[number] for number in sorted(unsent)]


def _service(apprise: Any, url: str) -> Optional[Any]:
    try:
        return apprise.Apprise.instantiate(url)
    except Exception:
        # Whatever a plugin makes of a URL that it does not understand; its words may hold the URL.
        return None


def _deliver(service: Any, message: Message) -> None:
    """In the child: end at once with what came of it, whatever threads a plugin has left."""
    status = _REFUSED
    logging.disable(logging.CRITICAL)
    try:
        _bound()
        said = {"body": message.body or message.title, "title": message.title, "notify_type": message.kind}
        # Apprise would send the text of a host as HTML in a mail.
        if service.notify(**said, body_format="text"):
            status = _SENT
    finally:
        os._exit(status)


def _bound() -> None:
    """Take no more memory than `_MEMORY`, where the system can say how much there is now (proc(5), statm)."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
