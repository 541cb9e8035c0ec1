"""The fleet goes back without its registry."""

import pytest


@pytest.mark.nightly
def test_rollback_with_the_registry_stopped(fleet, controller, on):
    on("sha-aaaaaa1")
    on("sha-bbbbbb2")
    database = fleet.database_id()
    with fleet.without_registry():
        result = controller.run("rollback.yml")
    assert "ROLLBACK SUCCEEDED: sha-aaaaaa1 runs on 4 hosts, every gate held." in result.said
    for host in fleet.hosts:
        assert fleet.releases(host) == {"sha-aaaaaa1"}, host
        assert next(e for e in reversed(fleet.ledger(host)) if e["event"] == "confirmed")["action"] == "rollback"
    assert fleet.database_id() == database
