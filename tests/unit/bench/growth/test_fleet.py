"""The inventory of simulated hosts, and the socket that gives each its own engine ID."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
import time

import pytest
from ansible.module_utils.rollout.controller import inventory, waves

from bench.growth import fleet


@pytest.fixture
def written():
    return lambda hosts: json.loads(fleet.inventory(hosts, "/a/key", "localhost:5000", 16))["all"]


@pytest.mark.parametrize("hosts", [1, 4, 64])
def test_the_inventory_is_one_that_a_rollout_takes(written, hosts):
    found = written(hosts)
    groups = {name: list(group["hosts"]) for name, group in found["children"].items()}
    assert inventory.problems(found["vars"]["rollout_stacks"], groups) == []
    assert waves.problems(groups) == []
    assert waves.fleet(groups) == fleet.names(hosts) == list(found["hosts"])
    assert groups["backend"] == [fleet.names(hosts)[0]]
    assert found["vars"]["rollout_serial"] == 16


def test_no_two_hosts_share_a_port(written):
    found = written(64)
    ports = [port for host in found["hosts"].values() for port in host.values()] + [found["vars"]["growth_backend_port"]]
    assert len(ports) == len(set(ports)) == 129


def test_hosts_are_called_simulated(written):
    assert all(name.startswith("simulated-") for name in written(64)["hosts"])


def test_the_templates_are_there(written, root):
    for stack in written(1)["vars"]["rollout_stacks"].values():
        assert (root / stack["template"].removeprefix("{{ playbook_dir }}/../")).exists()


REAL = "HZK3:A7E3:AWPL:WS5Z:SNPQ:ZZF3:RZ26:ENUS:SMGS:BGBH:L4JZ:K4J4"
BODY = json.dumps({"ID": REAL, "Swarm": {"ID": REAL}}, separators=(",", ":"))


class Engine(socketserver.StreamRequestHandler):
    """Answers as the engine does; keeps the connection where it is asked to."""

    def handle(self):
        while asked := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            self.wfile.write(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nAsked: {asked.decode().strip()}\r\n\r\n{BODY}".encode()
            )
            if b"HTTP/1.0" in asked:
                return


def test_the_engine_of_a_simulated_host_tells_an_id_of_its_own(root, tmp_path):
    real, own = tmp_path / "real", tmp_path / "own"
    with socketserver.ThreadingUnixStreamServer(str(real), Engine) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        program = root / "bench/growth/images/simulated_engine.py"
        simulated = subprocess.Popen([sys.executable, program, str(real), str(own), "simulated-01"])
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(20)
                ends = time.monotonic() + 20
                while client.connect_ex(str(own)) and time.monotonic() < ends:
                    time.sleep(0.02)
                # Two requests on one connection, which stays open.
                for path in ("/info", "/containers/json"):
                    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    said = b""
                    while not said.endswith(b"}}"):
                        said += client.recv(65536)
                    head, _empty, body = said.decode().partition("\r\n\r\n")
                    assert head.endswith(f"Asked: GET {path} HTTP/1.1")
                    # As long as the real one; and only what begins an answer is changed.
                    changed = "simulated-engine-of-simulated-01".ljust(len(REAL), "-")
                    assert json.loads(body) == {"ID": changed, "Swarm": {"ID": REAL}}
        finally:
            simulated.terminate()
            simulated.wait(20)
            server.shutdown()
