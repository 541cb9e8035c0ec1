"""Where the URL of a gate is asked: the name of a service means the address of its container. Pure."""

from __future__ import annotations

from typing import Optional, Sequence

from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.urls import host

# Where a container listens that has the host's own network.
_HOST = ("127.0.0.1", "::1")
_JOINS = "container:"


def named(url: str, own: Optional[Container], others: Sequence[Container]) -> Optional[Container]:
    """The container that a URL names, by its service or by the container's own name; None if it names none.

    Args:
        own: the container whose gate it is. Of several containers of its service, this one is meant.
        others: those of its stack. One that runs comes before one that does not.
    """
    name, known = host(url), [own] if own else []
    found = [one for one in (*known, *others) if name in (one.service.lower(), one.name.lower())]
    return next((one for one in found if one is own or one.status == "running"), found[0] if found else None)


def addresses(container: Container) -> tuple[str, ...]:
    """Where the host reaches a container that has its own network or the host's."""
    return _HOST if container.network == "host" else tuple(dict.fromkeys(address for _network, address in container.addresses))


def joined(container: Container) -> str:
    """The id (or name) of the container whose network it has; empty if it has its own, the host's or none."""
    return container.network[len(_JOINS) :] if container.network.startswith(_JOINS) else ""
