"""The .env file of a release: quoting, parsing, masking. Pure.

Quoting follows what Docker Compose's own parser (compose-go, package dotenv) undoes in double quotes.
"""

from __future__ import annotations

import re
from typing import Iterable, Mapping

from ansible.module_utils.rollout.errors import RolloutError

# What docker needs from its caller's environment. Nothing else reaches Compose: an exported IMAGE_TAG would beat the release's
# .env file. So would these, for which a release must have other names.
PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_ALL|TMPDIR|XDG_RUNTIME_DIR|DOCKER_[A-Z_]+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY|"
    r"(https?|no)_proxy"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {"\\": "\\", '"': '"', "$": "$", "n": "\n", "r": "\r"}
MASK = "********"


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
            raise RolloutError(f"'{name}' is no name of an environment variable: use letters, digits and '_'.")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise RolloutError(
                f"The value of {name} is of type {type(value).__name__}: an environment variable is a string "
                "or a number. Put true and false in quotes."
            )
        text = str(value)
        if "\0" in text:
            raise RolloutError(f"The value of {name} holds a NUL character, which no environment can.")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise RolloutError(f"The value of {name} holds a character that UTF-8 cannot write.")
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
        name, equals, quoted = line.partition("=")
        body = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', quoted, re.S)
        if not equals or not _NAME.fullmatch(name) or not body:
            raise RolloutError(f'Line {number} of the .env file is not of the form NAME="value": it was edited by hand.')
        values[name] = re.sub(r"\\(.)", lambda m: _UNESCAPES.get(m[1], m[0]), body[1], flags=re.S)
    return values


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` (a .env file) with the values of the variables named in ``secrets`` replaced by a mask."""
    hidden = set(secrets)
    out = []
    for line in text.split("\n"):
        name = line.partition("=")[0]
        out.append(f'{name}="{MASK}"' if name in hidden else line)
    return "\n".join(out)
