from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.io import sockets
from ansible.module_utils.rollout.io.sockets import has_address, listener


@pytest.fixture
def bound():
    """Bind a socket; returns its port."""
    opened = []

    def start(kind, address, number=0, family=socket.AF_INET):
        one = socket.socket(family, kind)
        opened.append(one)
        try:
            one.bind((address, number))
        except OSError as error:
            if family != socket.AF_INET6:
                raise
            pytest.skip(f"no IPv6 here: {error}")
        if kind == socket.SOCK_STREAM:
            one.listen()
        return one.getsockname()[1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def quiet():
    """A port that nobody has for either protocol, and that the kernel gives nobody: above those that it picks itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as picked:
        last = int(picked.read().split()[1])
    for number in [*range(last + 1, 65536), *range(1025, 32768)]:
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("", number))
        except OSError:
            continue
        return number
    raise AssertionError("every port is taken")


def myself():
    with open("/proc/self/comm") as comm:
        return f"process {comm.read().strip()} (pid {os.getpid()})"


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_listener(bound, protocol, kind):
    number = bound(kind, "127.0.0.1")
    assert listener(Port(number, protocol)) == myself()
    assert listener(Port(number, protocol, "127.0.0.1")) == myself()
    assert listener(Port(number, protocol, "127.0.0.53")) == ""


@pytest.mark.parametrize("address", ["::1", "::ffff:127.0.0.1"])
def test_a_listener_of_ipv6(bound, address):
    number = bound(socket.SOCK_STREAM, address, family=socket.AF_INET6)
    assert listener(Port(number)) == myself()


def test_a_port_that_an_ordinary_user_may_not_try(bound, monkeypatch):
    number = bound(socket.SOCK_STREAM, "127.0.0.1")
    monkeypatch.setattr(sockets, "_bind", lambda *_: errno.EACCES)
    assert listener(Port(number)) == myself()
    assert listener(Port(number, address="127.0.0.2")) == ""


def test_the_other_protocol_is_in_nobodys_way(bound, quiet):
    bound(socket.SOCK_STREAM, "127.0.0.1", quiet)
    assert listener(Port(quiet, "udp")) == ""


def test_the_one_in_the_way_is_named(bound):
    """Not a process that has the same port of another address."""
    number = bound(socket.SOCK_STREAM, "127.0.0.1")
    code = "import socket, sys; s = socket.create_server(('127.0.0.2', int(sys.argv[1]))); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        assert listener(Port(number, address="127.0.0.1")).endswith(f"(pid {os.getpid()})")
        assert listener(Port(number, address="127.0.0.2")).endswith(f"(pid {other.pid})")
        assert listener(Port(number, address="127.0.0.3")) == ""
        other.stdin.write(b"\n")


def test_nobody_listens(bound, quiet):
    bound(socket.SOCK_DGRAM, "127.0.0.1", quiet)
    assert listener(Port(quiet)) == ""
    assert listener(Port(quiet, "sctp")) == ""


@pytest.mark.parametrize(("address", "here"), [("", True), ("127.0.0.1", True), ("0.0.0.0", True), ("192.0.2.1", False)])
def test_addresses_of_this_host(address, here):
    assert has_address(address) is here
