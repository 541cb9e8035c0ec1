"""Text of somebody else, as a terminal, a log and a page may show it. Pure.

Idempotent, so that a text may be made printable where its width matters, and again where the screen is written.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import Any, Mapping

# The screens indent the lines of a program's output. A new line in any other text would forge a line of ours.
_OF_LINES = ("msg", "log", "before", "after")
_COMMANDS = (
    # github.com/actions/runner, ActionCommand.cs: `::error::` at the beginning of a line, whatever blanks stand before it.
    (re.compile(r"^(\s*):(?=:[a-z].*::)", re.IGNORECASE | re.MULTILINE), r"\1\\x3a"),
    # `##[error]` anywhere in a line; ##vso[ of Azure Pipelines and ##teamcity[ too. Not \x23: a JSON document stays one.
    (re.compile(r"##(?=[a-z]*\[)", re.IGNORECASE), r"#\\u0023"),
)


def printable(text: str) -> str:
    r"""Text in which nothing moves a cursor, changes a terminal, hides, turns direction, or commands a CI runner.

    What `str.isprintable` does not call printable (Unicode's categories Cc, Cf, Cs, Co, Cn, Zl, Zp) is written as ``\x1b`` or
    ``\u202e``; new lines, tabs and blanks of any width stay. A half surrogate could not even be written as UTF-8.
    """
    if not text.isprintable():
        text = "".join(_shown(c) for c in text.replace("\r\n", "\n"))
    for pattern, shown in _COMMANDS:
        text = pattern.sub(shown, text)
    return text


def inline(value: Any) -> Any:
    r"""A name, or all texts of a structure, each on one line: a new line is shown as ``\n``.

    What is called msg, log, before or after in a structure keeps its lines.
    """
    if isinstance(value, str):
        return printable(value.replace("\r", r"\r").replace("\n", r"\n").replace("\t", r"\t"))
    if isinstance(value, Mapping):
        return {
            inline(key): printable(item) if key in _OF_LINES and isinstance(item, str) else inline(item)
            for key, item in value.items()
        }
    return [inline(item) for item in value] if isinstance(value, (list, tuple)) else value


def quoted(name: str) -> str:
    """A name within a command that is printed to be copied."""
    return shlex.quote(inline(name))


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs":
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
