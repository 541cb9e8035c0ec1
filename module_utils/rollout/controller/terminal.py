"""The one place where the screen is written: no text that goes through Ansible's display controls a terminal."""

from __future__ import annotations

import re
from typing import Any

from ansible import constants
from ansible.module_utils.rollout.domain.printable import printable
from ansible.utils import color as colours

# With these Ansible itself paints parts of a text: the recap and differences. None hides text.
_PAINTS = ("OK", "CHANGED", "UNREACHABLE", "ERROR", "SKIP", "WARN", "DIFF_ADD", "DIFF_REMOVE", "DIFF_LINES")

# The ends of all lines but the first: none of those that follow is taken for a verdict.
_FURTHER = re.compile(r"(?<!\A)(?<!\A\n)\n(?=[^\n])")


def guard(display: Any) -> None:
    """Have a display write printable text alone, from now on.

    Every callback, warning and line of ``-v`` comes to ``display.display``, those of workers too; the colour that it is asked
    for is put around the text afterwards.
    """

    def shown(msg: str, color: Any = None, *more: Any, **named: Any) -> None:
        # A text that is coloured as a whole is Ansible's: a result or an error, with a host's words in it. Ours has no colour.
        text = _FURTHER.sub("\n  ", printable(msg)) if color else _painted(msg)
        # Not bound before: ansible-runner replaces the class's own.
        type(display).display(display, text, color, *more, **named)

    display.display = shown


def ending(display: Any) -> list[Any]:
    """A list that has, from now on, the last error that Ansible displayed: an exception, or a text where a person ended it."""
    last: list[Any] = []

    def error(msg: Any, *more: Any, **named: Any) -> None:
        last[:] = [msg]
        type(display).error(display, msg, *more, **named)

    display.error = error
    return last


def _painted(text: str) -> str:
    if "\x1b" not in text or not colours.ANSIBLE_COLOR:
        return printable(text)
    codes = {colours.parsecolor(getattr(constants, f"COLOR_{name}")) for name in _PAINTS}
    own = re.compile("(\x1b\\[(?:0|" + "|".join(map(re.escape, sorted(codes))) + ")m)")
    return "".join(part if n % 2 else printable(part) for n, part in enumerate(own.split(text)))
