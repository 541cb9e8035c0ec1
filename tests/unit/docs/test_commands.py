"""Every command in the documentation is known: run here, or run by the scenario or the test that is named for it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Words that begin a command in an indented block or a fence without a language.
PROGRAMS = "ansible|ansible-playbook|ansible-doc|ansible-vault|make|kinfra|docker|scripts/torch-check|curl|cd|cp|git|sudo|\\."


def commands() -> list[tuple[str, str]]:
    """Page and command of every line that is one: in indented blocks, in fences of no language or of a shell."""
    found = []
    for page in PAGES:
        text = re.sub(r"^```(?!sh|bash|console|\s*$)\w+\n.*?^```\s*$", "", page.read_text(), flags=re.M | re.S)
        for line in text.splitlines():
            plain = re.match(rf"^ {{4,8}}(?:\$ )?((?:{PROGRAMS}) .*|make [a-z-]+|\. \S+)$", line)
            if plain:
                found.append((page.name, re.sub(r"\s+#.*", "", plain[1]).strip()))
    return found


COMMANDS = sorted(set(commands()))
# What acts on the operator's own machines, their secrets or their card: not run here.
THEIRS = re.compile(
    r"sudo |ansible-vault |cp |\$EDITOR|docker (exec|run|rm|restart|update|pull|info|ps|stop|logs)|git |cd |curl "
)
# Command -> where a scenario or test types it, and the words by which it is found there.
ELSEWHERE = {
    r"make demo$": ("scripts/demo-inventory.sh", "make demo"),
    r"docker compose .*": ("molecule/environments/tests", "docker compose"),
    r"kinfra sandbox \w+.*": ("molecule/environments/tests", "kinfra sandbox"),
    r"ansible (localhost|gpu) .*-m torch_check .*": ("molecule/torch/tasks/check.yml", "torch_check"),
}


def typed(playbook: str) -> bool:
    """Whether a scenario types this playbook, or imports it."""
    name = playbook.rpartition("/")[2]
    files = [p for p in (ROOT / "molecule").rglob("*") if p.suffix in (".py", ".yml") and p.is_file()]
    return any(re.search(rf"[\"'/ ]{re.escape(name)}", p.read_text()) for p in files)


def test_there_are_commands():
    assert len(COMMANDS) > 20
    assert {page for page, _command in COMMANDS} >= {"README.md", "operations.md", "gpu.md", "your-own-stack.md"}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{p}: {c}" for p, c in COMMANDS])
def test_each_command_is_known(page, command):
    # Up to what the shell does with it.
    words = shlex.split(re.split(r" (?:\||\|\||&&|[12]?>+|;) ", command)[0].replace("…", "x"), comments=True)
    for pattern, (file, text) in ELSEWHERE.items():
        if re.match(pattern, command):
            place = ROOT / file
            files = [place] if place.is_file() else [p for p in place.rglob("*.py")]
            assert any(text in p.read_text() for p in files), f"{file} does not type {text}"
            return
    if words[0] == "ansible-playbook":
        check_playbook(words)
    elif words[0] == "make":
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[0] == "ansible-doc":
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[0] == "scripts/torch-check":
        said = subprocess.run([words[0], "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for option in (w for w in words if w.startswith("--")):
            assert option in said, option
    elif words[0] == ".":
        assert words[1] == ".venv/bin/activate"
    else:
        assert THEIRS.match(command), f"{page}: nothing runs '{command}': run it in a test, or say here that it is the operator's"


def check_playbook(words: list[str]) -> None:
    """Ansible takes it with these very options, and a scenario or test types the playbook."""
    playbook = next(word for word in words[1:] if word.endswith(".yml"))
    # What asks, waits or needs a vault is left out; an inventory of the reader's own is one of ours.
    left_out = ("--ask-become-pass", "--ask-vault-pass", "--check", "--diff")
    kept = [word for word in words if word not in left_out]
    for n, word in enumerate(kept):
        if word in ("-i", "--inventory") and not (ROOT / kept[n + 1]).exists():
            kept[n + 1] = "inventory/homelab"
    if not shutil.which("ansible-playbook"):
        pytest.skip("ansible-playbook is absent")
    done = subprocess.run([*kept, "--syntax-check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert typed(playbook) or (ROOT / "Makefile").read_text().count(playbook), f"no scenario types {playbook}"
