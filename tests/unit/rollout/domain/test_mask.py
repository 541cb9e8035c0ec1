from __future__ import annotations

import base64
import html
import json
import shlex
import time
import urllib.parse
from typing import Callable

import pytest
import yaml
from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.dotenv import MASK
from ansible.module_utils.rollout.domain.mask import SHORTEST, Mask
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

PEM = (
    "-----BEGIN PRIVATE KEY-----\n" + "".join(f"MIIEline{n:02}{'A+/b' * 10}\n" for n in range(20)) + "-----END PRIVATE KEY-----\n"
)
QUOTED = 'p@ss"w/ord$é\\Z1'


def _encoded(before: str, secret: str) -> str:
    return base64.b64encode((before + secret).encode()).decode()


def _double(text: str) -> str:
    return '"' + "".join("\\" + c if c in '\\"$`' else c for c in text) + '"'


def _octal(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "".join(f"\\{b:03o}" for b in c.encode()) for c in text)


# Each writes a secret as some program does.
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower": lambda s: s.lower() if s.isascii() else s,
    "quote": urllib.parse.quote,
    "quote all": lambda s: urllib.parse.quote(s, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "encodeURIComponent": lambda s: urllib.parse.quote(s, safe="~()*!.'"),
    "encodeURI": lambda s: urllib.parse.quote(s, safe=";,/?:@&=+$-_.!~*'()#"),
    "userinfo of Go": lambda s: urllib.parse.quote(s, safe="$&+,;="),
    "quote in small letters": lambda s: "".join(
        c if c.isalnum() and c.isascii() else urllib.parse.quote(c, safe="").lower() for c in s
    ),
    "quoted twice": lambda s: urllib.parse.quote(urllib.parse.quote(s, safe=""), safe=""),
    "json": json.dumps,
    "json in UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "json of PHP": lambda s: json.dumps(s).replace("/", "\\/"),
    "json of Go": lambda s: json.dumps(s).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "json in json": lambda s: json.dumps({"log": json.dumps({"p": s})}),
    "json in json in json": lambda s: json.dumps(json.dumps(json.dumps(s))),
    "json of a URL": lambda s: json.dumps({"url": f"https://u:{urllib.parse.quote(s, safe='')}@h/"}),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda s: repr(s.encode()),
    "repr in json": lambda s: json.dumps({"error": repr({"p": s})}),
    "shlex": shlex.quote,
    "shell's double quotes": _double,
    "shell's other quotes": lambda s: "'" + s.replace("'", "'\\''") + "'",
    "bash -x": lambda s: "$'" + s.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\x1b", "\\E") + "'",
    "printf %q": lambda s: "".join(c if c.isalnum() or c == "\n" else "\\" + c for c in s),
    "octal": _octal,
    "dotenv": dotenv.quote,
    "compose config": lambda s: json.dumps(s.replace("$", "$$")),
    "html": html.escape,
    "html in json": lambda s: json.dumps(html.escape(s)),
    "json in html": lambda s: html.escape(json.dumps(s)),
    "html numbers": lambda s: "".join(c if c.isalnum() and c.isascii() else f"&#{ord(c)};" for c in s),
    "yaml": lambda s: yaml.safe_dump({"p": s}, default_style='"', width=10**6),
    "yaml in UTF-8": lambda s: yaml.safe_dump({"p": s}, default_style='"', width=10**6, allow_unicode=True),
    "yaml, single quotes": lambda s: yaml.safe_dump({"p": s}, width=10**6),
    "sql": lambda s: "'" + s.replace("'", "''") + "'",
    "base64": lambda s: _encoded("", s),
    "base64 of 1": lambda s: _encoded("a", s),
    "base64 of 2": lambda s: _encoded("ab", s),
    "basic": lambda s: _encoded("user:", s + "\n"),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64 in a URL": lambda s: urllib.parse.quote(_encoded("u:", s), safe=""),
    "base64 in lines": lambda s: base64.encodebytes(s.encode()).decode(),
    "base64 in lines in json": lambda s: json.dumps(base64.encodebytes(("u:" + s).encode()).decode()),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "cut to ASCII": lambda s: s.encode("ascii", "replace").decode(),
    "not UTF-8": lambda s: "".join(c if c.isascii() else "\ufffd" for c in s),
    "in one line": lambda s: " ".join(s.split()) if "\n" in s else s,
}
# What stands around it touches no letter: else base64 of it, and the escape before it, would be another text.
secrets = st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=SHORTEST, max_size=40).map(str.strip)
likely = st.text(st.sampled_from("ab1Z$\\\"'/+ %&<>{}é中😀\n\t\x1b@:=-_"), min_size=SHORTEST, max_size=30).map(str.strip)


def _lines(secret: str) -> set[str]:
    return {line.strip() for line in secret.split("\n") if len(line.strip()) >= SHORTEST}


