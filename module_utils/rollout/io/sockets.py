"""The addresses of a host, and its listeners."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.rollout.domain.ports import ANY, Port


class _Table(NamedTuple):
    """Where the kernel lists the sockets of a protocol, and the state of those that have their port for themselves."""

    kind: int
    state: str
    paths: tuple[str, ...]


_TABLES = {
    "tcp": _Table(socket.SOCK_STREAM, "0A", ("/proc/net/tcp", "/proc/net/tcp6")),
    "udp": _Table(socket.SOCK_DGRAM, "07", ("/proc/net/udp", "/proc/net/udp6")),
}


def has_address(address: str) -> bool:
    """Whether something on this host can listen on an address; it can on an empty one, which means any."""
    return not address or _bind(socket.SOCK_DGRAM, Port(0, address=address)) != errno.EADDRNOTAVAIL


def listener(port: Port) -> str:
    """Who listens on a port of this host: ``process NAME (pid N)``, ``another process``, or empty where it is free."""
    if port.protocol not in _TABLES:
        return ""
    # Docker listens on both families where none is asked for.
    each = [port] if port.address else [port._replace(address=address) for address in ANY]
    faults = {_bind(_TABLES[port.protocol].kind, one) for one in each}
    # Below 1024 an ordinary user may not even try (ip(7)), and the kernel's tables have to tell.
    inodes = _inodes(port) if faults & {errno.EADDRINUSE, errno.EACCES} else set()
    if not inodes and errno.EADDRINUSE not in faults:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for fd in (process / "fd").iterdir():
                if os.readlink(fd) in inodes:
                    return f"process {(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return "another process"


def _bind(kind: int, port: Port) -> int:
    """The errno of an attempt to bind, 0 where it succeeds. Nothing is served: it only finds out whether one could."""
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # What an ended process left in TIME_WAIT is free; for UDP this would let two have one port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((port.address, port.number))
    except OSError as error:
        return error.errno or 0
    return 0


def _inodes(port: Port) -> set[str]:
    """``socket:[inode]`` of the sockets that are in a port's way (see proc(5))."""
    table, found = _TABLES[port.protocol], set()
    for path in table.paths:
        try:
            lines = Path(path).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            address, number = fields[1].split(":")
            if fields[3] == table.state and port.meets(Port(int(number, 16), port.protocol, _address(address))):
                found.add(f"socket:[{fields[9]}]")
    return found


def _address(digits: str) -> str:
    """An address of /proc/net/tcp: words of 32 bits, each as this machine's processor keeps it."""
    words = b"".join(int(digits[n : n + 8], 16).to_bytes(4, sys.byteorder) for n in range(0, len(digits), 8))
    address = socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)
    # A socket of IPv6 may take IPv4 too.
    return "" if address == "::" else address.removeprefix("::ffff:")
