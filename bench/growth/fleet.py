"""The simulated hosts: containers with sshd that share this machine's network and its one Docker engine."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

LABEL = "rollout.bench=growth"
IMAGE = "rollout-growth-simulated-host"
STACKS = "{{ playbook_dir }}/../bench/growth/stacks"
SSH, WORKER, BACKEND = 22000, 23000, 23900


def names(hosts: int) -> list[str]:
    """The names of so many simulated hosts."""
    return [f"simulated-{n:02}" for n in range(1, hosts + 1)]


def inventory(hosts: int, key: str, registry: str, serial: int) -> str:
    """The inventory of so many simulated hosts, as JSON, which is YAML; the first one runs the backend too."""
    fleet = names(hosts)
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": key,
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        # Compose projects of one engine need a name each; the state directory is in the simulated host.
        "rollout_application": "{{ inventory_hostname }}",
        "rollout_dir": "/var/lib/rollout/growth",
        "rollout_registry": registry,
        "rollout_serial": serial,
        "rollout_stacks": {
            "backend": {"wave": "backend", "template": f"{STACKS}/backend.yml.j2"},
            "worker": {"wave": "cpu_workers", "template": f"{STACKS}/worker.yml.j2"},
        },
        "growth_backend_port": BACKEND,
    }
    ports = {name: {"ansible_port": SSH + n, "growth_worker_port": WORKER + n} for n, name in enumerate(fleet, 1)}
    groups: dict[str, object] = {"backend": {"hosts": {fleet[0]: {}}}, "cpu_workers": {"hosts": {name: {} for name in fleet}}}
    return json.dumps({"all": {"vars": variables, "hosts": ports, "children": groups}}, indent=1)


def docker(*arguments: str) -> str:
    """Stdout of a docker command."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def start(hosts: int, public_key: str) -> None:
    """Start so many simulated hosts, and wait until each answers."""
    for n, name in enumerate(names(hosts), 1):
        facts = {"SIMULATED_NAME": name, "SIMULATED_PORT": str(SSH + n), "SIMULATED_KEY": public_key}
        environment = [part for key, value in facts.items() for part in ("--env", f"{key}={value}")]
        docker(
            *("run", "--detach", "--name", f"rollout-growth-{name}", "--label", LABEL, "--network", "host"),
            *("--volume", "/var/run/docker.sock:/run/engine.sock", *environment, IMAGE),
        )
    for n in range(1, hosts + 1):
        _wait_for_ssh(SSH + n)


def _wait_for_ssh(port: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as client:
            if client.recv(4) == b"SSH-":
                return
        time.sleep(0.1)
    raise TimeoutError(f"The simulated host on port {port} does not answer.")


def remove() -> None:
    """Remove the simulated hosts, and then what they started: a guard that is left would bring it back."""
    for ours in (f"ancestor={IMAGE}", f"label={LABEL}"):
        found = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}", "--filter", ours).split()
        if found:
            docker("rm", "--force", "--volumes", *found)


def releases() -> list[str]:
    """The release of each application container that runs, as its label says."""
    return docker(
        *("ps", "--filter", f"label={LABEL}", "--filter", "label=com.docker.compose.project"),
        *("--format", '{{.Label "rollout.release"}}'),
    ).split()


def key_pair(directory: Path) -> tuple[Path, str]:
    """A new key for this benchmark alone: the private key's file, the public key."""
    private = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "growth", "-f", str(private)], check=True)
    return private, private.with_suffix(".pub").read_text(encoding="utf-8").strip()
