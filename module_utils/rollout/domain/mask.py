"""Hides secrets in text, in the forms in which programs print them. Pure.

A form is found by what it spells, not by a list of encoders: each character of a secret that some program escapes may stand as it
is, behind backslashes, URL-quoted, as an entity of HTML, or as the escape of C, Python, JSON, YAML or a shell. So is what was
quoted twice, or in a way of its own. Letters and digits are never escaped, and their case may be lost. Base64 is found too,
whatever stands before the secret.

A hostile service knows its secret and chooses the text: no part of a pattern can match the same text in two ways, and every
repetition is bounded.
"""

from __future__ import annotations

import base64
import re
from functools import cached_property
from itertools import groupby
from typing import Any, Iterable, Optional

from ansible.module_utils.rollout.domain.dotenv import MASK

# A shorter one would be found everywhere.
SHORTEST = 4
_WORD = re.compile(r"[A-Za-z0-9]+")
# A fold of YAML and a shell's continued line are a backslash before the end of a line.
_BLANKS = " \t\n\r\v\f"
_BLANK = (
    r"(?:\s|\\{1,8}(?:[nrtvf\s]|x(?:0[9a-d]|20)|u00(?:0[9a-d]|20)|0(?:1[1-5]|40))|%(?:25){0,3}(?:0[9a-d]|20)|\+|"
    r"&(?:amp;){0,3}#(?:9|1[0-3]|32|x[9a-d]|x20);|\^[I-M]|#01[1-5])"
)
# A quote is escaped by another of these: '\'' in a shell, \" in most others.
_QUOTES = "\\\"'"
_QUOTE = (
    r"(?:[\\'\"]|%(?:25){0,3}(?:22|27|5c)|&(?:amp;){0,3}(?:quot|apos|bsol|#0?(?:34|39|92)|#x(?:22|27|5c));|"
    r"u00(?:22|27|5c)|x(?:22|27|5c)|0(?:42|47)|134)"
)
# Some programs write these twice: Compose, printf, templates.
_DOUBLED = "$%{}"
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", "\xa0": "nbsp"}
# The replacement for a character in a text that was not UTF-8, or that may hold ASCII only.
_LOST = r"[\ufffd?]"
# No more than what three programs after one another make of one.
_ESCAPED = r"\\{0,8}"
_LETTERS = {"\x1b": "eE", "\a": "a", "\b": "b", "\0": "0"}
# YAML 1.2, section 5.7, has a letter for each of these too.
_YAML = {"\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P"}
_BASE64 = {"+": r"(?:[+-]|%2[bB]|\\{0,8}u002[bB])", "/": r"(?:\\{0,8}[/_]|%2[fF]|\\{0,8}u002[fF])"}
_ANY_BASE64 = "[A-Za-z0-9+/_-]"


def _character(one: str) -> str:
    """The pattern of all forms of a character that is neither blank nor a quote, without the backslashes before it."""
    code = ord(one)
    utf8, utf16 = one.encode("utf-8", "surrogatepass"), one.encode("utf-16-be", "surrogatepass")
    forms = [
        re.escape(one),
        rf"u\{{0{{0,6}}{code:x}\}}",
        f"U{code:08x}",
        rf"&(?:amp;){{0,3}}#(?:0{{0,3}}{code}|x0{{0,3}}{code:x});",
    ]
    for octets in (utf8, bytes([code]) if code < 256 else utf8):
        forms.append("".join(f"%(?:25){{0,3}}{octet:02x}" for octet in octets))
        forms.append(r"\\{0,8}".join(f"x{octet:02x}" for octet in octets))
        forms.append(r"\\{0,8}".join(f"{octet:03o}" for octet in octets))
    forms.append(r"\\{0,8}".join(f"u{utf16[n : n + 2].hex()}" for n in range(0, len(utf16), 2)))
    if one in _ENTITIES:
        forms.append(f"&(?:amp;){{0,3}}{_ENTITIES[one]};")
    if one in _YAML:
        # Behind a backslash alone: the letter is in any text.
        forms.append(rf"(?<=\\){_YAML[one]}")
    if code < 32 or code == 127:
        # As `cat -v` and rsyslog have it, and the letters of C.
        forms += [rf"\^{re.escape(chr(code ^ 64))}", f"#{code:03o}", *_LETTERS.get(one, "")]
    return f"(?:{'|'.join(dict.fromkeys(forms))})"


def _kind(one: str) -> str:
    """Of characters whose forms may mingle where they stand together, the same kind; of others the character."""
    if _WORD.fullmatch(one):
        return "word"
    if not one.isascii():
        return "foreign"
    return "blank" if one in _BLANKS else "quote" if one in _QUOTES else one


