"""Every command in the documentation is run: here where that harms nothing, else by the scenario or the test that is named.

Each indented block and each fence is a screen, data, or commands. A command that nothing runs, and that is not in the list of
those for the operator's own hosts, fails.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy/environments/homelab/README.md"]
BIN = Path(sys.executable).parent
ENV = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
# How a screen begins: the plan, steps, tables, a verdict on torch;
# in docs/architecture.md the flow, an example of rollbacks, and the way that progress takes.
SCREEN = re.compile(
    r"\s*(ROLLOUT |Switch the |SERVICE  |NAME: expected torch|plan    controller|rollout A, rollout B|host        stack|controller  action)"
)
# In a line of text these words begin a command.
OURS = r"ansible|ansible-playbook|ansible-doc|ansible-vault|make|kinfra|scripts/torch-check"
# What acts on the operator's own host, card or database: not run here. Each is a beginning.
THEIRS = (
    "sudo ",
    "docker exec CONTAINER ",
    "docker exec --interactive --tty ktrdr-core-db-1 psql ",
    "grep --no-filename --only-matching '/.*libcuda",
    "echo 'options nvidia ",
)
# An inventory that the reader writes: here it is one of ours.
MENDED = {"inventory/hello": "inventory/homelab"}


class Proof(NamedTuple):
    """Who runs a command that is not run here: a file, and the words in it."""

    file: str
    words: tuple[str, ...]


HOMELAB = "molecule/homelab/tests"
LOCAL, SANDBOX = "molecule/environments/tests/test_1_local.py", "molecule/environments/tests/test_2_sandbox.py"
# Of ansible-playbook, here only the syntax is checked: who runs this playbook, and who gives it this option.
PLAYBOOKS = {
    "rollout.yml": Proof(f"{HOMELAB}/test_3_lost.py", ('controller.run("rollout.yml", "-e", "sha=bbbbbb2"',)),
    "rollback.yml": Proof(f"{HOMELAB}/test_5_rollback.py", ('controller.run("rollback.yml")',)),
    "status.yml": Proof(f"{HOMELAB}/test_3_lost.py", ('controller.run("status.yml")',)),
    "playbooks/prepare.yml": Proof("molecule/homelab/prepare.yml", ("import_playbook: ../../playbooks/prepare.yml",)),
    "playbooks/gpu_check.yml": Proof("molecule/gpu/tests/test_gpu.py", ('run("playbooks/gpu_check.yml")',)),
    "playbooks/unlock.yml": Proof(f"{HOMELAB}/test_4_controller.py", ('controller.run("playbooks/unlock.yml")',)),
}
OPTIONS = {
    "--check": Proof("tests/commands/test_showing.py", ('[(), ("--check",)]',)),
    "--diff": Proof(f"{HOMELAB}/test_6_secrets.py", ('"--diff"',)),
    "--limit": Proof(f"{HOMELAB}/test_3_lost.py", ('"--limit", "workers-b"',)),
    "--ask-vault-pass": Proof("molecule/homelab/conftest.py", ("--vault-password-file",)),
    # It asks a person.
    "--ask-become-pass": Proof("playbooks/prepare.yml", ("become: true",)),
    "sha": Proof(f"{HOMELAB}/test_4_controller.py", ('"rollback.yml", "-e", "sha=aaaaaa1"',)),
    "tag": Proof("tests/unit/module_utils/test_reference.py", ("wanted_tag",)),
    "strict": Proof("molecule/default/conftest.py", ('"format=json", "-e", "strict=true"',)),
    "format": Proof("molecule/default/conftest.py", ('"format=json", "-e", "strict=true"',)),
}
ELSEWHERE = {
    r"cd deploy/environments/local$": Proof(LOCAL, ("\ncd deploy/environments/local\n",)),
    r"docker compose up -d$": Proof(LOCAL, ("\ndocker compose up -d\n",)),
    r"docker compose down$": Proof(LOCAL, ("\ndocker compose down\n",)),
    r"curl http://localhost:8000/api/v1/health$": Proof(LOCAL, ("\ncurl http://localhost:8000/api/v1/health\n",)),
    r"IMAGE_TAG=\S+ docker compose -f docker-compose.yml -f docker-compose.images.yml up -d$": Proof(
        LOCAL, ("IMAGE_TAG=sha-aaaaaa1", '"-f docker-compose.yml -f docker-compose.images.yml"', "docker compose {files} up -d")
    ),
    r"kinfra sandbox provision": Proof(SANDBOX, ("kinfra sandbox provision 9",)),
    r"kinfra sandbox up": Proof(SANDBOX, ("kinfra sandbox up 8",)),
    r"kinfra sandbox list": Proof(SANDBOX, ('"kinfra sandbox list"',)),
    r"kinfra sandbox down": Proof(SANDBOX, ("kinfra sandbox down 8",)),
    r"kinfra sandbox destroy": Proof(SANDBOX, ("kinfra sandbox destroy 9",)),
    r"kinfra sandbox logs": Proof("tests/unit/ktrdr/cli/test_sandbox.py", ("sandbox logs 1",)),
    r"ansible \S+ .*-m torch_check ": Proof("molecule/torch/tasks/check.yml", ("\n  torch_check:\n",)),
    r"scripts/torch-check": Proof("tests/unit/scripts/test_torch_check_script.py", ("torch_check(",)),
    r"docker compose --env-file my.env -f docker-compose.core.yml up -d$": Proof(
        "tests/unit/templates/test_environments.py", ("--env-file",)
    ),
}


def logical(block: str) -> list[str]:
    """The commands of a block: a backslash or a pipe at the end goes on in the next line; what stands after # is a remark."""
    joined = re.sub(r"(\\|(?<=\|))\n\s*", " ", block)
    lines = (re.sub(r"\s+#\s.*", "", re.sub(r" +", " ", line)).strip() for line in joined.splitlines())
    return [line.removeprefix("$ ") for line in lines if line]


