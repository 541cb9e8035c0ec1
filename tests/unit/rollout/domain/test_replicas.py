from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain import changes, compose, replicas
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

FILE = "c.yml"
EMPTY = {"resources": {}, "placement": {}}


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ({}, 1),
        ({"deploy": {"resources": {}}}, 1),
        ({"deploy": {"replicas": 3}}, 3),
        ({"deploy": {"replicas": 0}}, 0),
        ({"scale": 2}, 2),
        ({"scale": 0}, 0),
    ],
)
def test_how_many_a_file_asks_for(spec, number):
    assert replicas.number(spec) == number
    assert compose.services({"services": {"web": {"image": "x", **spec}}}, FILE)[0].replicas == number


@pytest.mark.parametrize(
    "spec", [{"scale": 3}, {"deploy": {"replicas": 3, **EMPTY}}, {"deploy": {"replicas": 0}}, {"deploy": {"replicas": 1}}]
)
def test_the_number_changes_no_container(spec):
    assert compose.config_hash({"image": "x", **spec}) == compose.config_hash({"image": "x"})
    more = {**spec, "deploy": {"replicas": 2, "resources": {"limits": {"memory": "1"}}, "placement": {}}}
    plain = {"deploy": {"resources": {"limits": {"memory": "1"}}, "placement": {}}}
    assert compose.config_hash(more) == compose.config_hash(plain)


def test_what_says_no_number_has_the_label_that_it_had():
    assert replicas.without({"deploy": EMPTY}) == {"deploy": EMPTY}


@pytest.mark.parametrize(
    ("spec", "keys", "said"),
    [
        ({"container_name": "web"}, {}, "it has container_name web, which one alone can have. Remove that key"),
        (
            {"ports": [{"published": "8000", "target": 80}]},
            {},
            "it publishes port 8000 alone. Publish a range (8000-8002:80), or let a service in front publish the port",
        ),
        (
            {"ports": [{"published": "8000-8001", "target": 80}]},
            {},
            "it publishes port 8000-8001 alone. Publish a range (8000-8002:80), or let a service in front publish the port",
        ),
        (
            {"networks": {"lan": {"ipv4_address": "10.0.0.9"}}},
            {},
            "it has ipv4_address 10.0.0.9 in network lan, which one alone can have. Remove that key",
        ),
        (
            {},
            {"drain": {"stop": "http://h/drain"}},
            "its key drain speaks to one; without that key each container ends in its stop_grace_period",
        ),
    ],
)
def test_what_several_cannot_have_is_refused(spec, keys, said):
    document = {"services": {"web": {"image": "x", "scale": 3, **spec}}, "x-rollout": {"web": keys}}
    with pytest.raises(RolloutError) as error:
        compose.services(document, FILE)
    assert str(error.value) == f"{FILE}: service web is to have 3 containers, and {said}."
    for number in (0, 1):
        document["services"]["web"]["scale"] = number
        assert compose.services(document, FILE)[0].replicas == number


def test_what_stands_in_the_network_of_one_of_several_is_refused():
    document = {"services": {"web": {"image": "x", "scale": 2}, "side": {"image": "y", "network_mode": "service:web"}}}
    with pytest.raises(RolloutError) as error:
        compose.services(document, FILE)
    assert str(error.value) == (
        f"{FILE}: service web is to have 2 containers, and service side has the network_mode of one of them "
        "(network_mode: service:web). Give side one of its own."
    )


@pytest.mark.parametrize(
    "ports",
    [
        [{"published": "8000-8002", "target": 80}],
        [{"published": "8000-8009", "target": 80}],
        [{"target": 80}],
        [{"published": "", "target": 80}],
    ],
)
def test_ports_that_they_can_share(ports):
    document = {"services": {"web": {"image": "x", "scale": 3, "ports": ports}}}
    assert compose.services(document, FILE)[0].ports == ()


