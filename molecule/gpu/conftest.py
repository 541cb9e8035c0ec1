"""The host with the simulated card, and an operator who types commands. Shared by the tests of this scenario."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DETECTOR = "vision-detector-detector-1"
# A driver that runs CUDA 13; MiB of the card, and of each process of that name. Beside one detector another one has room.
CARD = {"loaded": "580.65.06", "installed": "580.65.06", "total": 24564, "users": {"simulated-detector": 6000}}


@pytest.fixture
def card(host):
    """Change what the simulated nvidia-smi and modinfo say; it is CARD when a test begins."""

    def change(**facts):
        host.check_output("echo %s > /etc/simulated-card.json", json.dumps({**CARD, **facts}))

    change()
    return change


@pytest.fixture
def run(card):
    """Type a command as an operator does: all that it says, in one line."""

    def finish(playbook, *arguments, rc=0):
        done = subprocess.run(
            ["ansible-playbook", "--inventory", str(ROOT / "molecule/gpu/inventory"), playbook, *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == rc, done.stdout[-4000:]
        assert "Traceback" not in done.stdout
        return " ".join(done.stdout.split())

    return finish


@pytest.fixture
def running(host):
    """Container -> its id and release."""

    def ask():
        rows = host.check_output("docker ps --no-trunc --format '{{.Names}} {{.ID}} {{.Label \"rollout.release\"}}'")
        return {name: (identity, release) for name, identity, release in (row.split() for row in rows.splitlines())}

    return ask


@pytest.fixture
def untouched(running):
    """The test must leave every container as it was."""
    before = running()
    yield
    assert running() == before


@pytest.fixture
def runs(running):
    """Assert that a release runs, and nothing else."""

    def check(release):
        found = {name: label for name, (_identity, label) in running().items()}
        assert found == {"vision-api-api-1": release, DETECTOR: release}

    return check
