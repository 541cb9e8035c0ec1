"""Applications that people run, each from a copy of its folder, and an operator who types commands for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from operators import ROOT, Machine, Operator, Result, docker

HERE = Path(__file__).parent
EXAMPLES = ROOT / "docs/examples"
HOST = "ktrdr-molecule-stacks"
REGISTRY = "172.17.0.1:5000/stacks"
# A copy is as its folder, but for the machines that it names. What is typed: the registry, and not to watch what stands in.
OVERRIDES = ["-e", f"rollout_registry={REGISTRY}", "-e", "rollout_registry_insecure=true", "-e", "rollout_watch=0"]


class Application:
    """An application on the host, from a copy of ``folder`` that can be edited."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.name, self.folder = folder.name, place / folder.name
        shutil.copytree(folder, self.folder)
        shutil.copy(HERE / "inventory/hosts.yml", self.folder / "hosts.yml")
        self.machine = Machine(HOST, self.name)
        self._operator = Operator("stacks", *OVERRIDES)
        self._operator.inventory = self.folder / "hosts.yml"

    def run(self, playbook: str, *typed: str, rc: int = 0) -> Result:
        """Type a command with variables and options."""
        return self._operator.run(playbook, *(part for one in typed for part in ([one] if one[0] == "-" else ["-e", one])), rc=rc)

    def rollout(self, *typed: str) -> str:
        """Roll out; what was said. Afterwards everything is as it was released."""
        return self._strictly("rollout.yml", *typed)

    def rollback(self, *typed: str) -> str:
        """Roll back; what was said. Afterwards everything is as it was released."""
        return self._strictly("rollback.yml", *typed)

    def _strictly(self, playbook: str, *typed: str) -> str:
        said = self.run(playbook, *typed).said
        self.run("status.yml", "strict=true")
        return said

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text, which stands there once, in a file of the folder."""
        text = (self.folder / file).read_text()
        assert text.count(old) == 1, f"{file}: {old}"
        (self.folder / file).write_text(text.replace(old, new))

    def release(self) -> str:
        """The name of the stable release."""
        return str(self.machine.ledger()[-1]["name"])

    def containers(self) -> dict[str, Container]:
        """Service -> its only container, of all that are there."""
        found = self.replicas()
        assert [service for service, ones in found.items() if len(ones) > 1] == []
        return {service: ones[0] for service, ones in found.items()}

    def replicas(self) -> dict[str, list[Container]]:
        """Service -> its containers, of all that are there."""
        label, found = "com.docker.compose.project", dict[str, list[Container]]()
        form = f'{{{{.ID}}}} {{{{.Label "{label}"}}}}'
        rows = self.machine.exec("docker", "ps", "--all", "--filter", f"label={label}", "--format", form).splitlines()
        # Those of the other stories come and go meanwhile.
        own = [row.split()[0] for row in rows if row.split()[1].startswith(f"{self.name}-")]
        for facts in json.loads(self.machine.exec("docker", "inspect", *own)) if own else []:
            found.setdefault(facts["Config"]["Labels"]["com.docker.compose.service"], []).append(Container(facts, self.machine))
        return found


class Container:
    """What ``docker inspect`` says of a container."""

    def __init__(self, facts: dict[str, Any], machine: Machine) -> None:
        self.facts, self._machine = facts, machine
        self.id = facts["Id"]
        self.image = facts["Config"]["Image"]
        self.environment = dict(one.split("=", 1) for one in facts["Config"]["Env"])
        self.mounts = {one["Destination"]: one for one in facts["Mounts"]}
        self.networks = set(facts["NetworkSettings"]["Networks"])
        # What its image is.
        self.stands_for = self.environment["STANDIN"]

    def reads(self, path: str) -> str:
        """The file as the application finds it."""
        return self._machine.exec("docker", "exec", self.id, "cat", path)

    def source(self, target: str) -> str:
        """Where on the host that lies which is mounted there."""
        return str(self.mounts[target]["Source"])


def pinned(name: str, tag: str) -> str:
    """An image by the digest that the registry has for the tag."""
    digests = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", f"localhost:5000/stacks/{name}:{tag}"))
    digest = next(one.partition("@")[2] for one in digests if one.startswith(f"localhost:5000/stacks/{name}@"))
    return f"{REGISTRY}/{name}:{tag}@{digest}"


def move(name: str, tag: str, to: str) -> None:
    """Let a tag of the registry mean what another one means."""
    docker("tag", f"localhost:5000/stacks/{name}:{to}", f"localhost:5000/stacks/{name}:{tag}")
    docker("push", "--quiet", f"localhost:5000/stacks/{name}:{tag}")


def recreated(before: dict[str, Container], after: dict[str, Container]) -> set[str]:
    """The services that have another container."""
    return {service for service, one in after.items() if service not in before or before[service].id != one.id}
