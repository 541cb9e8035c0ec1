"""What Compose makes of ``$NAME`` and ``${NAME:-default}`` in a text (compose-go, package template). Pure."""

from __future__ import annotations

import re
from typing import Callable, Optional

# The value of a variable; None if it is not set.
Lookup = Callable[[str], Optional[str]]
_DOLLAR = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])(.*))?", re.S)


class TemplateError(ValueError):
    """Compose refuses the text. The message says why, without the text, which may be a secret."""


def interpolate(text: str, value: Lookup) -> str:
    """``text`` with its variables filled in; one that is not set and has no default is empty, as Compose has it.

    Raises:
        TemplateError: a ``${…`` that Compose cannot read, or a variable that must be set and is not.
    """
    out, at = [], 0
    while found := _DOLLAR.search(text, at):
        out.append(text[at : found.start()])
        at = found.end()
        if found["dollar"]:
            out.append("$")
        elif found["name"]:
            out.append(value(found["name"]) or "")
        else:
            end = _closing(text, found.start())
            out.append(_braced(text[at:end], value))
            at = end + 1
    return "".join([*out, text[at:]])


def _closing(text: str, start: int) -> int:
    """Where the brace closes that is opened behind ``start``."""
    depth, at = 0, start
    while at < len(text):
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        elif text[at] == "{":
            depth += 1
            # Compose passes over the character behind it.
            at += 1
        at += 1
    raise TemplateError("a '${' has no '}'")


def _braced(inside: str, value: Lookup) -> str:
    read = _BRACED.fullmatch(inside)
    if not read:
        raise TemplateError("a '${…}' does not begin with the name of a variable")
    name, how, other = read[1], read[2] or "", read[3] or ""
    found = value(name)
    there = bool(found) if how.startswith(":") else found is not None
    if how.endswith("+"):
        return interpolate(other, value) if there else ""
    if there or not how:
        return found or ""
    if how.endswith("?"):
        raise TemplateError(f"it needs variable {name}, which has no value")
    return interpolate(other, value)
