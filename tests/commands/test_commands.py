"""Every command in the documentation is run here, on an engine that is simulated, or is named with the reason why it is not.

Each indented block and each fence is a screen, data, or commands. A command that is neither run nor named fails.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy/environments/homelab/README.md"]
BIN = Path(sys.executable).parent
ENV = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
# How a screen begins: the plan, steps, tables, a verdict on torch;
# in docs/architecture.md the flow, an example of rollbacks, and the way that progress takes.
SCREEN = re.compile(
    r"\s*(ROLLOUT |DRILL |Switch the |SERVICE  |NAME: expected torch|plan    controller|rollout A, rollout B|host        stack|controller  action)"
)
# In a line of text these words begin a command.
OURS = r"ansible|ansible-playbook|ansible-doc|ansible-vault|make|kinfra|scripts/torch-check"


class Elsewhere(NamedTuple):
    """A command that is not run here: its beginning, why not, and the file that runs it, with words of it; None: nobody."""

    pattern: str
    why: str
    file: Optional[str] = None
    words: tuple[str, ...] = ()


HOMELAB = "molecule/homelab/tests"
LOCAL, SANDBOX = "molecule/environments/tests/test_1_local.py", "molecule/environments/tests/test_2_sandbox.py"
ENGINE = "it needs a real engine"
NOT_RUN = (
    Elsewhere(
        r"ansible-playbook .*playbooks/prepare\.yml",
        "it installs packages, as root",
        "molecule/homelab/prepare.yml",
        ("import_playbook: ../../playbooks/prepare.yml",),
    ),
    Elsewhere(r"make ", "it takes minutes, needs a real engine or a browser, or writes into the checkout; CI runs make test"),
    Elsewhere(r"docker compose up -d$", ENGINE, LOCAL, ("\ndocker compose up -d\n",)),
    Elsewhere(r"docker compose down$", ENGINE, LOCAL, ("\ndocker compose down\n",)),
    Elsewhere(r"curl http://localhost:8000/api/v1/health$", ENGINE, LOCAL, ("\ncurl http://localhost:8000/api/v1/health\n",)),
    Elsewhere(
        r"IMAGE_TAG=\S+ docker compose -f docker-compose.yml -f docker-compose.images.yml up -d$",
        ENGINE,
        LOCAL,
        ("IMAGE_TAG=sha-aaaaaa1", '"-f docker-compose.yml -f docker-compose.images.yml"', "docker compose {files} up -d"),
    ),
    Elsewhere(r"(KTRDR_BACKEND_IMAGE=\S+ )?kinfra sandbox provision", ENGINE, SANDBOX, ("kinfra sandbox provision 9",)),
    Elsewhere(r"kinfra sandbox up", ENGINE, SANDBOX, ("kinfra sandbox up 8",)),
    Elsewhere(r"kinfra sandbox list", ENGINE, SANDBOX, ('"kinfra sandbox list"',)),
    Elsewhere(r"kinfra sandbox down", ENGINE, SANDBOX, ("kinfra sandbox down 8",)),
    Elsewhere(r"kinfra sandbox destroy", ENGINE, SANDBOX, ("kinfra sandbox destroy 9",)),
    Elsewhere(r"kinfra sandbox logs", ENGINE, "tests/unit/ktrdr/cli/test_sandbox.py", ("sandbox logs 1",)),
    Elsewhere(r"scripts/torch-check", ENGINE, "tests/unit/scripts/test_torch_check_script.py", ("torch_check(",)),
    Elsewhere(
        r"docker compose --env-file my.env -f docker-compose.core.yml up -d$",
        ENGINE,
        "tests/unit/deploy/compose/test_environments.py",
        ("--env-file",),
    ),
    Elsewhere(r"echo 'torch==", "it writes into the checkout, for `make requirements`, which asks the index of torch"),
    Elsewhere(
        r"sudo |docker exec |grep --no-filename --only-matching '/.*libcuda|echo 'options nvidia ",
        "it acts on the operator's own host, card or database",
    ),
    Elsewhere(
        r"""(docker (start|stop)|zcat|ls -l|sha256sum|grep '"event"|cd /var/lib/rollout/shop/|env .* --project-name shop )""",
        "it acts on the operator's own host and database",
    ),
    Elsewhere(
        r"ansible-playbook playbooks/adopt\.yml .*-e project=",
        ENGINE,
        "molecule/data/tests/test_1_adopt.py",
        ('"playbooks/adopt.yml", "-e", "project=shop"',),
    ),
    Elsewhere(
        r"ansible-playbook playbooks/restore\.yml -e backup=",
        ENGINE,
        "molecule/data/tests/test_5_any_day.py",
        ('"playbooks/restore.yml", *variables(f"backup=',),
    ),
)
# An inventory that the reader writes: here it is one of ours.
MENDED = {
    **dict.fromkeys(("~/photos/hosts.yml", "hosts.yml"), "docs/examples/photos/hosts.yml"),
    "inventory/immich": "docs/examples/kokoro/inventory",
}
# Playbook -> exit status, and what it says on an engine on which nothing runs, with a registry that does not answer.
SAID = {
    "rollout.yml": (2, "ROLLOUT REFUSED: nothing was touched, what ran before still runs."),
    "rollback.yml": (2, "ROLLBACK REFUSED: nothing was touched, what ran before still runs."),
    "status.yml": (0, "Everything runs as it was released."),
    "gpu_check.yml": (2, "No service has a torch contract"),
    "unlock.yml": (0, "localhost: no lock."),
    "adopt.yml": (0, "no Compose project"),
    "backup.yml": (2, "Nothing was backed up"),
    "restore.yml": (0, "There is no backup on any host."),
    "drill.yml": (2, "There is no earlier stable release"),
    "remove.yml": (0, "nothing of it is there"),
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
            # What ends with a full stop is a sentence that begins with one.
            if re.match(rf"(?:[A-Z_]+=\S+ )?(?:{OURS}) \S", quoted) and not quoted.endswith("."):
                found.append((name, " ".join(quoted.split())))
    return found


COMMANDS: dict[str, str] = {}
for _page, _command in commands():
    COMMANDS.setdefault(_command, _page)


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=options.pop("cwd", ROOT), env=ENV, capture_output=True, text=True, **options)


def test_there_are_commands():
    assert len(COMMANDS) > 40
    assert {page.rpartition("/")[2] for page in COMMANDS.values()} >= {
        "README.md",
        "operations.md",
        "gpu.md",
        "your-own-stack.md",
    }


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """Variables and words, up to what the shell does with them. … stands for a value."""
    plain = re.split(r" (?:\||\|\||&&|[12]?>+|;) ", command)[0].replace("=…", "=abc1234").replace("/path/to/rollout", str(ROOT))
    words = [word for word in shlex.split(plain) if word != "…"]
    variables = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, variables[name] = words.pop(0).partition("=")
    return variables, words


def run_playbook(command: str, ansible: Any, tmp_path: Path) -> None:
    """On the simulated engine, with its inventory in place of the one that is named, and a password from a file."""
    variables, words = words_of(command)
    (tmp_path / "password").write_text("secret\n")
    given = iter(words[1:])
    options, playbook = [], ""
    for word in given:
        if word == "-i":
            theirs = next(given)
            assert (ROOT / MENDED.get(theirs, theirs)).exists(), theirs
        elif word.endswith(".yml"):
            playbook = word
        else:
            # The application of the simulated engine is called app.
            typed = word.replace("delete_data=photos", "delete_data=app")
            options += ["--vault-password-file", str(tmp_path / "password")] if word == "--ask-vault-pass" else [typed]
    done = ansible(playbook, *options, env=variables, cwd=tmp_path if Path(playbook).is_absolute() else ROOT)
    code, sentence = SAID[Path(playbook).name]
    assert done.returncode == code, done.stdout + done.stderr
    if "format=json" in options:
        assert json.loads(done.stdout)["drift"] == []
    else:
        assert sentence in done.stdout


def run_module(command: str, ansible: Any, tmp_path: Path) -> None:
    """On the simulated engine: a module of ours takes these arguments, and finds nothing there; Ansible's own answers."""
    _variables, words = words_of(command)
    rest = words[words.index("-m") :]
    ours = (ROOT / "library" / f"{rest[1]}.py").exists()

    def typed(_playbook: str, inventory: str, _options: list[str]) -> list[str]:
        return ["ansible", "gpu", "-i", inventory, *rest]

    done = ansible("", typed=typed, groups=("gpu",))
    assert done.returncode == (2 if ours else 0), done.stdout + done.stderr
    assert f"localhost | {'FAILED!' if ours else 'SUCCESS'} => " in done.stdout
    assert "Unsupported parameters" not in done.stdout


