"""The host with the simulated card, and an operator who types commands. Shared by the tests of this scenario."""

import json

import pytest
from operators import Machine, Operator

OPERATOR = Operator("gpu")
MACHINE = Machine("ktrdr-molecule-gpu", "vision")
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
    return lambda *arguments, rc=0: OPERATOR.run(*arguments, rc=rc).said


@pytest.fixture
def running():
    """Service -> its release and its container's id."""
    return MACHINE.running


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
        found = {service: label for service, (label, _container) in running().items()}
        assert found == {"api": release, "detector": release}

    return check
