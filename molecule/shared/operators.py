"""An operator who types commands, and a machine that is looked at from outside. Shared by the scenarios."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def wait(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The first true value of the condition; AssertionError if there is none in that time."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return found


def docker(*arguments: str, stdin: str = "") -> str:
    """Run docker on this machine."""
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Machine:
    """A host of a scenario, by the name of its container, and the application that runs there."""

    container: str
    application: str = "ktrdr"

    @property
    def state(self) -> str:
        """The directory in which the rollout keeps its state."""
        return f"/var/lib/rollout/{self.application}"

    def exec(self, *argv: str, stdin: str = "") -> str:
        """The output of a command there."""
        return docker("exec", "--interactive", self.container, *argv, stdin=stdin)

    def address(self) -> str:
        """Its address on the machine's network of containers."""
        return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.container)

    def exists(self, file: str) -> bool:
        """Whether the state holds that file."""
        return bool(self.exec("sh", "-c", f"test ! -e {self.state}/{file} || echo there"))

    def ledger(self) -> list[dict]:
        """The entries of the ledger; empty if the host has no ledger."""
        lines = self.exec("sh", "-c", f"cat {self.state}/ledger.jsonl || true").splitlines()
        return [json.loads(line) for line in lines if line]

    def release(self, name: str) -> dict:
        """The release.json of a staged release."""
        return json.loads(self.exec("cat", f"{self.state}/releases/{name}/release.json"))

    def image(self, release: str, name: str) -> str:
        """An image of a staged release, by digest."""
        images = self.release(release)["images"]
        found = {reference.rpartition(":")[0]: facts["digest"] for reference, facts in images.items()}
        return next(f"{repository}@{digest}" for repository, digest in found.items() if repository.endswith(f"/{name}"))

    def running(self) -> dict[str, tuple[str, str]]:
        """Running service, except the database -> the release that its container's label names, and the container's id."""
        form = '{{.Label "com.docker.compose.service"}} {{.Label "rollout.release"}} {{.ID}}'
        rows = [row.split(" ") for row in self.exec("docker", "ps", "--no-trunc", "--format", form).splitlines()]
        return {service: (release, container) for service, release, container in rows if service != "db"}

    def releases(self) -> set[str]:
        """The releases that run."""
        return {release for release, _container in self.running().values()}

    def database(self) -> str:
        """The id of the database's container."""
        return self.exec("docker", "ps", "--quiet", "--no-trunc", "--filter", f"name={self.application}-core-db")


@dataclass(frozen=True)
class Result:
    """What a command came to, and how many seconds it took."""

    rc: int
    out: str
    seconds: float

    @property
    def said(self) -> str:
        """All of it in one line."""
        return " ".join(self.out.split())

    @property
    def run(self) -> str:
        """The run's id."""
        return re.findall(r"Run (\d{8}T\d{6}Z-\w{4})\.", self.out)[-1]


class Running:
    """A command that was typed and goes on."""

    def __init__(self, command: list[str]) -> None:
        self.command, self.began = command, time.monotonic()
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "COLUMNS": "80"}
        # A file: a pipe that nobody reads would stop it.
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _out(self) -> str:
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode()

    def kill(self) -> None:
        """End it, and all processes of its group, without a chance to clean up."""
        self._signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        """Let it sleep."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Wake it up."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self, seconds: float = 300) -> Result:
        """Wait for its end, whatever it comes to; AssertionError if it is not over in that time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still at work after {seconds:.0f} s:\n{self._out()[-3000:]}") from None
        result = Result(code, self._out(), time.monotonic() - self.began)
        print(f"\n$ {' '.join(self.command[3:])}  ({result.seconds:.0f} s)")
        return result

    def finish(self, rc: int = 0, seconds: float = 300) -> Result:
        """Wait for its end; AssertionError if it is not over in that time, or has another exit status."""
        result = self.end(seconds)
        assert result.rc == rc, result.out[-4000:]
        assert "Traceback" not in result.out
        return result


class Operator:
    """Types commands for the hosts of one scenario."""

    def __init__(self, scenario: str, *options: str) -> None:
        self.inventory = ROOT / "molecule" / scenario / "inventory"
        self.options = options
        self.started: list[Running] = []

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The command line of a playbook."""
        return ["ansible-playbook", "--inventory", str(self.inventory), *self.options, playbook, *arguments]

    def start(self, playbook: str, *arguments: str) -> Running:
        """Type a command that goes on."""
        running = Running(self.command(playbook, *arguments))
        self.started.append(running)
        return running

    def run(self, playbook: str, *arguments: str, rc: int = 0, seconds: float = 300) -> Result:
        """Type a command and wait for its end, as Running.finish does."""
        return self.start(playbook, *arguments).finish(rc, seconds)

    def leave(self) -> None:
        """End what still goes on."""
        for running in self.started:
            if running.process.poll() is None:
                running.kill()
