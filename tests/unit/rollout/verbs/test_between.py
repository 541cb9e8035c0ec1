"""A way back to a release with other variables: what differs is said, and a secret that a kept service has bars it."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import restage, settle, stage
from story import order, stack


def text(tag, secret, value):
    """A compose file as Compose prints it: with the values of its variables put in."""
    document = json.loads(stack(tag, ("web",)))
    document["services"]["db"]["environment"] = {"POSTGRES_PASSWORD": value if secret == "PW" else "fixed"}
    return json.dumps(document)


@pytest.fixture
def put(host):
    """Roll a release out: its letter, the value of the secret PW, and whether the database has that."""

    def roll(letter, value, database=True, **more):
        tag = "sha-" + letter * 7
        asked = order(letter, text(tag, "PW" if database else "", value), secrets={"PW": value}, **more)
        staged = stage.stage(host.store, host.engine, asked, True)
        name = stage.stage(host.store, host.engine, asked, False)["name"]
        host.bring(name, asked.run)
        settle.confirm(host.store, host.engine, name, asked.run, "rollout", 5, False)
        return staged["preview"]

    return roll


def back(host, name):
    return restage.restage(host.store, host.engine, name, True)


def test_what_differs_is_said_by_name_and_never_by_value(host, put):
    put("a", "canary-one", database=False)
    preview = put("a", "canary-two", database=False, environment={"PORT": 5103})
    assert (preview["variables"], preview["barred"]) == (["PORT", "PW"], [])
    found = back(host, "sha-aaaaaaa")
    assert (found["preview"]["variables"], found["preview"]["barred"]) == (["PORT", "PW"], [])
    assert [part["after_header"] for part in found["diff"]] == ["sha-aaaaaaa/core/.env"]
    assert "canary" not in json.dumps(found["diff"])


def test_a_variant_of_the_same_code_is_refused_where_a_kept_service_has_another_secret_since(host, put):
    put("a", "canary-one")
    assert put("a", "canary-two")["barred"] == ["PW"]
    with pytest.raises(RolloutError) as error:
        back(host, "sha-aaaaaaa")
    assert str(error.value) == (
        "Release sha-aaaaaaa has another PW than sha-aaaaaaa.2, which runs now. db is kept, and has the present one: what goes back "
        "would not be let in. Both have the same code. To go back to earlier code, name it: ansible-playbook rollback.yml -e sha=… -e "
        "environment=present"
    )


def test_an_earlier_release_is_refused_with_the_way_back_in_code_alone(host, put):
    put("a", "canary-one")
    put("b", "canary-two")
    with pytest.raises(RolloutError, match=r"ansible-playbook rollback\.yml -e sha=aaaaaaa -e environment=present$"):
        back(host, "sha-aaaaaaa")


def test_where_the_secret_is_the_same_there_is_a_way_back(host, put):
    put("a", "canary-one")
    assert put("b", "canary-one")["barred"] == []
    assert back(host, "sha-aaaaaaa")["preview"]["variables"] == []


@pytest.mark.parametrize("how", ["edited", "torn", "moved"])
def test_a_stable_release_that_cannot_be_read_bars_nothing(host, put, how):
    put("a", "canary-one", database=False)
    put("b", "canary-two", database=False)
    host.spoil("sha-bbbbbbb", how)
    assert back(host, "sha-aaaaaaa")["preview"]["barred"] == []