def _pattern(secret: str) -> str:
    """The pattern of all forms of a secret."""
    parts, before = [], ""
    for kind, run in groupby(secret, _kind):
        text = "".join(run)
        # Behind quotes, those before an escape are among them.
        escaped = "" if before == "quote" else _ESCAPED
        if kind == "word":
            parts.append(text)
        elif kind == "blank":
            parts.append(f"{_BLANK}{{1,{len(text) + 64}}}")
        elif kind == "quote":
            parts.append(f"{_QUOTE}{{{len(text)},{8 * len(text) + 8}}}")
        elif kind == "foreign":
            whole = escaped + _ESCAPED.join(map(_character, text))
            parts.append(f"(?:{whole}|{_LOST}{{{len(text)},{4 * len(text)}}})")
        else:
            most = len(text) * (2 if kind in _DOUBLED else 1)
            parts.append(f"{escaped}{_character(kind)}(?:{_ESCAPED}{_character(kind)}){{{len(text) - 1},{most - 1}}}")
        before = kind
    return "".join(parts)


def _base64(secret: str) -> Iterable[str]:
    """The part of a base64 text that only the secret decides: one for each place of its first byte in a group of three."""
    data = secret.encode("utf-8", "surrogatepass")
    for place in range(3):
        text = base64.b64encode(b"\0" * place + data).decode()
        yield text[(0, 2, 3)[place] : (place + len(data)) * 8 // 6]


class _Form:
    """One pattern, and what is in every text that it can match: looking for that takes a hundredth of the time."""

    def __init__(self, pattern: str, text: str, flags: int = 0) -> None:
        self._source, self._flags = pattern, flags
        self.sign = max(_WORD.findall(text), key=len, default="")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled pattern; most are never needed."""
        return re.compile(self._source, self._flags)


class Mask:
    """Hides these secrets. Those that are too short stay (`short`), and so does what is in no text.

    Values are texts or numbers, in structures of any depth.
    """

    def __init__(self, values: Any = ()) -> None:
        self.secrets = frozenset(found for found in map(str.strip, _texts(values)) if len(found) >= SHORTEST)

    def __or__(self, values: Any) -> Mask:
        """This one, which hides ``values`` too."""
        more = Mask([*self.secrets, *_texts(values)])
        return self if more.secrets == self.secrets else more

    @cached_property
    def _forms(self) -> tuple[list[_Form], list[_Form]]:
        lines = {line.strip() for secret in self.secrets for line in (*secret.splitlines(), *secret.split("\n"))}
        known = sorted(self.secrets | {line for line in lines if len(line) >= SHORTEST})
        plain = [_Form(_pattern(one), one.lower(), re.IGNORECASE) for one in known]
        plain += [_Form(data, data, re.IGNORECASE) for data in (one.encode("utf-8", "surrogatepass").hex() for one in known)]
        gap = r"(?:\s|\\{1,8}[nr]){0,4}"
        encoded = []
        for text in {text for one in known for text in _base64(one)}:
            inner = gap.join(_BASE64.get(one, one) for one in text)
            encoded.append(_Form(f"{_ANY_BASE64}{{0,2}}{inner}{_ANY_BASE64}{{0,2}}={{0,2}}", text))
        return plain, encoded

    def text(self, text: str) -> str:
        """``text`` with each secret, and each line of four characters or more of one, replaced by a mask."""
        # Again, as long as something is found: a secret may hold the mask's own character.
        while self.secrets:
            hidden = self._once(text)
            if hidden == text:
                break
            text = hidden
        return text

    def _once(self, text: str) -> str:
        plain, encoded = self._forms
        lower = text.lower()
        squeezed = re.sub(r"\s|\\{1,8}[nr]", "", text)
        forms = [form for form in plain if form.sign in lower] + [form for form in encoded if form.sign in squeezed]
        out, end = [], 0
        spans = sorted(span for form in forms for span in _spans(form.pattern, text))
        begin: Optional[int] = None
        for first, last in spans:
            if begin is None or first > end:
                out.append(text[end:first] if begin is None else MASK + text[end:first])
                begin = first
            end = max(end, last)
        return "".join([*out, MASK if begin is not None else "", text[end:]])


def _spans(pattern: re.Pattern[str], text: str) -> Iterable[tuple[int, int]]:
    """Where a pattern matches, also where matches overlap."""
    found = pattern.search(text)
    while found:
        yield found.span()
        found = pattern.search(text, found.start() + 1)


def _texts(value: Any) -> Iterable[str]:
    """Every text in a structure; numbers too, and neither None nor a truth value."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (str, int, float)):
        if not isinstance(value, bool):
            yield str(value)
    elif value is not None:
        for part in value:
            yield from _texts(part)
