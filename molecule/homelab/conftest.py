"""Four hosts, looked at from outside, and an operator who types commands. Shared by the tests of this scenario."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "molecule/homelab"
STATE = "/var/lib/rollout/ktrdr"
NETWORK = "ktrdr-homelab"
VAULT = ["--vault-password-file", str(HERE / "vault-password")]


def docker(*arguments: str, check: bool = True) -> str:
    """Run docker on this machine."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


class Fleet:
    """The four hosts."""

    def __init__(self) -> None:
        hosts = yaml.safe_load((HERE / "inventory/hosts.yml").read_text())["all"]["hosts"]
        self.addresses = {name: facts["ansible_host"] for name, facts in hosts.items()}
        self.hosts = list(self.addresses)

    def exec(self, host: str, *argv: str) -> str:
        return docker("exec", f"ktrdr-homelab-{host}", *argv)

    def exists(self, host: str, file: str) -> bool:
        return bool(self.exec(host, "sh", "-c", f"test ! -e {STATE}/{file} || echo there"))

    def ledger(self, host: str) -> list[dict]:
        return [json.loads(line) for line in self.exec(host, "sh", "-c", f"cat {STATE}/ledger.jsonl || true").splitlines()]

    def last(self, host: str, event: str) -> bool:
        """Whether that is the last entry."""
        return self.ledger(host)[-1]["event"] == event

    def running(self, host: str) -> dict[str, str]:
        """Running service of the release -> the release that its container's label names."""
        form = '{{.Label "com.docker.compose.service"}} {{.Label "rollout.release"}}'
        rows = [row.partition(" ")[::2] for row in self.exec(host, "docker", "ps", "--format", form).splitlines()]
        return {service: release for service, release in rows if service != "db"}

    def database_id(self) -> str:
        return self.exec("core", "docker", "ps", "--quiet", "--no-trunc", "--filter", "name=ktrdr-core-db")

    def cut(self, host: str) -> None:
        docker("network", "disconnect", NETWORK, f"ktrdr-homelab-{host}")

    def restore(self, host: str) -> None:
        docker("network", "connect", "--ip", self.addresses[host], NETWORK, f"ktrdr-homelab-{host}")
        self.wait(lambda: self._answers(host), 60, f"{host} answers")

    def reboot(self, host: str) -> None:
        docker("restart", f"ktrdr-homelab-{host}")
        self.wait(lambda: self._answers(host), 90, f"{host} answers after its reboot")

    def _answers(self, host: str) -> bool:
        command = ["docker", "exec", f"ktrdr-homelab-{host}", "docker", "ps", "--quiet"]
        ready = subprocess.run(command, capture_output=True, timeout=30).returncode == 0
        return ready and subprocess.run(["ssh-keyscan", "-T", "3", self.addresses[host]], capture_output=True).stdout != b""

    @contextlib.contextmanager
    def without_registry(self):
        docker("stop", "ktrdr-homelab-registry")
        try:
            yield
        finally:
            docker("start", "ktrdr-homelab-registry")

    def forget_images(self, host: str, release: str) -> None:
        """Remove a release's images from a host on which it does not run."""
        self.exec(
            host,
            "sh",
            "-c",
            f"docker image ls --format '{{{{.ID}}}}' --filter 'reference=*/*:{release}' | sort -u | xargs -r docker rmi --force",
        )

    def watch_processes(self, host: str) -> None:
        """Record the command line of every process, until `processes` asks for them and for five minutes at most."""
        script = "umask 077; touch /run/watch; for n in $(seq 1000); do test -e /run/watch || break; ps -eo args; sleep 0.3; done"
        docker("exec", "--detach", f"ktrdr-homelab-{host}", "sh", "-c", script + " > /run/seen")

    def processes(self, host: str) -> str:
        return self.exec(host, "sh", "-c", "rm -f /run/watch; sort -u /run/seen")

    def world_readable(self, host: str, texts: list[str]) -> str:
        """The lines in files which everybody may read, outside /proc and /sys, that hold one of the texts."""
        find = "find /etc /home /root /run /tmp /var/lib/rollout /var/log /var/tmp -xdev -type f -perm -o=r"
        # The patterns are not to be found on a command line.
        script = f"umask 077; cat > /run/patterns; {find} -exec grep -aF -f /run/patterns {{}} +; rm /run/patterns"
        command = ["docker", "exec", "--interactive", f"ktrdr-homelab-{host}", "sh", "-c", script]
        return subprocess.run(command, input="\n".join(texts), capture_output=True, text=True, timeout=120).stdout

    @staticmethod
    def wait(condition, seconds: float, what: str) -> bool:
        """Wait until the condition holds."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.3)
        return True


@dataclass
class Result:
    """What a command came to."""

    rc: int
    out: str

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

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "COLUMNS": "80"}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it, and all processes of its group, without a chance to clean up."""
        self._signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def finish(self, seconds: float = 300) -> Result:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still at work after {seconds:.0f} s:\n{self.log.read_text()[-3000:]}") from None
        return Result(code, self.log.read_text())


class Controller:
    """Types commands as an operator does."""

    def __init__(self, logs: Path) -> None:
        self.logs, self.count = logs, 0
        self.started: list[Running] = []

    def start(self, playbook: str, *arguments: str) -> Running:
        self.count += 1
        command = ["ansible-playbook", "--inventory", str(HERE / "inventory"), *VAULT, playbook, *arguments]
        running = Running(command, self.logs / f"{self.count}.log")
        self.started.append(running)
        return running

    def run(self, playbook: str, *arguments: str, seconds: float = 400) -> Result:
        return self.start(playbook, *arguments).finish(seconds)


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture(scope="session")
def controller(tmp_path_factory):
    made = Controller(tmp_path_factory.mktemp("controller"))
    yield made
    for running in made.started:
        if running.process.poll() is None:
            running.kill()


@pytest.fixture(scope="session")
def canaries(controller) -> list[str]:
    """The database's and the registry's password, from the vault."""
    command = ["ansible-vault", "view", *VAULT, str(HERE / "inventory/group_vars/all/vault.yml")]
    secrets = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [secrets["vault_ktrdr_database_password"], secrets["vault_registry_password"]]


@pytest.fixture(scope="session")
def on(fleet, controller):
    """Bring the fleet to a release, unless it is there."""

    def bring(release: str) -> None:
        def there(host: str) -> bool:
            stable = [e for e in fleet.ledger(host) if e["event"] in ("confirmed", "reverted", "switching")]
            closed = bool(stable) and stable[-1]["event"] != "switching" and stable[-1]["name"] == release
            return closed and set(fleet.running(host).values()) == {release}

        if not all(there(host) for host in fleet.hosts):
            result = controller.run("rollout.yml", "-e", f"sha={release[4:]}")
            assert result.rc == 0, result.out[-3000:]

    return bring
