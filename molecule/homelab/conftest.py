"""Four hosts, looked at from outside, and an operator who types commands. Shared by the tests of this scenario."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
import yaml
from operators import Machine, Operator, docker, wait

HERE = Path(__file__).parent
NETWORK = "ktrdr-homelab"
VAULT = ["--vault-password-file", str(HERE / "vault-password")]


class Fleet:
    """The four hosts."""

    def __init__(self) -> None:
        hosts = yaml.safe_load((HERE / "inventory/hosts.yml").read_text())["all"]["hosts"]
        self.addresses = {name: facts["ansible_host"] for name, facts in hosts.items()}
        self.hosts = list(self.addresses)

    def __getitem__(self, host: str) -> Machine:
        return Machine(f"ktrdr-homelab-{host}")

    def exec(self, host: str, *argv: str, stdin: str = "") -> str:
        return self[host].exec(*argv, stdin=stdin)

    def exists(self, host: str, file: str) -> bool:
        return self[host].exists(file)

    def ledger(self, host: str) -> list[dict]:
        return self[host].ledger()

    def last(self, host: str, event: str) -> bool:
        """Whether that is the last entry."""
        return self.ledger(host)[-1]["event"] == event

    def releases(self, host: str) -> set[str]:
        return self[host].releases()

    def database_id(self) -> str:
        return self["core"].database()

    def cut(self, host: str) -> None:
        docker("network", "disconnect", NETWORK, f"ktrdr-homelab-{host}")

    def restore(self, host: str) -> None:
        docker("network", "connect", "--ip", self.addresses[host], NETWORK, f"ktrdr-homelab-{host}")
        wait(lambda: self._answers(host), 60, f"{host} answers")

    def reboot(self, host: str) -> None:
        docker("restart", f"ktrdr-homelab-{host}")
        wait(lambda: self._answers(host), 90, f"{host} answers after its reboot")

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
        return self.exec(host, "sh", "-c", script, stdin="\n".join(texts))


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture(scope="session")
def controller():
    typing = Operator("homelab", *VAULT)
    yield typing
    typing.leave()


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
            return closed and fleet.releases(host) == {release}

        if not all(there(host) for host in fleet.hosts):
            controller.run("rollout.yml", "-e", f"sha={release[4:]}")

    return bring


@pytest.fixture
def small_disk(fleet):
    """Give a host's state a small disk of its own, and something that fills it; afterwards the state is where it was."""

    @contextlib.contextmanager
    def give(host: str):
        state, aside = fleet[host].state, "/var/lib/rollout/aside"

        def shell(line: str) -> None:
            fleet.exec(host, "sh", "-c", line)

        shell(f"cp -a {state} {aside} && mount -t tmpfs -o size=8m,mode=700,uid=$(stat -c %u {state}) small {state}")
        shell(f"cp -a {aside}/. {state}/ && rm -rf {aside}")
        try:
            # Empty lines fill the ledger's own last block: its next entry needs a new one.
            full = f"yes '' | head --bytes=8192 >> {state}/ledger.jsonl"
            yield lambda: shell(f"dd if=/dev/zero of={state}/fill bs=4k 2> /dev/null; ! {{ {full}; }} 2> /dev/null")
        finally:
            shell(f"rm -f {state}/fill && cp -a {state} {aside} && umount --lazy {state}")
            shell(f"cp -a {aside}/. {state}/ && rm -rf {aside}")

    return give
