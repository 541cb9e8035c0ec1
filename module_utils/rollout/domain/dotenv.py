"""The .env file of a release: quoting, parsing, masking. Pure.

Quoting follows what Docker Compose's own parser (compose-go, package dotenv) undoes in double quotes.
"""

from __future__ import annotations

import re
from typing import Container, Iterable, Mapping, Optional

from ansible.module_utils.rollout.errors import Refusal, RolloutError

# What docker needs from its caller's environment. Nothing else reaches Compose: an exported IMAGE_TAG would beat the release's
# .env file. So would these, for which a release must have other names.
PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_ALL|TMPDIR|XDG_RUNTIME_DIR|DOCKER_[A-Z_]+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY|"
    r"(https?|no)_proxy"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"', re.S)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {"\\": "\\", '"': '"', "$": "$", "n": "\n", "r": "\r"}
MASK = "********"

NAME = Refusal(
    "Compose file and environment",
    "'{name}' is not the name of an environment variable: use letters, digits and '_'.",
    "rename the variable in the inventory: letters, digits and `_`",
)
TYPE = Refusal(
    "Compose file and environment",
    "The value of {name} is of type {type}: an environment variable is a string or a number. Put true and false in quotes.",
    "put `true` and `false` in quotes; give a list as one string",
)
NUL = Refusal(
    "Compose file and environment",
    "The value of {name} holds a NUL character, which no environment can.",
    "remove that character from the value",
)
NOT_UTF8 = Refusal(
    "Compose file and environment",
    "The value of {name} holds a character that UTF-8 cannot write.",
    "remove that character from the value",
)
EDITED = Refusal(
    "Anything else",
    'Line {number} of the .env file is not of the form NAME="value": it was edited by hand.',
    "restore the file from a backup, or roll that release out again",
)


def quote(value: str) -> str:
    """``value`` in double quotes, so that Compose reads back the same characters."""
    return '"' + "".join(_ESCAPES.get(c, c) for c in value) + '"'


def render(values: Mapping[str, object]) -> str:
    """The text of a .env file, one variable a line, sorted by name.

    Raises:
        RolloutError: a name or value that no environment can hold.
    """
    lines = []
    for name in sorted(values):
        value = values[name]
        if not _NAME.fullmatch(name):
            raise NAME(name=name)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise TYPE(name=name, type=type(value).__name__)
        text = str(value)
        if "\0" in text:
            raise NUL(name=name)
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise NOT_UTF8(name=name)
        lines.append(f"{name}={quote(text)}\n")
    return "".join(lines)


def parse(text: str) -> dict[str, str]:
    """Read back what `render` wrote.

    Raises:
        RolloutError: a line that `render` never writes, by its number (never its text: it may be a secret).
    """
    values: dict[str, str] = {}
    # Not splitlines: that also splits at characters (\x0b, \x85, …) which may stand in a value.
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        written = _LINE.fullmatch(line)
        if not written:
            raise EDITED(number=number)
        values[written[1]] = re.sub(r"\\(.)", lambda m: _UNESCAPES.get(m[1], m[0]), written[2], flags=re.S)
    return values


def hidden(text: str, names: Optional[Container[str]]) -> list[str]:
    """The values of the variables ``names`` in a .env file; of all but the release's own if it is not known which are secret.

    In a file that was edited by hand they are whatever can be meant: each line that is not another variable's.
    """

    def meant(name: str) -> bool:
        return name != "IMAGE_TAG" if names is None else name in names

    try:
        return [value for name, value in parse(text).items() if meant(name)]
    except RolloutError:
        lines = [line for line in text.split("\n") if meant(line.partition("=")[0]) or not _LINE.fullmatch(line)]
    values = [line.partition("=")[2] for line in lines]
    bare = [value.strip().strip("'\"") for one in values for value in (one, one.partition(" #")[0])]
    return [*lines, *values, *bare]


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` (a .env file) with the values of the variables named in ``secrets`` replaced by a mask."""
    hidden = set(secrets)
    out = []
    for line in text.split("\n"):
        name = line.partition("=")[0]
        out.append(f'{name}="{MASK}"' if name in hidden else line)
    return "\n".join(out)
