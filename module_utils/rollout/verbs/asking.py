"""Asks what a gate's key `health`, `exec`, `ca` and `insecure` say, at the containers that are meant."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import health, places, urls
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.changes import Container, container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.io import container_command, http
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import refusals

# How many containers may stand in one another's network, one after the other.
_DEEP = 5


class Asker:
    """Asks services of one stack.

    Args:
        names: the services of the stack.
        look: the containers of the stack; asked only when a URL names another service than its own.
    """

    def __init__(self, engine: Engine, names: Sequence[str], look: Callable[[], Sequence[Container]]) -> None:
        self.engine, self.names, self.look = engine, {name.lower() for name in names}, look
        # The containers in which a command has not ended.
        self.late: set[str] = set()

    def ask(self, service: Service, one: Container) -> list[Answer]:
        """What each URL of a service's gate, and its command, says of one of its containers, which runs."""
        answers = [self.url(service, one, url) for url in service.health]
        if service.exec:
            answers.append(container_command.ask(self.engine, one.id, service.exec, self.late))
        return answers

    def url(self, service: Service, one: Optional[Container], url: str) -> Answer:
        """What one URL says.

        Args:
            one: the container that the service's own name means.
        """
        how: dict[str, Any] = {}
        meant = self._meant(url, one)
        if meant:
            found, why = self._addresses(meant)
            if not found:
                said = urls.shown(url)
                return Answer(said, None, fault=health.NO_PLACE.text(url=said, why=why))
            how["addresses"] = found
        if urls.is_port(url):
            return http.connect(url, **how)
        if service.ca:
            how["ca"] = service.ca
        if service.insecure:
            how["insecure"] = True
        return http.ask(url, **how)

    def _meant(self, url: str, one: Optional[Container]) -> Optional[Container]:
        own = places.named(url, one, [])
        if own or urls.host(url) not in self.names:
            return own
        return places.named(url, one, self.look())

    def _addresses(self, meant: Container) -> tuple[tuple[str, ...], str]:
        """Where the host reaches a container, and if nowhere, why not."""
        at = meant
        for _step in range(_DEEP):
            other = places.joined(at)
            if not other:
                break
            found = self.engine.inspect("container", [other])
            if not found:
                return (), f"container {meant.name} has the network of {other[:12]}, which is gone"
            at = container(found[0])
        what = f"container {meant.name}" + (f", which has the network of {at.name}," if at is not meant else "")
        if at.status != "running":
            return (), f"{what} is {at.status}"
        return places.addresses(at), f"{what} has no address; its network is {at.network or 'unknown'}"


def require_authorities(services: Mapping[str, Sequence[Service]]) -> None:
    """Refuse services whose `ca` this host does not have.

    Args:
        services: those of each stack.

    Raises:
        RolloutError: names each of them.
    """
    wrong = Faults()
    for stack, found in services.items():
        for service in found:
            why = http.untrusted(service.ca) if service.ca else ""
            with wrong.gather():
                if why:
                    raise refusals.NO_AUTHORITY(service=service.name, stack=stack, path=service.ca, why=why)
    wrong.refuse()