def run_doc(command: str, _ansible: Any, _tmp_path: Path) -> None:
    done = run(*words_of(command)[1])
    assert done.returncode == 0, done.stderr
    assert "expect" in done.stdout


def run_vault(command: str, _ansible: Any, tmp_path: Path) -> None:
    """In a copy, with an editor that changes nothing and a password from a file."""
    verb, *files = words_of(command)[1][1:]
    (tmp_path / "password").write_text("secret\n")
    env = {**ENV, "EDITOR": "true", "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    file = tmp_path / "vault.yml"
    (example,) = [(ROOT / name).with_name("vault.example.yml") for name in files] or [ROOT / VAULT_EXAMPLE]
    shutil.copy(example, file)
    for step in dict.fromkeys(("encrypt", verb)):
        subprocess.run(["ansible-vault", step, str(file)], env=env, check=True, capture_output=True)
    assert file.read_text().startswith("$ANSIBLE_VAULT;")


def run_shell(command: str, _ansible: Any, _tmp_path: Path) -> None:
    done = run("bash", "-ec", command)
    assert done.returncode == 0, done.stderr


VAULT_EXAMPLE = "inventory/homelab/group_vars/all/vault.example.yml"
RUN = {
    "ansible-playbook": run_playbook,
    "ansible": run_module,
    "ansible-doc": run_doc,
    "ansible-vault": run_vault,
    ".": run_shell,
    "cd": run_shell,
}


def named(command: str) -> Optional[Elsewhere]:
    return next((one for one in NOT_RUN if re.match(one.pattern, command)), None)


def run_here(command: str) -> bool:
    return not named(command) and command not in TOGETHER and words_of(command)[1][0] in RUN


def test_each_command_is_run_or_named():
    unknown = {c: page for c, page in COMMANDS.items() if not (run_here(c) or named(c) or c in TOGETHER)}
    assert unknown == {}, "run it here, or name why it is not run, and who runs it"


@pytest.mark.parametrize("one", NOT_RUN, ids=lambda one: one.pattern)
def test_what_is_not_run_is_documented_and_run_elsewhere(one):
    assert [command for command in COMMANDS if re.match(one.pattern, command)], "no command begins so"
    said = (ROOT / one.file).read_text() if one.file else ""
    assert [words for words in one.words if words not in said] == []


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
    release, _tools = tmp_path / "release/core", tmp_path / "bin"
    release.mkdir(parents=True)
    _tools.mkdir()
    for name in (".env", "docker-compose.core.yml", "rollout.pins.json"):
        (release / name).touch()
    (_tools / "docker").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\nenv > {tmp_path}/env\n')
    (_tools / "docker").chmod(0o755)
    script = BY_HAND.replace("/var/lib/rollout/ktrdr/releases/sha-abc1234", str(release.parent))
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


@pytest.mark.parametrize("command", sorted(filter(run_here, COMMANDS)))
def test_each_command_is_run(command, ansible, tmp_path, request):
    if "status.yml" in command:
        request.getfixturevalue("released")
    RUN[words_of(command)[1][0]](command, ansible, tmp_path)


@pytest.mark.parametrize("command", sorted(command for command in COMMANDS if command.startswith("make")))
def test_make_knows_what_it_would_do(command):
    done = run("make", "--dry-run", *words_of(command)[1][1:])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", sorted(command for command in COMMANDS if re.search(r"kinfra |scripts/torch-check", command)))
def test_its_help_knows_the_subcommand_and_each_option(command):
    _variables, words = words_of(command)
    program = [sys.executable, str(ROOT / "ktrdr/cli/kinfra")] if words[0] == "kinfra" else [sys.executable, str(ROOT / words[0])]
    verbs = words[1:3] if words[0] == "kinfra" else []
    done = subprocess.run([*program, *verbs, "--help"], env={**ENV, "COLUMNS": "200"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout, option


@pytest.mark.parametrize(
    "text", ["\n\n    frobnicate --all\n", "\n\n```sh\nfrobnicate --all\n```\n", "\n1. Do:\n\n       frobnicate --all\n"]
)
def test_a_new_command_is_seen(text):
    (block,) = map(unindented, blocks(text))
    assert logical(block) == ["frobnicate --all"]
    assert not data(block)
    assert not SCREEN.match(block)
    assert not run_here("frobnicate --all")
    assert named("frobnicate --all") is None
