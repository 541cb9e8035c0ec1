from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from ansible.module_utils.rollout.domain import env_file
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

TEXTS = {
    "plain": "A=1\nB=two words\n\n# no\n  C=3",
    "forms": "export A=1\nB: 2\nC = 3 \nexport\tD=4\n",
    "quotes": 'A=\'a$b #c\'\nB="x $A y" # no\nC="l1\nl2"\nD=\'it\\\'s\'\nE="say \\"so\\""\n',
    "comments": "A=a #b\nB=a#b\nC=#c\nD= #c\nE='x'#y\n#F=1\n",
    "escapes": 'A="a\\nb\\tc\\x\\\\d"\nB="\\$A"\nC=a\\nb\nD="\\0101 \\101 \\0"\n',
    "variables": "A=1\nB=$A${A}\nC=${NO:-${A}}\nD=$$A\nE=a$\nF=$1\nG=${A:+set}\n",
    "again": "A=1\nA=2\nB=$A\n",
    "alone": "A\nB=1\n",
    "windows": "A=1\r\nB='x'\r\n",
    "empty": "A=\nB=''\nC=x",
    "behind a quote": 'A="a"B=1\n',
    "bom": "\ufeffA=1\n",
    "tabs": "A=a\tb\t\nB=\t2\n",
    "umlauts": 'A=ä\nB="ö"\n',
}


@pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker compose is absent",
)
def test_it_is_read_as_compose_reads_it(tmp_path):
    names = "ABCDEFG"
    services = {name.replace(" ", "-"): {"image": "x", "env_file": [f"{name}.env"]} for name in TEXTS}
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.env").write_text(text, newline="")
    (tmp_path / "compose.json").write_text(json.dumps({"services": services}))
    done = subprocess.run(
        ["docker", "compose", "--file", "compose.json", "config", "--format", "json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    for name, text in TEXTS.items():
        known = {
            n: v.replace("$$", "$")
            for n, v in json.loads(done.stdout)["services"][name.replace(" ", "-")]["environment"].items()
            if v is not None
        }
        found = env_file.parse(text, {}.get, name)
        assert {n: v for n, v in found.items() if n in names} == known, name


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("A=1\nB C=canary\n", 2, "it does not begin with the name of a variable"),
        ("\n=canary\n", 2, "it does not begin with the name of a variable"),
        ("A=1\n\n<canary\n", 3, "it does not begin with the name of a variable"),
        ('A=1\nB="canary\nC=1\n', 2, "a quote is not closed"),
        ("A='canary", 1, "a quote is not closed"),
        ("A=${canary", 1, "a '${' has no '}'"),
        ("A=${B:?canary}", 1, "it needs variable B, which has no value"),
    ],
)
def test_what_compose_would_refuse_is_named_by_its_line(text, line, why):
    with pytest.raises(RolloutError) as error:
        env_file.parse(text, {}.get, "prod.env")
    assert str(error.value) == (
        f"prod.env, line {line}, is not what Compose reads in an environment file: {why}. Write NAME=value, and put a value in "
        "single quotes if it holds '$', '#' or quotes."
    )
    assert "canary" not in str(error.value)


def test_what_is_known_outside_wins_where_a_variable_is_used():
    assert env_file.parse("A=1\nB=$A\nC\n", {"A": "0", "C": "c"}.get, "x") == {"A": "1", "B": "0", "C": "c"}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_characters="'\\\r\0", exclude_categories=["Cs"])),
    )
)
def test_values_in_single_quotes_are_themselves(values):
    text = "".join(f"{name}='{value}'\n" for name, value in values.items())
    assert env_file.parse(text, {}.get, "x") == values


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_text_is_read_or_refused(text, outside):
    try:
        assert all(isinstance(value, str) for value in env_file.parse(text, outside.get, "x").values())
    except RolloutError:
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("PGPASSWORD", "x"),
        ("POSTGRES_PASSWORD", "1234567"),
        ("MYSQL_PWD", "hunter2"),
        ("DB_PASS", "hunter2"),
        ("PAPERLESS_SECRET_KEY", "change-me"),
        ("apiKey", "abcdef"),
        ("API_KEY_2", "abcdef"),
        ("APIKEY", "abcdef"),
        ("JWT_TOKEN", "abcdef"),
        ("TOKEN_GITHUB", "ghp_abcdef"),
        ("SMTP_PASSPHRASE", "abcdef"),
        ("AWS_CREDENTIALS", "abcdef"),
        ("app.password", "abcdef"),
        ("DATABASE", "postgres://app:hunter2@db/app"),
        ("SERVERS", "http://a,redis://:hunter2@cache"),
        ("FEED", "https://user@example.org/"),
    ],
)
def test_a_secret(name, value):
    assert env_file.is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TZ", "Europe/Berlin"),
        ("DB_PASSWORD", ""),
        ("TOKEN_TTL", "3600"),
        ("TOKEN_LIFETIME", "10m"),
        ("PASSWORD_MIN_LENGTH", "8"),
        ("PASSWORD_RESET", "true"),
        ("REQUIRE_TOKEN", "false"),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/password"),
        ("MONKEY", "banana"),
        ("KEYCLOAK_URL", "http://sso.lan"),
        ("KEYBOARD", "german"),
        ("PASSAGE", "north"),
        ("SITE", "https://example.org/@user"),
        ("MAIL", "me@example.org"),
    ],
)
def test_what_is_no_secret(name, value):
    assert not env_file.is_secret(name, value)


def test_what_nobody_may_read_of_an_environment_file():
    text = "A=1\nPW=hunter2\nURL=redis://:hunter3@cache/0\nHOST=db\n"
    assert env_file.hidden(text, {}, "x") == ["hunter2", "redis://:hunter3@cache/0", "hunter3"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A=1\nPW=x\nB=2\n", "A=1\nB=2\n"),
        ("PW=x", ""),
        ("export PW='x\ny'  # why\nB=2", "B=2"),
        # Compose reads another statement behind a quote.
        ('PW="x" B=2\n', " B=2\n"),
        ("PW\nB=2\n", "B=2\n"),
        ("PW=1\nB=${PW}\nPW=2\n", "B=${PW}\n"),
        (
            "# PW=old\n#PW: old\n## OTHER_TOKEN=canary\n# TOKEN_TTL=60\n# PW is here\nA=1\n# PW=last",
            "# TOKEN_TTL=60\n# PW is here\nA=1\n",
        ),
        ("A='# PW=x'\r\nPW=y\r\n\r\nB=2\r\n", "A='# PW=x'\n\nB=2\n"),
        ("\ufeffPW=x\n", ""),
        ("", ""),
    ],
)
def test_a_file_without_some_variables(text, kept):
    found = env_file.without(text, {"PW"}, "f")
    assert found == kept
    values = env_file.parse(text, {"PW": "given"}.get, "f")
    left = env_file.parse(found, {"PW": "given"}.get, "f")
    assert left == {name: value for name, value in values.items() if name != "PW"}


@given(st.lists(st.sampled_from(["A=1", "PW=x", "PW='a\nb'", "# PW=c", "", "B=${PW:-d}", "export PW=e # f", "C='#'", "PW"])))
def test_what_is_left_reads_as_before(lines):
    text = "\n".join(lines)
    left = env_file.parse(env_file.without(text, {"PW"}, "f"), {"PW": "given"}.get, "f")
    assert left == {name: one for name, one in env_file.parse(text, {"PW": "given"}.get, "f").items() if name != "PW"}
