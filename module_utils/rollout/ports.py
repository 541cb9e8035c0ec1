"""The ports of a host: which of them services want, and who has them. Pure."""

from __future__ import annotations

from typing import Any, Collection, Iterable, Mapping, NamedTuple

from ansible.module_utils.rollout.errors import RolloutError

# All addresses of a family.
ANY = ("0.0.0.0", "::")  # noqa: S104  # nothing is served: so engines write it


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
        RolloutError: names port, service and what is in the way.
    """
    seen: list[tuple[Port, str]] = []
    held = list(held)
    for port, service in sorted(wanted):
        twin = next((name for other, name in seen if name != service and port.meets(other)), "")
        holders = [name for other, name in held if port.meets(other)]
        strangers = [f"container or project {name}" for name in holders if name not in own]
        if not holders and listening.get(port):
            strangers.append(listening[port])
        reason = ""
        if twin:
            reason = f"is wanted by service {twin} too: change the port in the inventory"
        elif port.address in foreign:
            reason = f"is on address {port.address}, which this host does not have: change it in the inventory"
        elif strangers:
            reason = f"is held by {strangers[0]}: stop that, or change the port in the inventory"
        if reason:
            raise RolloutError(f"Port {port}, which service {service} publishes, {reason}.")
        seen.append((port, service))
