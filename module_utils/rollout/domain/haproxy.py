"""The proxy in front of a start-first service: what a gate says of it, and what HAProxy reads. Pure.

HAProxy reads one file of ours, whose backend has the service's name and a server for each active container. A new one
takes the requests over by a reload (SIGUSR2 to HAProxy's master): new connections go to the new container, those that
are open stay with the old one and with the former worker process until they end (HAProxy management guide, "Stopping
and restarting HAProxy").
"""

from __future__ import annotations

import re
from typing import Collection, Optional, Sequence
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.rollout.domain.ports import Port

# The answers that come through the proxy name, in this header, the container that gave them.
HEADER = "X-Rollout-Container"
# Docker's own name server, the same in every container.
_DNS = "127.0.0.11:53"
# Where a URL names none.
_PORTS = {"http": 80, "https": 443}


def servers(service: str, port: int, containers: Sequence[tuple[str, str]] = ()) -> str:
    """The file that HAProxy reads beside its own configuration.

    Args:
        containers: name and id of those that get requests; none as long as there is none.
    """
    lines = [
        "# Written by the rollout, which then reloads HAProxy. Its next run writes it anew.",
        f"resolvers {service}",
        f"    nameserver docker {_DNS}",
        "    hold valid 1s",
        f"backend {service}",
    ]
    if len(containers) > 1:
        # In turn, so that each is seen to get requests; one that does not answer hands over to the next.
        lines += ["    balance roundrobin", "    option redispatch 1"]
    for number, (name, identity) in enumerate(containers, 1):
        only, more = (f" if {{ srv_id {number} }}", f" id {number} check") if len(containers) > 1 else ("", "")
        lines.append(f"    http-response set-header {HEADER} {identity[:12]}{only}")
        # By name: after a reboot the container has another address.
        lines.append(f"    server {name} {name}:{port}{more} resolvers {service} init-addr libc,none")
    return "\n".join(lines) + "\n"


def active(text: Optional[str]) -> tuple[str, ...]:
    """The containers that such a file names."""
    return tuple(re.findall(r"^\s+server (\S+) ", text or "", re.MULTILINE))


def through(urls: tuple[str, ...], published: Collection[Port], service: str) -> tuple[str, ...]:
    """Those URLs of a service that HAProxy answers: they go to one of the ports that the proxy publishes."""
    # A connection has no header.
    return tuple(url for url in _proxied(urls, published, service) if urlsplit(url).scheme in _PORTS)


def direct(urls: tuple[str, ...], published: Collection[Port], address: str, port: int, service: str) -> tuple[str, ...]:
    """The gate's URLs with those that go through the proxy (to a port that it publishes) sent to one container instead."""
    proxied, place = _proxied(urls, published, service), f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    schemes = {url: "http" if urlsplit(url).scheme in _PORTS else urlsplit(url).scheme for url in proxied}
    return tuple(urlunsplit(urlsplit(u)._replace(scheme=schemes[u], netloc=place)) if u in proxied else u for u in urls)


def _proxied(urls: tuple[str, ...], published: Collection[Port], service: str) -> tuple[str, ...]:
    numbers = {port.number for port in published if port.protocol == "tcp"}
    # The service's own name is its container, whatever the port.
    others = [url for url in urls if urlsplit(url).hostname != service.lower()]
    return tuple(url for url in others if (urlsplit(url).port or _PORTS.get(urlsplit(url).scheme)) in numbers)


def address(mine: tuple[tuple[str, str], ...], its: tuple[tuple[str, str], ...]) -> str:
    """The address of a container in the first network that it shares with its proxy; empty where it shares none."""
    shared = {network for network, _ in its}
    return next((found for network, found in mine if network in shared), "")
