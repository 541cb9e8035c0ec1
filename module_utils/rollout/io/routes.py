"""The routes of a host, as its kernel lists them."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from ansible.module_utils.rollout.domain.networks import Route

V4, V6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
_UP, _GATEWAY, _HOST = 0x1, 0x2, 0x4


def routes() -> list[Route]:
    """Those that lead somewhere: neither the host itself nor the addresses that each interface has (link-local, multicast)."""
    return [*_v4(), *_v6()]


def _v4() -> list[Route]:
    found = []
    for fields in _rows(V4)[1:]:
        interface, to, flags, mask = fields[0], int(fields[1], 16), int(fields[3], 16), int(fields[7], 16)
        if flags & _UP and interface != "lo":
            # As the kernel keeps it: least byte first on this machine or not, it is in the order of the network.
            address = socket.inet_ntoa(struct.pack("=L", to))
            found.append(Route(f"{address}/{bin(mask).count('1')}", interface, not flags & _GATEWAY))
    return found


def _v6() -> list[Route]:
    found = []
    for fields in _rows(V6):
        to, length, flags, interface = fields[0], int(fields[1], 16), int(fields[8], 16), fields[9]
        if flags & _UP and interface != "lo" and not flags & _HOST and not to.startswith(("fe8", "ff")):
            found.append(
                Route(f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(to))}/{length}", interface, not flags & _GATEWAY)
            )
    return found


def _rows(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []
