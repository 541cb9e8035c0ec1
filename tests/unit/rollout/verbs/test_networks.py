"""Networks that are no longer what their stack says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.verbs import networks

CONFIG = {
    "services": {
        "db": {"networks": {"back": None}},
        "web": {"networks": {"back": None, "front": None}},
        "tool": {"networks": {"front": None}},
    },
    "networks": {"back": {"name": "app-core_back", "internal": True}, "front": {"name": "app-core_front"}},
}
SERVICES = [Service("db", "postgres:17", False, kept="image"), Service("web", "web:1", True), Service("tool", "tool:1", True)]


class Engine:
    """Two networks, and who is attached to each: container -> project."""

    def __init__(self, attached: dict[str, str]) -> None:
        self._attached = attached

    def networks(self) -> list[dict[str, Any]]:
        return [{"Name": f"app-core_{key}", "Driver": "bridge", "Internal": False} for key in ("back", "front")]

    def attached(self, _network: str) -> dict[str, str]:
        return self._attached


def said(attached: dict[str, str], replace: tuple[str, ...] = ()) -> list[str]:
    engine: Any = Engine(attached)
    found = networks.changed(engine, "app-core", CONFIG)
    return networks.faults(engine, "app-core", "docker-compose.yml", found, SERVICES, replace)


def test_what_is_on_a_changed_network_is_made_anew():
    engine: Any = Engine({})
    assert networks.renewed(networks.changed(engine, "app-core", CONFIG)) == {"db": "network back", "web": "network back"}


def test_what_is_kept_there_is_asked_for():
    assert said({"app-core-db-1": "app-core"}) == [
        "docker-compose.yml: network back (app-core_back) changes (internal: false -> true), for which what is on it must stop, also "
        "what is kept: db. To restart that with the network, add -e replace=db; or leave the network as it is."
    ]


@pytest.mark.parametrize("replace", [("db",), ("*",)])
def test_it_goes_where_that_was_typed(replace):
    assert said({"app-core-db-1": "app-core"}, replace) == []


def test_containers_of_others_keep_it():
    (sentence,) = said({"app-core-db-1": "app-core", "stranger": ""}, ("*",))
    assert "stranger" in sentence
    assert "app-core-db-1" not in sentence