@pytest.mark.parametrize("form", FORMS)
@given(secret=likely | secrets, beside=likely)
@example(secret=QUOTED, beside="other")
@example(secret=PEM, beside="other")
@example(secret="postgresql://app:a b@db/x", beside="other")
@example(secret="\\\\\\\"''\"\\", beside="''\\'")
@example(secret="00\xa00\x850\u20280\u2029", beside="other")
@settings(max_examples=60, deadline=None)
def test_no_secret_survives_in_any_form(form: str, secret: str, beside: str) -> None:
    assume(len(secret) >= SHORTEST and len(beside) >= SHORTEST)
    write = FORMS[form]
    for text in (secret, *_lines(secret)):
        written = write(text)
        shown = Mask([secret, beside]).text(f"before <{written}> behind")
        assert MASK in shown
        assert written not in shown
        # Nothing of it beside the mask, but what the form puts around: quotes, a name, the padding of base64.
        around = {*write("").split(), *"\"'\\$<>", "before", "behind"}
        assert text not in shown or text in around or text in MASK
        assert Mask([secret, beside]).text(shown) == shown


@given(st.lists(likely | secrets, max_size=5), st.text("zq \n"))
@settings(deadline=None)
def test_text_without_a_secret_stays(values: list[str], text: str) -> None:
    # Each line of a secret is hidden by itself: each gets a letter that the text has not.
    known = ["\n".join(f"1{line}" for line in value.splitlines()) for value in values]
    assert Mask(known).text(text) == text


def test_every_line_of_a_key_is_hidden_and_what_stands_between_stays() -> None:
    log = "\n".join(f"{n}: {line}" for n, line in enumerate(PEM.splitlines()))
    shown = Mask(PEM).text(log)
    assert shown.splitlines() == [f"{n}: {MASK}" for n in range(22)]


def test_secrets_that_overlap_leave_nothing_between() -> None:
    assert Mask(["abcdef", "defghi", "cdef"]).text("x abcdefghi y abcdef defghi") == f"x {MASK} y {MASK} {MASK}"
    assert Mask(["aaaa"]).text("-aaaaaaa-") == f"-{MASK}-"


@pytest.mark.parametrize("secret", ["****", "*****", "********", "**********", "*a**", "a****"])
def test_a_secret_within_the_mask_itself_ends(secret: str) -> None:
    shown = Mask(secret).text(f"a {secret} b {MASK} c")
    assert Mask(secret).text(shown) == shown
    assert MASK in shown
    assert "a**" not in shown.replace("*" * 8, "")


def test_short_and_empty_ones_hide_nothing() -> None:
    assert Mask(["abc", "", "  7q ", " \n\t ", None, True, 12]).text("abc 7q 12 True None") == "abc 7q 12 True None"


def test_values_are_texts_and_numbers_of_any_depth() -> None:
    mask = Mask({"a": ["first", {"b": 123456}], "c": None, "d": True}) | ("third",)
    assert mask.text("first 123456 third True None") == f"{MASK} {MASK} {MASK} True None"
    assert mask | ["first", " third\n"] is mask


def test_a_secret_that_a_program_prints_in_colour_and_escaped_at_once() -> None:
    shown = Mask(QUOTED).text('\x1b[31m{"dsn": "postgres://app:p%40ss\\"w%2Ford$%C3%A9\\\\Z1@db"}')
    assert shown == f'\x1b[31m{{"dsn": "postgres://app:{MASK}@db"}}'
    assert Mask("line one\x1b[0m\nx").text("MESSAGE=line one#033[0m#012x; line one^[[0m^Jx") == f"MESSAGE={MASK}; {MASK}"


@pytest.mark.parametrize(
    "piece", ["\\", '"', " ", "$", "?", "\ufffd", '\\"', "%25", "&amp;", "\\\\n ", "'\\''", "a", "'" * 16 + "$" * 15]
)
def test_no_text_makes_it_slow(piece: str) -> None:
    mask = Mask(
        [
            QUOTED,
            "aaaa",
            "\"$$\\\\'x",
            "é中é中é",
            "    a    b   c",
            '"\\"\\"\\"\\"\\"\\"\\"\\"\\z',
            "'" * 16 + "$" * 10 + "%%%%x",
            "\\\n" * 6 + "y",
        ]
    )
    began = time.process_time()
    mask.text((piece * 2**16)[: 2**16])
    # About 0.1 s; what tries to split a text in all ways never ends.
    assert time.process_time() - began < 5


def test_50_secrets_and_64_kib_cost_next_to_nothing() -> None:
    text = ("2026-12-01 12:00:00 INFO GET /api/v1/health 200 in 12 ms\n" * 2000)[: 2**16]
    mask = Mask([f"{n}-Se/cret+{n * 7919}!$" for n in range(50)])
    mask.text(text)
    began = time.process_time()
    assert mask.text(text) == text
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("form", ["base64 in lines", "base64 in lines in json"])
def test_of_base64_in_lines_no_line_is_left(form: str) -> None:
    shown = Mask(PEM).text(FORMS[form](PEM))
    # What stands before it in the first group of three bytes, and the last group.
    assert len(shown) < len(MASK) + 16
