"""The inventory of simulated hosts, and the wrapper that gives each its own engine ID."""

from __future__ import annotations

import json
import os
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


def test_docker_info_tells_the_simulated_id_and_all_else_is_docker(root, tmp_path):
    """The wrapper itself, with paths of this test and a docker that prints what it is asked."""
    (tmp_path / "docker").write_text(
        '#!/bin/sh\necho \'{"ID":"REAL:ID","Swarm":{"ID":"other"}}\' "$@"\n[ "$1" != info ] || exit 3\n'
    )
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "id").write_text("simulated-engine-of-simulated-01\n")
    text = (root / "bench/growth/images/simulated-docker.sh").read_text()
    for there, here in (("/usr/bin/docker", "docker"), ("/etc/simulated-engine-id", "id")):
        assert there in text
        text = text.replace(there, str(tmp_path / here))
    (tmp_path / "wrapper").write_text(text)

    def ask(*words):
        return subprocess.run(["bash", tmp_path / "wrapper", *words], capture_output=True, text=True, env=os.environ)

    info, other = ask("info", "--format", "{{json .}}"), ask("ps", "-a b")
    assert info.stdout == '{"ID":"simulated-engine-of-simulated-01","Swarm":{"ID":"other"}} info --format {{json .}}\n'
    # A docker that fails still fails.
    assert info.returncode == 3
    assert other.stdout == '{"ID":"REAL:ID","Swarm":{"ID":"other"}} ps -a b\n'
    assert other.returncode == 0
