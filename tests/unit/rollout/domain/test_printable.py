"""Somebody else's text, as a terminal, a log of CI and a page may show it."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata

import pytest
from ansible.module_utils.rollout.domain.printable import inline, printable, quoted
from hypothesis import example, given
from hypothesis import strategies as st

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
any_text = st.text(st.characters(codec=None, categories=None))
# github.com/actions/runner, ActionCommand.cs: a line that begins so, whatever blanks stand before it; and ##[…] anywhere.
WORKFLOW = re.compile(r"^\s*::[a-z].*::|##\[[^\]]*\]", re.IGNORECASE | re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Service web does not pass: ü – 例 😀\n\tat line 3", "Service web does not pass: ü – 例 😀\n\tat line 3"),
        ("a\xa0b\u3000c", "a\xa0b\u3000c"),
        ("\x1b]52;c;Y3VybCBldmlsfHNo\x07", r"\x1b]52;c;Y3VybCBldmlsfHNo\x07"),
        ("\x1b]0;TITLE\x07\x1b[2J\x1b[8mhidden\x1b[0m", r"\x1b]0;TITLE\x07\x1b[2J\x1b[8mhidden\x1b[0m"),
        ("\x9b31mred\x7f", r"\u009b31mred\u007f"),
        ("50 %\r100 %\r\nnext", "50 %\\r100 %\nnext".replace("\\r", r"\x0d")),
        ("sha-\u202e1a2b\u2066\u200b\u2028\u2029\xad\ufeff", r"sha-\u202e1a2b\u2066\u200b\u2028\u2029\u00ad\ufeff"),
        ("\ud800 \udc9b \U000e0001", r"\ud800 \udc9b \U000e0001"),
        ("::error::x\n \xa0::add-mask::y\nx ::error::z\n::1 and ::ffff:10.0.0.1", None),
        ("a ##[error]b ##vso[task.setvariable x]c", r"a #\u0023[error]b #\u0023vso[task.setvariable x]c"),
    ],
)
def test_printable(given, shown):
    if shown is None:
        shown = "\\x3a:error::x\n \xa0\\x3a:add-mask::y\nx ::error::z\n::1 and ::ffff:10.0.0.1"
    assert printable(given) == shown


@given(any_text)
@example("##[#[##[x]\r\n\r")
@example("::a::\x85::b::\u2028::c::")
@example(" \t\xa0::set-output name=x::y")
def test_nothing_is_left_that_commands_or_hides(text):
    shown = printable(text)
    shown.encode()
    assert all(c in "\n\t" or unicodedata.category(c) not in HIDDEN for c in shown)
    assert not WORKFLOW.search(shown)
    assert printable(shown) == shown


@given(st.text(st.characters(categories=("L", "N", "S", "Zs"), exclude_characters="#:")))
def test_what_people_write_stays_as_it_is(text):
    assert not text.isprintable() or printable(text) == text


@given(st.recursive(any_text, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner)))
def test_a_json_document_stays_what_it_is(document):
    assert json.loads(printable(json.dumps(document, indent=1))) == document


def test_names_are_one_line_and_what_programs_print_keeps_its_lines():
    found = inline(
        {"release": "v1\nROLLOUT SUCCEEDED", "fault": {"msg": "a\n\x1bb", "log": "c\nd"}, "left": ["e\tf\r\n", 3, None]}
    )
    assert found == {
        "release": r"v1\nROLLOUT SUCCEEDED",
        "fault": {"msg": "a\n\\x1bb", "log": "c\nd"},
        "left": [r"e\tf\r\n", 3, None],
    }
    assert inline({"x\ny": 1}) == {r"x\ny": 1}


@given(any_text)
def test_an_inline_text_has_one_line(text):
    assert len(inline(text).splitlines()) <= 1


@given(any_text)
@example("web; rm -rf /")
@example("$(id)`id`'\"")
def test_a_quoted_name_is_one_word(name):
    assert shlex.split(f"docker logs {quoted(name)} --tail 3") == ["docker", "logs", inline(name), "--tail", "3"]
