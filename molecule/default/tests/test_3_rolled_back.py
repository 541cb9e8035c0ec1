"""A rollback, with the registry out of reach of host and controller."""

import pytest
from conftest import MACHINE, OPERATOR

TO_THE_REGISTRY = "OUTPUT --destination 172.17.0.1 --protocol tcp --dport 5000 --jump REJECT"


@pytest.fixture(scope="module", autouse=True)
def rolled_back(database):
    MACHINE.exec("sh", "-c", f"iptables --insert {TO_THE_REGISTRY}")
    try:
        OPERATOR.run("rollback.yml", "-e", "rollout_registry=127.0.0.1:1")
    finally:
        MACHINE.exec("sh", "-c", f"iptables --delete {TO_THE_REGISTRY}")


def test_first_release_runs_again(runs, health, database, ledger):
    runs("sha-aaaaaa1")
    assert health["release"] == "sha-aaaaaa1"
    assert MACHINE.database() == database
    assert ledger[-1]["event"] == "confirmed"
    assert ledger[-1]["action"] == "rollback"