def data(block: str) -> bool:
    """Whether a block is YAML, as keys or as a list."""
    try:
        return isinstance(yaml.safe_load(block), (dict, list))
    except yaml.YAMLError:
        return False


def blocks(text: str) -> list[str]:
    """What stands indented behind an empty line, and in fences without a language or with that of a shell."""
    fences = [
        found[2]
        for found in re.finditer(r"^```(\w*)\n(.*?)^```\s*$", text, re.M | re.S)
        if found[1] in ("", "sh", "bash", "console")
    ]
    rest = re.sub(r"^```.*?^```\s*$", "", text, flags=re.M | re.S)
    found = re.findall(r"(?<=\n\n)((?: {4,}\S.*\n|\n(?= {4}))+)", rest)
    # In a list, what is indented as its text is more text.
    return [*fences, *(block for block in found if not re.match(r" {4,5}[-*] ", block))]


def unindented(block: str) -> str:
    least = min(len(line) - len(line.lstrip()) for line in block.splitlines() if line.strip())
    return "\n".join(line[least:] for line in block.splitlines())


def commands() -> list[tuple[str, str]]:
    """Page and command: of every block that is neither screen nor data, and those of ours in the text."""
    found = []
    for page in PAGES:
        text, name = page.read_text(), str(page.relative_to(ROOT))
        for block in map(unindented, blocks(text)):
            if not SCREEN.match(block) and not data(block):
                found += [(name, line) for line in logical(block)]
        for quoted in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"^```.*?^```\s*$", "", text, flags=re.M | re.S)):
            if re.match(rf"(?:[A-Z_]+=\S+ )?(?:{OURS}) \S", quoted):
                found.append((name, " ".join(quoted.split())))
    return found


COMMANDS: dict[str, str] = {}
for _page, _command in commands():
    COMMANDS.setdefault(_command, _page)


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=options.pop("cwd", ROOT), env=ENV, capture_output=True, text=True, **options)


def proven(proof: Proof) -> None:
    said = (ROOT / proof.file).read_text()
    for words in proof.words:
        assert words in said, f"{proof.file} does not have {words!r}"


def test_there_are_commands():
    assert len(COMMANDS) > 40
    assert {page.rpartition("/")[2] for page in COMMANDS.values()} >= {
        "README.md",
        "operations.md",
        "gpu.md",
        "your-own-stack.md",
    }


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_is_run(command):
    page = COMMANDS[command]
    # Up to what the shell does with it. … stands for a value.
    plain = re.split(r" (?:\||\|\||&&|[12]?>+|;) ", command)[0].replace("=…", "=abc1234")
    words = [word for word in shlex.split(plain) if word != "…"]
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    check = CHECKS.get(words[0])
    matching = [proof for pattern, proof in ELSEWHERE.items() if re.match(pattern, command)]
    if check:
        check(words)
    for proof in matching:
        proven(proof)
    known = check or matching or command.startswith(THEIRS) or command in TOGETHER
    assert known, f"{page}: nothing runs '{command}': run it in a test, name who runs it, or say that it is the operator's"


def check_playbook(words: list[str]) -> None:
    """Ansible takes it with these very options; playbook and options are run by the scenario or test that is named."""
    playbook = next(word for word in words[1:] if word.endswith(".yml"))
    proven(PLAYBOOKS[playbook])
    kept = []
    for word in words:
        if word.startswith("--ask"):
            proven(OPTIONS[word])
            continue
        if word in ("--check", "--diff", "--limit") or re.match(r"(sha|tag|strict|format)=", word):
            proven(OPTIONS[word.partition("=")[0]])
        kept.append(MENDED.get(word, word))
    for n, word in enumerate(kept):
        if word == "-i":
            assert (ROOT / kept[n + 1]).exists(), kept[n + 1]
    done = run(*kept, "--syntax-check")
    assert done.returncode == 0, done.stdout + done.stderr


