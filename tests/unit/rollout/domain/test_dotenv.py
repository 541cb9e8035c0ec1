from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)

NASTY = {
    "PLAIN": "plain",
    "EMPTY": "",
    "DOLLAR": "a$b",
    "DOLLARS": "$$ $ $$$x",
    "BRACED": "${X} ${X:-y} ${X:?z}",
    "NAMED": "$PATH $HOME",
    "SINGLE": "it's",
    "SINGLES": "'quoted'",
    "DOUBLE": 'say "so"',
    "DOUBLES": '"quoted"',
    "HASH": "a #b",
    "HASH_FIRST": "#first",
    "BACKSLASH": "a\\b",
    "BACKSLASHES": "\\\\ \\\\\\",
    "BACKSLASH_LAST": "ends\\",
    "BACKSLASH_N": "a\\nb",
    "BACKSLASH_DOLLAR": "a\\$b \\\\$c",
    "BACKSLASH_QUOTE": 'a\\"b',
    "BACKSLASH_LETTERS": "\\a\\b\\c\\f\\n\\r\\t\\v\\x\\0\\u0041",
    "BACKTICK": "`id` $(id)",
    "SPACES": "a b  c",
    "SPACES_AROUND": "  x  ",
    "NEWLINE": "a\nb\n",
    "NEWLINE_ALONE": "\n",
    "CRLF": "a\r\nb\r",
    "TAB": "a\tb\t",
    "UMLAUT": "é ü ß",
    "EMOJI": "🚀",
    "LONG": 'x$y"z\\ ' * 512,
    "EQUALS": "a=b",
    "COLON": "a: b",
    "CONTROL": "\x01\x1b[0m\x7f",
    "SEPARATORS": "a\x0bb\x0cc\x85d\u2028e",
    "BOM": "\ufeffx",
    "PERCENT": "%s %(x)s {{ x }}",
    "EXPORT": "export X=1",
}


@given(values)
def test_what_is_quoted_is_read_back(value):
    quoted = dotenv.quote(value)
    assert "\n" not in quoted
    assert dotenv.parse(f"X={quoted}\n") == {"X": value}


@given(st.dictionaries(names, values))
def test_what_is_rendered_is_read_back(found):
    assert dotenv.parse(dotenv.render(found)) == found


def test_one_variable_a_line_sorted_numbers_as_text():
    assert dotenv.render({"B": 1, "A": 2.5, "C": "x\ny"}) == 'A="2.5"\nB="1"\nC="x\\ny"\n'


@pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker compose is absent",
)
def test_compose_reads_back_the_same_characters(tmp_path):
    (tmp_path / ".env").write_text(dotenv.render(NASTY), encoding="utf-8", newline="")
    document = {"services": {"x": {"image": "x", "environment": {n: f"${{{n}}}" for n in NASTY}}}}
    (tmp_path / "compose.json").write_text(json.dumps(document))
    out = subprocess.run(
        ["docker", "compose", "--env-file", ".env", "--file", "compose.json", "config", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=True,
    ).stdout
    read = json.loads(out)["services"]["x"]["environment"]
    assert {n: v.replace("$$", "$") for n, v in read.items()} == NASTY


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"A-B": "x"}, "'A-B' is not the name of an environment variable: use letters, digits and '_'."),
        ({"1A": "x"}, "is not the name of an environment variable"),
        ({"A\n": "x"}, "is not the name of an environment variable"),
        (
            {"A": True},
            "The value of A is of type bool: an environment variable is a string or a number. Put true",
        ),
        ({"A": None}, "The value of A is of type NoneType"),
        ({"A": ["x"]}, "The value of A is of type list"),
        ({"A": "x\0y"}, "The value of A holds a NUL character, which no environment can."),
        ({"A": "canary\udc80"}, "The value of A holds a character that UTF-8 cannot write."),
    ],
)
def test_render_refusals(found, sentence):
    with pytest.raises(RolloutError) as error:
        dotenv.render(found)
    assert sentence in str(error.value)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("line", ["A=canary", 'A="canary', 'A="can"ary"', "canary", '="canary"', "A='canary'", 'A="canary\\'])
def test_a_line_edited_by_hand_is_named_by_number_and_never_shown(line):
    with pytest.raises(RolloutError) as error:
        dotenv.parse(f'X="1"\n# remark\n\n{line}\n')
    assert str(error.value) == 'Line 4 of the .env file is not of the form NAME="value": it was edited by hand.'


@given(st.dictionaries(names, values.map("canary".__add__), min_size=1))
def test_masked_hides_every_secret(found):
    text = dotenv.masked(dotenv.render({**found, "PLAIN0": "seen"}), set(found) - {"PLAIN0"})
    assert "canary" not in text
    assert 'PLAIN0="seen"' in text
