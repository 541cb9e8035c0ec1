"""A registry that lies: it can refuse, and nothing else."""

import pytest
from conftest import BOUND_S, REGISTRY, readable
from liars import basic


@pytest.mark.parametrize("lie", REGISTRY)
def test_is_refused_in_time_with_a_sentence(runs, lie):
    result = runs[f"registry {lie}"]
    said = readable(result)
    assert result.rc == 2
    assert "ROLLOUT REFUSED: nothing was touched" in said
    assert "egistry 127.0.0.1:" in said
    assert result.seconds < BOUND_S


@pytest.fixture(scope="module")
def over(runs):
    for lie in REGISTRY:
        runs[f"registry {lie}"]


def test_the_password_was_sent_to_no_other_host(over, servers, canaries):
    registry, elsewhere = servers
    sent = basic("reader", canaries["vault_registry_password"])
    assert any(sent in request for request in registry.heard), "otherwise this proves nothing"
    assert [request for request in elsewhere.heard if "authorization" in request.lower()] == []
    assert [request for request in elsewhere.heard if sent in request] == []


def test_what_a_redirect_leads_to_was_asked(over, servers):
    """Otherwise the test above holds because nobody went there."""
    assert any("/v2/elsewhere/" in request for request in servers[1].heard)
