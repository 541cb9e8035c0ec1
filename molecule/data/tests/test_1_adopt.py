"""What runs is taken over in two commands, and nothing of it is touched."""

from conftest import FIRST, HERE, HOST, ids
from operators import Operator


def test_two_commands_take_it_over_without_a_restart(shop, running, writer):
    looking = Operator("data")
    looking.inventory = HERE / "inventory/hosts.yml"
    said = looking.run("playbooks/adopt.yml", "-e", "project=shop", "-e", f"into={shop.folder}").said
    assert "Nothing was touched on ktrdr-molecule-data" in said
    assert not HOST.ledger()

    said = shop.rollout(FIRST).said
    assert "ROLLOUT UNCHANGED" in said
    assert ids() == running
    assert not writer.failed
    adopted, stable = (one for one in HOST.ledger() if one["event"] == "confirmed")
    assert (adopted["name"][:8], stable["name"]) == ("adopted-", f"sha-{FIRST}")
    shop.run("status.yml", "-e", "strict=true")
