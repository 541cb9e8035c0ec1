"""Environment files that people wrote, read as Compose reads them (compose-go, package dotenv), and their secrets. Pure.

`dotenv` is for the file that a release has of its own.
"""

from __future__ import annotations

import re
from typing import Container, Mapping, Optional

from ansible.module_utils.rollout.domain.interpolation import Lookup, TemplateError, interpolate
from ansible.module_utils.rollout.domain.mask import SHORTEST
from ansible.module_utils.rollout.errors import Refusal

UNREADABLE = Refusal(
    "Compose file and environment",
    "{file}, line {line}, is not what Compose reads in an environment file: {why}. Write NAME=value, and put a value in single "
    "quotes if it holds '$', '#' or quotes.",
    "correct that line; its text is not shown, because it may be a secret",
)
# A space of Go's parser; a line's end is none.
_BLANK = "\t\v\f\r \x85\xa0"
_KEY = re.compile(rf"(?:export[{_BLANK}\n]+)?([^=:\n]*)([=:\n]|$)")
# One that was put out of use by hand.
_COMMENT = re.compile(r"^[^\S\n]*#+[^\S\n]*(?:export[^\S\n]+)?([\w.-]+)[^\S\n]*[=:][^\S\n]*([^\n]*)\n?", re.M)
_REST = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?(?:\n|\Z))?")
_ESCAPE = re.compile(r'\\(?:[abcfnrtv$"\\]|0\d{0,3})')
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$", '"': '"', "\\": "\\"}
# PGPASSWORD, DB_PASS, JWT_SECRET_KEY, APIKEY; not MONKEY and KEYCLOAK_URL.
_WORD = (
    r"\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL)S?\d*|\w*(?:PASS|PWD)\d*|PW|"
    r"(?!MONKEY|HOTKEY|TURKEY)[^\W_]*KEYS?\d*|SALT|DSN"
)
_SECRET = re.compile(rf"(?:\w*_)?(?:{_WORD})(?P<more>_\w*)?")
_WITH_USER = re.compile(r"://[^\s/?#@]+@")
# What a variable about a secret may hold: TOKEN_TTL=3600, PASSWORD_RESET=true.
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|[01]", re.I)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d+)?(?:ms|[smhdw]|[kmg]i?b?)?", re.I)


def parse(text: str, outside: Lookup, file: str) -> dict[str, str]:
    """The variables of an environment file.

    Args:
        outside: variables that beat those of the file where it uses one.
        file: its name, for the sentence.

    Raises:
        RolloutError: Compose would refuse the file; says the line's number, never its text.
    """
    found: dict[str, str] = {}
    _read(_plain(text), outside, file, found)
    return found


def without(text: str, names: Container[str], file: str) -> str:
    """The text of an environment file without the variables ``names``, and without comments that set one of them, or a secret.

    Args:
        file: its name, for the sentence.

    Raises:
        RolloutError: Compose would refuse the file; says the line's number, never its text.
    """
    text, kept, at = _plain(text), "", 0
    for name, start, end in [*_read(text, lambda name: "", file, {}), ("", len(text), len(text))]:
        kept += _COMMENT.sub(lambda found: "" if found[1] in names or is_secret(found[1], found[2]) else found[0], text[at:start])
        kept += "" if name in names else text[start:end]
        # With a variable goes the rest of its line.
        at = _REST.match(text, end).end() if name in names and text[end - 1] != "\n" else end  # type: ignore[union-attr]
    return kept


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _read(text: str, outside: Lookup, file: str, found: dict[str, str]) -> list[tuple[str, int, int]]:
    """Read all statements into ``found``: the name of each, and where it begins and ends.

    Raises:
        RolloutError: as of `parse`.
    """
    statements: list[tuple[str, int, int]] = []

    def value(name: str) -> Optional[str]:
        known = outside(name)
        return found.get(name) if known is None else known

    at = 0
    while True:
        at = _statement(text, at)
        if at == len(text):
            return statements
        start = at
        try:
            key = _KEY.match(text, at)
            name = key[1].rstrip() if key else ""
            if not key or not re.fullmatch(r"[\w.\-\[\]]+", name):
                raise TemplateError("it does not begin with the name of a variable")
            at = key.end()
            if key[2] in ("", "\n"):
                # A name alone takes the value from outside.
                known = outside(name)
                found.update({} if known is None else {name: known})
            else:
                while at < len(text) and text[at] in _BLANK:
                    at += 1
                found[name], at = _value(text, at, value)
            statements.append((name, start, at))
        except TemplateError as error:
            raise UNREADABLE(file=file, line=text.count("\n", 0, start) + 1, why=error) from None


def _statement(text: str, at: int) -> int:
    """Where the next statement begins: behind blanks, empty lines and comments."""
    while at < len(text) and (text[at].isspace() or text[at] == "#"):
        at = (text.find("\n", at) + 1 or len(text)) if text[at] == "#" else at + 1
    return at


def _value(text: str, at: int, value: Lookup) -> tuple[str, int]:
    """The value that begins there, and where it has ended."""
    if text[at : at + 1] in ("'", '"'):
        quote, end = text[at], at + 1
        while text[end : end + 1] not in ("", quote):
            end += 2 if text[end] == "\\" else 1
        if end >= len(text):
            raise TemplateError("a quote is not closed")
        inside = text[at + 1 : end].replace(f"\\{quote}", quote)
        if quote == '"':
            inside = interpolate(_ESCAPE.sub(_unescaped, inside), value)
        return inside, end + 1
    end = text.find("\n", at)
    line = text[at : len(text) if end < 0 else end]
    return interpolate(line.partition(" #")[0].rstrip(), value), at + len(line)


def _unescaped(found: re.Match[str]) -> str:
    code = found[0][1:]
    if code in _LETTERS:
        return _LETTERS[code]
    if not code.startswith("0"):
        return found[0]
    octal = code[1:]
    # Go takes three digits, and no more than a byte; Compose has taken the zero away by then.
    good = len(octal) == 3 and octal[0] in "0123" and not set(octal) & set("89")
    return chr(int(octal, 8)) if good else f"\\{octal}"


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: by its name, or because its value is a URL with a user in it.

    An empty value and a switch are not secrets. If the name says more than the secret's own (TOKEN_TTL, PASSWORD_FILE), a number
    and a path are not either.
    """
    if _WITH_USER.search(value):
        return True
    named = _SECRET.fullmatch(name.upper().replace(".", "_").replace("-", "_"))
    if not named or not value or _SWITCH.fullmatch(value):
        return False
    return not named["more"] or not (_NUMBER.fullmatch(value) or len(value) < SHORTEST or value.startswith(("/", "./")))


def hidden(text: str, outside: Mapping[str, str], file: str) -> list[str]:
    """The values of an environment file that nobody may read: of its secrets, and what stands in their URLs before the host."""
    values = parse(text, outside.get, file)
    return [one for name, value in values.items() if is_secret(name, value) for one in (value, *passwords(value))]


def passwords(value: str) -> list[str]:
    """The passwords in the URLs of a value: whatever speaks to such a server may print one alone."""
    found = [one[3:-1].partition(":")[2] for one in _WITH_USER.findall(value)]
    return [one for one in found if len(one) >= SHORTEST]