def container(number, **facts):
    plain = {"service": "web", "image_id": "new", "image": "r/web", "config_hash": "c", "status": "running", "health": "none"}
    rest = {"restarts": 0, "exit_code": 0, "oom": False, "started": ""}
    return changes.Container(**{"id": str(number), **plain, **rest, **facts})


THREE = compose.Service("web", "r/web:1", True, config_hash="c", replicas=3)
KEPT = replace(THREE, released=False)
OLD = {"image_id": "old"}


def compared(service, running, **how):
    return changes.compare([service], {"r/web:1": "new"}, running, **how)[0]


@pytest.mark.parametrize(
    ("service", "facts", "action", "why", "wrong"),
    [
        (THREE, [{}, {}, {}], "keep", "", ""),
        (THREE, [], "create", "absent", ""),
        (THREE, [{}, {}], "scale", "2 containers instead of 3", ""),
        (THREE, [{}], "scale", "1 container instead of 3", ""),
        (THREE, [{}, {}, {}, {}], "scale", "4 containers instead of 3", ""),
        (THREE, [OLD, OLD, OLD], "replace", "image", "012"),
        (THREE, [{}, OLD, {}], "replace", "image", "1"),
        (THREE, [OLD, {}], "replace", "image", "0"),
        (THREE, [{}, {"status": "exited"}, OLD], "replace", "image", "12"),
        (THREE, [{}, {"status": "exited"}, {}], "replace", "exited", "1"),
        (THREE, [{"status": "exited"}] * 3, "recreate", "exited", "012"),
        (THREE, [{}, {}, {}, OLD], "scale", "4 containers instead of 3", "3"),
        (THREE, [{}, {"config_hash": "d"}, {}], "replace", "configuration", "1"),
        (replace(THREE, replicas=0), [], "keep", "", ""),
        (replace(THREE, replicas=0), [{}, OLD], "scale", "2 containers instead of 0", "1"),
        (replace(THREE, replicas=1), [{}, OLD], "scale", "2 containers", "1"),
        (replace(THREE, replicas=1), [OLD, OLD], "recreate", "2 containers", "01"),
        (KEPT, [], "create", "absent", ""),
        (KEPT, [{}, {}, {}], "keep", "", ""),
        (KEPT, [OLD, OLD, OLD], "keep", "kept: image", ""),
        (KEPT, [{}, {}], "create", "2 containers instead of 3", ""),
        (KEPT, [{}, {"status": "exited"}, {}], "create", "2 containers instead of 3", ""),
        (KEPT, [{}, {}, {}, {}], "keep", "kept: 4 containers instead of 3", ""),
    ],
)
def test_changes_of_several(service, facts, action, why, wrong):
    found = compared(service, [container(number, **one) for number, one in enumerate(facts)])
    assert found == changes.Change("web", action, why, tuple(wrong))


def test_a_kept_one_that_is_to_be_replaced_is_so_one_by_one():
    found = compared(KEPT, [container(0, **OLD), container(1)], replace=["web"])
    assert found == changes.Change("web", "replace", "image", ("0",))


def test_all_go_with_a_network_that_changes():
    found = compared(THREE, [container(0), container(1), container(2)], renewed={"web": "network default"})
    assert found == changes.Change("web", "recreate", "network default", ("0", "1", "2"))


STATES = st.sampled_from([{}, OLD, {"status": "exited"}, {"status": "restarting"}, {"config_hash": "d"}])


@given(st.integers(0, 4), st.lists(STATES, max_size=6))
def test_what_is_right_never_goes_and_nothing_stays_where_all_is_as_it_should_be(number, facts):
    service = replace(THREE, replicas=number)
    running = [container(n, **one) for n, one in enumerate(facts)]
    found = compared(service, running)
    right = [c.id for c in running if not changes.differs(service, "new", c)]
    assert not set(found.wrong) & set(right)
    assert (found.action == "keep") == (len(right) == len(running) == number)
