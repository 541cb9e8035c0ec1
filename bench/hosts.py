"""Hosts over SSH: containers with engines of their own, one that has all four services beside several that share them."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from typing import Any, Callable

from bench import contestants, stack
from bench.contestants import Rollout
from bench.measure import run
from bench.rounds import LOGS, Record

IMAGE = "ktrdr-test-host:bookworm"
# As the hosts' engines reach the registry of this machine.
REGISTRY = "172.17.0.1:5000"
DIRECTORY = stack.WORK / "hosts"
WAVES = ("backend", "cpu_workers", "gpu_workers")


class Fleet(Rollout):
    """This project over SSH, to so many hosts."""

    def __init__(self, count: int) -> None:
        self.hosts = [f"bench-host-{count}-{n + 1}" for n in range(count)]
        self.inventory = DIRECTORY / f"inventory-{count}"
        super().__init__(f"ssh-{count}", "bench", inventory=str(self.inventory))
        self.reports = stack.WORK / "reports" / self.name

    def create(self) -> None:
        """Start the hosts, let the key in, and write the inventory.

        Raises:
            BenchError: a host did not come up.
        """
        self.remove()
        known = []
        for host in self.hosts:
            start = ["run", "--detach", "--name", host, "--hostname", host, "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]
            start += ["--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined", "--volume", "/var/lib/docker"]
            docker(*start, "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", IMAGE)
        for host in self.hosts:
            _await_engine(host)
            key = (DIRECTORY / "id.pub").read_text()
            install = "umask 077; mkdir -p ~/.ssh; cat > ~/.ssh/authorized_keys"
            docker("exec", "--interactive", host, "sh", "-c", install, said=key)
            known.append(f"{address(host)} {docker('exec', host, 'cat', '/etc/ssh/ssh_host_ed25519_key.pub')}")
        group_vars = self.inventory / "group_vars/all"
        group_vars.mkdir(parents=True, exist_ok=True)
        (self.inventory / "known_hosts.txt").write_text("\n".join(known) + "\n")
        (self.inventory / "hosts.json").write_text(json.dumps(self._groups()))
        # The inventory of this machine, and over it what is different on hosts.
        (group_vars / "bench.json").write_text(json.dumps({**stack.FACTS, **self._facts()}))

    def _groups(self) -> dict[str, Any]:
        groups: dict[str, Any] = {wave: {"hosts": {host: {} for host in hosts}} for wave, hosts in spread(self.hosts).items()}
        return {"all": {"hosts": {host: {"ansible_host": address(host)} for host in self.hosts}, "children": groups}}

    def _facts(self) -> dict[str, Any]:
        options = f"-o UserKnownHostsFile={self.inventory}/known_hosts.txt -o StrictHostKeyChecking=yes"
        return {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(DIRECTORY / "id"),
            "ansible_ssh_common_args": options,
            "rollout_registry": REGISTRY,
            "rollout_registry_insecure": True,
            "rollout_dir": "/var/lib/rollout/bench",
        }

    def remove(self) -> None:
        """Take the hosts away, with what they hold."""
        subprocess.run(["docker", "rm", "--force", "--volumes", *self.hosts], capture_output=True, check=False)


def spread(hosts: list[str]) -> dict[str, list[str]]:
    """Which host is in which wave: the first has the backend, the last the GPU worker, those between them the CPU workers."""
    return {"backend": hosts[:1], "cpu_workers": hosts[1:-1] or hosts[-1:], "gpu_workers": hosts[-1:]}


def address(host: str) -> str:
    """The host's address on the default bridge."""
    return docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", host)


def docker(*arguments: str, said: str = "") -> str:
    """What the command prints.

    Raises:
        BenchError: it failed.
    """
    done = subprocess.run(["docker", *arguments], input=said, capture_output=True, text=True, check=False)
    if done.returncode:
        raise stack.BenchError(f"docker {' '.join(arguments)[:200]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _await_engine(host: str, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while True:
        try:
            docker("exec", host, "docker", "info")
            return
        except stack.BenchError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def measure_fleets(counts: list[int], runs: int, say: Callable[[str], None]) -> list[Record]:
    """Roll out to each fleet in turn, so many times; hosts are made before and taken away behind it.

    Returns:
        For each rollout round, what, hosts, wall, cpu, and the seconds of the waves stage and settle.

    Raises:
        BenchError: a rollout failed, or a host did not come up.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not (DIRECTORY / "id").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(DIRECTORY / "id")], check=True)
    fleets = [Fleet(count) for count in counts]
    records = []
    try:
        for fleet in fleets:
            fleet.create()
            # Both releases' images are there before anything is measured.
            for release in (stack.OLD, stack.NEW):
                contestants.finish(fleet.roll(release))
        for number in range(1, runs + 1):
            for fleet in fleets:
                log = LOGS / f"{number}-{fleet.name}.log"
                # Its stamp makes it a release that no host has staged before.
                tool = fleet.roll(stack.OLD if number % 2 else stack.NEW)
                ended = run(replace(tool, argv=[*tool.argv, "-e", f"bench_stamp={number}"]), log)
                if ended.rc or fleet.document()["verdict"] != "succeeded":
                    raise stack.BenchError(f"The rollout to {len(fleet.hosts)} host(s) did not succeed: see {log}")
                figures = {"wall": round(ended.seconds, 3), "cpu": round(ended.cpu, 2)}
                waves = {wave: fleet.seconds(wave) for wave in ("stage", "settle")}
                records.append({"round": number, "what": fleet.name, "hosts": len(fleet.hosts), **figures, **waves})
                say(f"round {number}  {fleet.name}  " + ", ".join(f"{k} {v:g} s" for k, v in {**figures, **waves}.items()))
    finally:
        for fleet in fleets:
            fleet.remove()
    return records
