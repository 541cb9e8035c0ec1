"""The ports of a host: which of them services want, and who has them. Pure."""

from __future__ import annotations

from typing import Any, Collection, Iterable, Mapping, NamedTuple

from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

# All addresses of a family.
ANY = ("0.0.0.0", "::")  # nosec B104 # nothing is served: so engines write it

PORT_TWICE = Refusal(
    "Host",
    "Port {port}, which service {service} publishes, is wanted by service {other} too: change the port in the inventory.",
    "give one of the two services another port or address",
)
NO_ADDRESS = Refusal(
    "Host",
    "Port {port}, which service {service} publishes, is on address {address}, which this host does not have: change it in the "
    "inventory.",
    "choose an address of the host (`ip address` lists them), or none to publish on all of them",
)
PORT_HELD = Refusal(
    "Host",
    "Port {port}, which service {service} publishes, is held by {holder}: stop the holder, or change the port in the inventory.",
    "stop what holds it, or change the port in the inventory",
)


class Port(NamedTuple):
    """A port of a host; ``address`` is empty where it is published on all that the host has."""

    number: int
    protocol: str = "tcp"
    address: str = ""

    def __str__(self) -> str:
        """As a compose file writes it: 192.168.1.2:53/udp; TCP goes without saying."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return (f"{address}:" if address else "") + str(self.number) + ("" if self.protocol == "tcp" else f"/{self.protocol}")

    def meets(self, other: Port) -> bool:
        """Whether one process cannot have this port while another has the other (ip(7): an address, or any of its family)."""
        if (self.number, self.protocol) != (other.number, other.protocol):
            return False
        both = {self.address, other.address}
        if "" in both or len(both) == 1:
            return True
        return (":" in self.address) == (":" in other.address) and not both.isdisjoint(ANY)


def published(spec: Mapping[str, Any]) -> tuple[Port, ...]:
    """The host's ports that a service of a compose file publishes; without those that the engine is to choose."""
    return tuple(
        Port(int(one["published"]), one.get("protocol") or "tcp", one.get("host_ip") or "")
        for one in spec.get("ports") or []
        if str(one.get("published", "")).isdigit()
    )


def require(
    wanted: Iterable[tuple[Port, str]],
    held: Iterable[tuple[Port, str]],
    own: Collection[str],
    listening: Mapping[Port, str],
    foreign: Collection[str],
) -> None:
    """Refuse a stack that could not be started, because a port that it publishes is not free.

    Args:
        wanted: each port with the service that wants it.
        held: each port with the Compose project (or container) that publishes it.
        own: the projects of this application on this host, whose ports go over to what follows them.
        listening: port -> the process that listens, for ports that no container publishes.
        foreign: the addresses that are none of this host's.

    Raises:
        RolloutError: names each such port, its service and what is in the way.
    """
    wrong = Faults()
    seen: list[tuple[Port, str]] = []
    held = list(held)
    for port, service in sorted(wanted):
        twin = next((name for other, name in seen if name != service and port.meets(other)), "")
        holders = [name for other, name in held if port.meets(other)]
        strangers = [f"container or project {name}" for name in holders if name not in own]
        if not holders and listening.get(port):
            strangers.append(listening[port])
        if twin:
            wrong.add(PORT_TWICE.text(port=port, service=service, other=twin))
        elif port.address in foreign:
            wrong.add(NO_ADDRESS.text(port=port, service=service, address=port.address))
        elif strangers:
            wrong.add(PORT_HELD.text(port=port, service=service, holder=strangers[0]))
        seen.append((port, service))
    wrong.refuse()