def check_make(words: list[str]) -> None:
    """The target is there, and what it would do can be told."""
    done = run("make", "--dry-run", *words[1:])
    assert done.returncode == 0, done.stderr


def check_ansible(words: list[str]) -> None:
    """The module takes each of these keys."""
    module = words[words.index("-m") + 1]
    known = yaml.safe_load(re.search(r'DOCUMENTATION = r?"""(.*?)"""', (ROOT / f"library/{module}.py").read_text(), re.S)[1])
    given = shlex.split(words[words.index("-a") + 1]) if "-a" in words else []
    assert {key.partition("=")[0] for key in given} <= set(known["options"])


def check_doc(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "expect" in done.stdout


def check_vault(words: list[str]) -> None:
    """There is such a verb; the file has an example beside it."""
    assert words[1] in run("ansible-vault", "--help").stdout
    for file in words[2:]:
        assert (ROOT / file).with_name("vault.example.yml").exists()


def check_help(words: list[str]) -> None:
    """Its help knows the subcommand and each option."""
    program = [sys.executable, str(ROOT / "ktrdr/cli/kinfra")] if words[0] == "kinfra" else [sys.executable, str(ROOT / words[0])]
    verbs = words[1:3] if words[0] == "kinfra" else []
    done = subprocess.run([*program, *verbs, "--help"], env={**ENV, "COLUMNS": "200"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout, option


def check_activate(words: list[str]) -> None:
    assert words[1] == ".venv/bin/activate"
    assert "venv" in (ROOT / "scripts/venv.sh").read_text()


CHECKS = {
    "ansible-playbook": check_playbook,
    "make": check_make,
    "ansible": check_ansible,
    "ansible-doc": check_doc,
    "ansible-vault": check_vault,
    "kinfra": check_help,
    "scripts/torch-check": check_help,
    ".": check_activate,
}


def block_with(page: str, begin: str) -> str:
    """The block of a page that holds a command, as it is written there."""
    return next(block for block in map(unindented, blocks((ROOT / page).read_text())) if begin in block)


VAULT = [line for line in logical(block_with("README.md", "vault.example.yml")) if not line.startswith("ansible-playbook")]
BY_HAND = block_with("docs/operations.md", "env --ignore-environment")
# Lines that make sense one after the other: the tests below type them together.
TOGETHER = {*VAULT, *logical(BY_HAND)}


def test_the_vault_of_a_new_homelab(tmp_path):
    """README's three lines, in a copy, with an editor that changes nothing and a password from a file."""
    folder = tmp_path / "inventory/homelab/group_vars/all"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "inventory/homelab/group_vars/all/vault.example.yml", folder)
    (tmp_path / "password").write_text("secret\n")
    env = {**ENV, "EDITOR": "true", "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    done = subprocess.run(["bash", "-ec", "\n".join(VAULT)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "vault.yml").read_text().startswith("$ANSIBLE_VAULT;")


def test_a_stack_by_hand(tmp_path):
    """The lines of docs/operations.md, with a docker that notes what it is asked."""
    release, _tools = tmp_path / "release", tmp_path / "bin"
    release.mkdir()
    _tools.mkdir()
    for name in (".env", "docker-compose.core.yml", "docker-compose.core.pins.json"):
        (release / name).touch()
    (_tools / "docker").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\nenv > {tmp_path}/env\n')
    (_tools / "docker").chmod(0o755)
    script = BY_HAND.replace("/var/lib/rollout/ktrdr/releases/sha-abc1234", str(release))
    env = {**ENV, "PATH": f"{_tools}:{ENV['PATH']}", "IMAGE_TAG": "exported"}
    subprocess.run(["bash", "-ec", script], env=env, check=True)
    assert "IMAGE_TAG" not in (tmp_path / "env").read_text()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:3] == ["compose", "--project-name", "ktrdr-core"]
    assert str(release) in asked
    for file in (asked[n + 1] for n, word in enumerate(asked) if word in ("--file", "--env-file")):
        assert (release / file).exists()
    if shutil.which("docker"):
        said = run("docker", "compose", "--help").stdout + run("docker", "compose", "up", "--help").stdout
        assert [word for word in asked if word.startswith("--") and word not in said] == []


@pytest.mark.parametrize(
    "text", ["\n\n    frobnicate --all\n", "\n\n```sh\nfrobnicate --all\n```\n", "\n1. Do:\n\n       frobnicate --all\n"]
)
def test_a_new_command_is_seen(text):
    (block,) = map(unindented, blocks(text))
    assert logical(block) == ["frobnicate --all"]
    assert not data(block)
    assert not SCREEN.match(block)
    assert not block.startswith(THEIRS)
