"""The answer of a URL. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Optional

# How deep a JSON document may be nested, and of how many digits a whole number in it may be. Python's own limits differ with its
# version, and a long number takes it minutes.
DEPTH, DIGITS = 100, 20
# Characters of what a service says of itself: a reason, an operation, a release. A tag has 128 at most.
_REASON, _NAME = 300, 200


@dataclass(frozen=True)
class Answer:
    """What one URL said: ``status`` is None where nothing answered, then ``reason`` says why.

    ``operations`` is the work at hand, where a drain URL was asked and its answer lists it; ``container`` what a start-first
    service's proxy says of who answered; ``cut`` why the text of the answer was not read, as a clause. ``fault`` is for what has
    no status (a port, a command, a URL that could not be asked): what is missing, as a noun phrase, or empty if nothing is.
    """

    url: str
    status: Optional[int]
    release: Optional[str] = None
    reason: str = ""
    operations: Optional[tuple[str, ...]] = None
    container: str = ""
    cut: str = ""
    fault: Optional[str] = None


def read_answer(url: str, status: int, body: Any, location: Optional[str] = None, hide: Callable[[str], str] = str) -> Answer:
    """Read an answer: the fields ``release``, ``operations`` and, of a bad one, ``reason``, ``detail`` or ``status``.

    Args:
        location: where a redirect points (RFC 9110, 10.2.2).
        hide: hides secrets in a text; what it leaves may then be cut.
    """
    redirect = f"(a redirect to {_place(hide(location))}, not followed)" if location and 300 <= status < 400 else ""
    if not isinstance(body, dict):
        return Answer(url, status, reason=redirect)
    release = body.get("release")
    reason = next((_text(hide(body[k]), _REASON) for k in ("reason", "detail", "status") if isinstance(body.get(k), str)), "")
    work = body.get("operations")
    operations = tuple(_text(hide(str(one)), _NAME) for one in work) if isinstance(work, list) else None
    # It is compared, so it is not cut; a longer text is not a release.
    named = _text(release if len(release) <= _NAME else hide(release), _NAME) if isinstance(release, str) else None
    return Answer(url, status, named, redirect or reason, operations)


def document(body: bytes) -> Any:
    """A JSON document (RFC 8259), within limits.

    Raises:
        ValueError: it is none, or is nested too deep, or has a number that is too long.
    """
    try:
        found = json.loads(body, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level = [found]
    for _depth in range(DEPTH):
        level = [below for one in level if isinstance(one, (dict, list)) for below in _below(one)]
        if not level:
            return found
    raise ValueError("it is nested too deep")


def _below(one: Any) -> Any:
    return one.values() if isinstance(one, dict) else one


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError("a number in it is too long")
    return int(digits)


def _text(text: str, most: int) -> str:
    """At most so much of a text; half a word at the end is left out.

    A lone half of a surrogate pair, which JSON can write, could not be printed.
    """
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0]} …".lstrip()


def _place(location: str) -> str:
    """A redirect's target without what may be secret in it: user, password and query."""
    return _text(re.sub(r"//[^/]*@", "//", re.split("[?#]", location)[0]), _NAME)
