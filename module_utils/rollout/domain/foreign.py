"""Kinds of values that somebody else sent. Each takes a value, or refuses it. Pure.

`domain/shape.py` finds all that is wrong with what people write by hand, unknown keys too. Here one fault is enough, and what is
unknown is dropped.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from typing import Any, Callable, Iterable, Mapping, Optional

TEXT, LINE, MANY = 2**16, 2**12, 1024

# Takes a value and where it stands; returns what is believed of it.
Take = Callable[[Any, str], Any]


# A value that is somebody else's is shown short, and without its control characters.
_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 60, 60


class WrongError(Exception):
    """A value that is not what was declared; without a ``meaning`` it is missing."""

    def __init__(self, where: str, value: Any, meaning: str = "") -> None:
        found = f"is {_short.repr(value)}, expected {meaning}" if meaning else "is missing"
        super().__init__(f"{where} {found}")


def text(longest: int = LINE) -> Take:
    """A text of at most so many characters; half a surrogate pair, which no terminal takes, becomes a question mark."""

    def take(value: Any, where: str) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise WrongError(where, value, f"a text of at most {longest} characters")
        # Ansible's own texts are of a class of its own.
        return str(value) if value.isascii() else value.encode("utf-8", "replace").decode()

    return take


class Said(str):
    """A text that a service, an image or a program wrote, until `shown` has hidden the secrets in it."""

    longest: int


def said(longest: int = LINE) -> Take:
    """Such a text: `shown` cuts off what is too long of it, and the rest of the answer stands."""

    def take(value: Any, where: str) -> Any:
        if not isinstance(value, str):
            raise WrongError(where, value, "a text")
        found = Said(value if value.isascii() else value.encode("utf-8", "replace").decode())
        found.longest = longest
        return found

    return take


def shown(value: Any, hide: Callable[[str], str]) -> Any:
    """A value that was taken, with its secrets hidden before anything is cut off."""
    if isinstance(value, Said):
        hidden = hide(str(value))
        return hidden if len(hidden) <= value.longest else hidden[: value.longest - 1] + "…"
    if isinstance(value, dict):
        return {name: shown(one, hide) for name, one in value.items()}
    return [shown(one, hide) for one in value] if isinstance(value, list) else value


def matching(pattern: str, meaning: str) -> Take:
    """A text of this form."""
    known = re.compile(pattern)

    def take(value: Any, where: str) -> str:
        if not isinstance(value, str) or not known.fullmatch(value):
            raise WrongError(where, value, meaning)
        return str(value)

    return take


def one_of(*words: str) -> Take:
    """One of these words."""
    return matching("|".join(map(re.escape, words)), f"one of {', '.join(words)}")


def or_none(take: Take) -> Take:
    """That, or the empty text."""
    return lambda value, where: "" if value == "" else take(value, where)


def number(value: Any, where: str) -> Any:
    """A finite number, at most 2**63 on either side of 0; no truth value."""
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 2**63:
        raise WrongError(where, value, "a number")
    return value


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongError(where, value, "true or false")
    return value


def maybe(take: Take) -> Take:
    """None, or that."""
    return lambda value, where: None if value is None else take(value, where)


def if_so(take: Take) -> Take:
    """That, or None instead of anything else: it comes from an image, and the host is not to blame for it."""

    def lenient(value: Any, where: str) -> Any:
        try:
            return take(value, where)
        except WrongError:
            return None

    return lenient


def listed(take: Take, most: int = MANY) -> Take:
    """A list of at most so many of these."""

    def each(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise WrongError(where, value, f"a list of at most {most}")
        return [take(item, f"{where}[{n}]") for n, item in enumerate(value)]

    return each


def mapped(take: Take, name: Optional[Take] = None, most: int = MANY) -> Take:
    """At most so many of these, each by its name, which is any short text unless ``name`` says more."""
    named = name or text()

    def each(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > most:
            raise WrongError(where, value, f"a mapping of at most {most}")
        return {named(key, f"a name in {where}"): take(item, f"{where}.{str(key)[:60]!a}") for key, item in value.items()}

    return each


def table(needed: Mapping[str, Take], more: Optional[Mapping[str, Take]] = None) -> Take:
    """A mapping with all of these keys, and with any of those ``more``; other keys are dropped."""
    known = {**needed, **(more or {})}

    def each(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise WrongError(where, value, "a mapping")
        for key in needed:
            if key not in value:
                raise WrongError(f"{where}.{key}", None)
        return {key: take(value[key], f"{where}.{key}") for key, take in known.items() if key in value}

    return each


def read(lines: Iterable[str]) -> Optional[dict[str, Any]]:
    """The last line that is an object of JSON, or None: before it and behind it, a login may print what it likes.

    NaN and Infinity, which are not JSON (RFC 8259) and which a broken card computes, are none.
    """
    for line in reversed(list(lines)):
        if line.lstrip().startswith("{"):
            try:
                answer = json.loads(line, parse_constant=lambda _word: None)
            except (ValueError, RecursionError):
                continue
            return dict(answer)
    return None
