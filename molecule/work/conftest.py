"""The host and its backend, looked at from outside, and an operator who types commands. Shared by the tests of this scenario."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "molecule/work"
HOST = "ktrdr-molecule-work"
STATE = "/var/lib/rollout/ktrdr"


def wait(condition, seconds: float, what: str):
    """The first true value of the condition."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return found


class Machine:
    """The host."""

    def exec(self, *argv: str, stdin: str = "") -> str:
        command = ["docker", "exec", "--interactive", HOST, *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout.strip()

    def ledger(self) -> list[dict]:
        return [json.loads(line) for line in self.exec("cat", f"{STATE}/ledger.jsonl").splitlines()]

    def image(self, release: str, name: str) -> str:
        """An image of a staged release, by digest."""
        images = json.loads(self.exec("cat", f"{STATE}/releases/{release}/release.json"))["images"]
        return next(f"{repository}@{facts['digest']}" for repository, facts in images.items() if repository.endswith(name))

    def running(self) -> dict[str, tuple[str, str]]:
        """Running service of the release -> the release that its label names, and the container's id."""
        form = '{{.Label "com.docker.compose.service"}} {{.Label "rollout.release"}} {{.ID}}'
        rows = [row.split(" ") for row in self.exec("docker", "ps", "--format", form).splitlines()]
        return {row[0]: (row[1], row[2]) for row in rows if row[0] != "db"}


class Backend:
    """The application's API. Raises OSError while it is away."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}:8000/api/v1/"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, document: dict | None = None):
        data = json.dumps(document).encode() if document else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=3) as answer:
            return json.loads(answer.read())

    def submit(self, operation: dict) -> dict:
        """Submit until it is heard: the same id is the same operation."""

        def heard():
            try:
                return self.ask("operations", operation)
            except OSError:
                return None

        return wait(heard, 60, f"operation {operation['id']} is submitted")


@dataclass
class Watch(threading.Thread):
    """Looks at the backend all the time: which states of which operation it saw, which releases of which worker."""

    backend: Backend
    operations: dict[str, list[dict]] = field(default_factory=dict)
    releases: set[tuple[str, str]] = field(default_factory=set)
    ended: bool = False

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)
        self.start()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.ended:
            try:
                for one in self.backend.ask("operations"):
                    seen = self.operations.setdefault(one["id"], [])
                    if not seen or seen[-1] != one:
                        seen.append(one)
                self.releases |= {(w["id"], w["release"]) for w in self.backend.ask("workers")}
            except OSError:
                pass  # it is being switched
            time.sleep(0.2)

    def states(self, keys: list[str]) -> set[str]:
        return {self.operations[key][-1]["state"] if key in self.operations else "" for key in keys}

    def count(self, *states: str) -> int:
        return sum(seen[-1]["state"] in states for seen in list(self.operations.values()))


@dataclass
class Result:
    """What a command came to, and how many seconds it took."""

    rc: int
    out: str
    seconds: float

    @property
    def said(self) -> str:
        """All of it in one line."""
        return " ".join(self.out.split())


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Machine()


@pytest.fixture(scope="session")
def backend() -> Backend:
    form = "{{.NetworkSettings.IPAddress}}"
    found = subprocess.run(["docker", "inspect", "--format", form, HOST], capture_output=True, text=True, check=True)
    return Backend(found.stdout.strip())


@pytest.fixture
def watch(backend):
    watching = Watch(backend)
    yield watching
    watching.ended = True
    watching.join(10)


@pytest.fixture(scope="session")
def type_command(tmp_path_factory):
    """Type a command as an operator does, in a terminal of 80 columns; it may take so many seconds.

    ``meanwhile`` is called with its process while it is at work.
    """
    logs = tmp_path_factory.mktemp("controller")

    def run(playbook: str, *arguments: str, meanwhile=lambda process: None, seconds: float = 240) -> Result:
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "COLUMNS": "80"}
        command = ["ansible-playbook", "--inventory", str(HERE / "inventory"), playbook, *arguments]
        log, began = logs / f"{time.monotonic_ns()}.log", time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            meanwhile(process)
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still at work after {seconds:.0f} s:\n{log.read_text()[-3000:]}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        result = Result(code, log.read_text(), time.monotonic() - began)
        print(f"\n$ {' '.join(command[3:])}  ({result.seconds:.0f} s)\n{result.out}")
        return result

    return run
