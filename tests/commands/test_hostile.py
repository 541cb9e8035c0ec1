"""A host's text controls neither the terminal nor Ansible: it is shown literally, under every display. For real."""

from __future__ import annotations

import json
import re
import shutil

import fake_docker
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
ESCAPES = "\x1b]52;c;Y3VybA==\x07\x1b]0;TITLE\x07\x1b[2J\x1b[8mhid\u202eden\x9b31m"
SHOWN = r"\x1b]52;c;Y3VybA==\x07\x1b]0;TITLE\x07\x1b[2J\x1b[8mhid\u202eden\u009b31m"
# The colours of Ansible itself, the only escape sequences that may be there.
PAINT = re.compile(r"\x1b\[(?:0|[01];3\d)m")
# Displays that show text as such; the others quote it first, in their own ways.
PLAIN = {"quiet": {}, "default": {"ANSIBLE_STDOUT_CALLBACK": "default"}, "verbose": {"ANSIBLE_VERBOSITY": "1"}}
QUOTED = {name: {"ANSIBLE_STDOUT_CALLBACK": name} for name in ("json", "minimal", "oneline")}
WAYS = {
    **PLAIN,
    **QUOTED,
    "debug": {"ANSIBLE_VERBOSITY": "4"},
    "coloured": {"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_VERBOSITY": "1"},
}


@pytest.fixture
def attack(tmp_path):
    """A line that would create a file as a template of Ansible's or as a shell's word, move the cursor, and command a CI runner."""
    touch = f"touch {tmp_path}/taken"
    return f"{{{{ lookup('pipe', '{touch}') }}}} $({touch}) {ESCAPES} ##[error]x"


@pytest.fixture
def literal(attack):
    return attack.replace(ESCAPES, SHOWN).replace("##[", r"#\u0023[")


def harmless(done, tmp_path):
    """The output, which must control nothing."""
    said = done.stdout + done.stderr
    assert not (tmp_path / "taken").exists()
    assert re.findall(r"[^\n\t -~\xa0-\U0010ffff]|[\u2028-\u202e\u2066-\u2069]", PAINT.sub("", said)) == []
    assert not re.search(r"##\[|^\s*::\w.*::", said, re.MULTILINE)
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("playbook", ["status.yml", "rollout.yml"])
def test_what_an_engine_says(ansible, tmp_path, attack, literal, playbook, way):
    words = tmp_path / "words"
    words.write_text(f"well\n::error::y {attack}\n")
    fake_docker.install(tmp_path, f"*) cat {words} >&2; exit 1;;")
    said = harmless(ansible(playbook, sha="abc1234", env=WAYS[way]), tmp_path)
    assert "lookup" in said, "otherwise this proves nothing"
    if way in PLAIN:
        # A narrow screen breaks between words.
        assert literal in said or literal in " ".join(said.split())


@pytest.mark.parametrize("way", WAYS)
def test_what_ssh_says(ansible, tmp_path, attack, literal, way):
    program = tmp_path / "ssh"
    (tmp_path / "words").write_text(f"WELCOME\nROLLOUT SUCCEEDED: forged\n{attack}\n")
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/words >&2; exit 255\n")
    program.chmod(0o755)
    ssh = {"ansible_connection": "ssh", "ansible_ssh_executable": str(program), "ansible_ssh_args": ""}
    said = harmless(ansible("rollout.yml", sha="abc1234", hosts={"h1": ssh}, env=WAYS[way]), tmp_path)
    assert not re.search("^ROLLOUT SUCCEEDED", said, re.MULTILINE)
    assert "ROLLOUT REFUSED: nothing was touched" in said
    if way in PLAIN:
        assert literal in " ".join(said.split())


def test_what_was_typed(ansible, tmp_path):
    """A variable of CI may hold anything."""
    said = harmless(ansible("rollout.yml", "-e", json.dumps({f"rollout_{ESCAPES}\n::error::y": 1})), tmp_path)
    assert SHOWN in said
