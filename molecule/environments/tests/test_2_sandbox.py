"""kinfra sandbox on a real engine: the specification's commands, slots beside each other, refusals."""

import socket
import subprocess

import pytest
from conftest import HOME, ROOT

TEMPLATE = ROOT / "ktrdr/cli/kinfra/templates/docker-compose.base.yml"


def test_smoke_test_of_the_task(sandboxes):
    said = sandboxes("""
kinfra sandbox provision 9
cat ~/.ktrdr/sandboxes/slot-9/docker-compose.yml | head -30
kinfra sandbox destroy 9
""", answer="y\n")  # fmt: skip
    assert "".join(TEMPLATE.read_text().splitlines(keepends=True)[:30]) in said
    assert said.endswith("Slot 9 is gone.\n")


@pytest.mark.nightly
def test_final_verification(sandboxes):
    said = sandboxes("""
kinfra sandbox provision 9
cd ~/.ktrdr/sandboxes/slot-9
docker compose up -d
curl http://localhost:8009/api/v1/health
docker compose down
kinfra sandbox destroy 9
""", answer="y\n")  # fmt: skip
    assert '"status":"healthy"' in said
    assert said.endswith("Slot 9 is gone.\n")
    for kind in ("container", "network", "volume"):
        assert not sandboxes(f"docker {kind} ls --quiet --filter label=com.docker.compose.project=ktrdr-sandbox-9")


def test_slots_beside_each_other(sandboxes, answer):
    for n in (8, 9):
        sandboxes(f"kinfra sandbox provision {n} && kinfra sandbox up {n}")
    work = {"id": "mine", "kind": "backtest", "params": {"seed": 1, "steps": 3}}
    answer("8008/api/v1/operations", work)
    assert answer("8009/api/v1/operations") == []
    rows = sandboxes("kinfra sandbox list").splitlines()
    assert [row.split()[:6] for row in rows[1:3]] == [
        [n, f"800{n}", f"810{n}", f"820{n}", f"830{n}", "healthy"] for n in ("8", "9")
    ]
    before = sandboxes("docker ps --quiet --filter label=com.docker.compose.project=ktrdr-sandbox-8")

    sandboxes("kinfra sandbox destroy 9 --yes")
    assert sandboxes("docker ps --quiet --filter label=com.docker.compose.project=ktrdr-sandbox-8") == before
    assert answer("8008/api/v1/health")["status"] == "healthy"

    sandboxes("kinfra sandbox down 8 && kinfra sandbox up 8")
    assert answer("8008/api/v1/operations/mine")["id"] == "mine"


def test_a_port_of_a_process(sandboxes):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 8107))
        server.listen()
        said = sandboxes("kinfra sandbox provision 7", status=1)
    assert said.startswith("Port 8107 (BACKTEST) of slot 7 is taken by process ")
    assert not (HOME / ".ktrdr/sandboxes/slot-7").exists()


def test_a_port_of_a_container(sandboxes):
    sandboxes("kinfra sandbox provision 7")
    holder = ["docker", "run", "--detach", "--rm", "--publish", "127.0.0.1:8007:1", "ktrdr-backend:dev", "sleep", "60"]
    key = subprocess.check_output(holder, text=True).strip()
    try:
        name = subprocess.check_output(["docker", "inspect", "--format", "{{.Name}}", key], text=True).strip()[1:]
        said = sandboxes("kinfra sandbox up 7", status=1)
    finally:
        subprocess.run(["docker", "rm", "--force", key], check=True, capture_output=True)
    assert said == f"Port 8007 (API) of slot 7 is taken by container {name}: stop the holder, or use another slot.\n"
