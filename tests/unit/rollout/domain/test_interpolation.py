from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.interpolation import TemplateError, interpolate
from hypothesis import given
from hypothesis import strategies as st

VALUES = {"A": "a", "EMPTY": "", "B_1": "b"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x/$A/${A}/$B_1.yml", "x/a/a/b.yml"),
        ("$NO|${NO}|${EMPTY}", "||"),
        ("${NO:-d}|${NO-d}|${EMPTY:-d}|${EMPTY-d}|${A:-d}|${A-d}", "d|d|d||a|a"),
        ("${NO:+d}|${NO+d}|${EMPTY:+d}|${EMPTY+d}|${A:+d}", "|||d|d"),
        ("${NO:-${A}}|${NO:-${NO:-x}}|${NO:-}", "a|x|"),
        ("${A:?must}|${EMPTY?must}", "a|"),
        ("$$A $${A} a$ $1 $-", "$A ${A} a$ $1 $-"),
        ("${NO-a}b}", "ab}"),
        ("${NO:-a b\nc}", "a b\nc"),
    ],
)
def test_what_compose_makes_of_it(text, found):
    assert interpolate(text, VALUES.get) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${NO:?must}", "it needs variable NO, which has no value"),
        ("${EMPTY:?}", "it needs variable EMPTY, which has no value"),
        ("${NO?}", "it needs variable NO, which has no value"),
        ("${A", "a '${' has no '}'"),
        ("${}", "a '${' has no '}'"),
        ("${A!x}", "a '${…}' does not begin with the name of a variable"),
    ],
)
def test_what_compose_refuses(text, why):
    with pytest.raises(TemplateError) as error:
        interpolate(text, VALUES.get)
    assert str(error.value) == why


@given(st.text(st.characters(exclude_characters="$")))
def test_a_text_without_a_dollar_is_itself(text):
    assert interpolate(text, {}.get) == text


@given(st.text())
def test_doubled_dollars_are_one(text):
    assert interpolate(text.replace("$", "$$"), {}.get) == text
