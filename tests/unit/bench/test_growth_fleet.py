"""The inventory of simulated hosts, and the wrapper that gives each its own engine ID."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible.module_utils.rollout import inventory

from bench.growth import fleet


@pytest.fixture
def written():
    return lambda hosts: json.loads(fleet.inventory(hosts, "/a/key", "localhost:5000", 16))["all"]


@pytest.mark.parametrize("hosts", [1, 4, 64])
def test_the_inventory_is_one_that_a_rollout_takes(written, hosts):
    found = written(hosts)
    groups = {name: list(group["hosts"]) for name, group in found["children"].items()}
    assert inventory.problem(found["vars"]["rollout_stacks"], groups) == ""
    assert inventory.fleet(groups) == fleet.names(hosts) == list(found["hosts"])
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


def test_the_api_tells_the_simulated_id_and_all_else_is_docker(root, tmp_path):
    """The wrapper itself, with paths of this test and a docker that answers as the engine does."""
    body = f'{{"ID":"{REAL}","Swarm":{{"ID":"{REAL}"}}}}'
    (tmp_path / "docker").write_text(
        f"""#!/bin/sh
if [ "$1" = info ]; then echo {REAL}; exit; fi
if [ "$1" = ps ]; then echo '{body}' "$@"; exit; fi
read -r asked
printf '%s\\r\\n\\r\\n%s\\n' "$asked" '{body}'
read -r ended
exit 3
"""
    )
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "id").write_text("simulated-engine-of-simulated-01\n")
    text = (root / "bench/growth/images/simulated-docker.sh").read_text()
    for there, here in (("/usr/bin/docker", "docker"), ("/etc/simulated-engine-id", "id")):
        assert there in text
        text = text.replace(there, str(tmp_path / here))
    (tmp_path / "wrapper").write_text(text)
    command = ["bash", tmp_path / "wrapper"]
    with subprocess.Popen(
        [*command, "system", "dial-stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dialled:
        dialled.stdin.write("GET /info\n")
        dialled.stdin.flush()
        # It comes while the connection stays open.
        assert [dialled.stdout.readline() for _ in range(2)] == ["GET /info\n", "\n"]
        said = dialled.stdout.readline()
    own = "simulated-engine-of-simulated-01".ljust(len(REAL), "-")
    assert said == f'{{"ID":"{own}","Swarm":{{"ID":"{REAL}"}}}}\n'
    # A docker that fails still fails.
    assert dialled.returncode == 3
    other = subprocess.run([*command, "ps", "-a b"], capture_output=True, text=True)
    assert other.stdout == f"{body} ps -a b\n"
    assert other.returncode == 0
