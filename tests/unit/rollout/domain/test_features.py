from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.features import COMPOSE, ENGINE, NEEDED, dropped, faults, numbers, older

OLD = {ENGINE: "20.10.24+dfsg1", COMPOSE: "2.26.1-4"}
NEW = {ENGINE: "29.1.2", COMPOSE: "5.3.0"}


def of(spec, **networks):
    return {"services": {"web": spec}, "networks": networks}


USED = [
    (
        of({"healthcheck": {"test": ["CMD", "true"], "start_interval": "1s"}}),
        "service web uses healthcheck.start_interval, which needs Docker Engine 25.0",
    ),
    (
        of({"volumes": [{"type": "volume", "source": "v", "volume": {"subpath": "a"}}]}),
        "uses volume.subpath, which needs Docker Engine 26.0",
    ),
    (
        of({"volumes": [{"type": "image", "source": "alpine", "target": "/i"}]}),
        "uses a volume of type image, which needs Docker Engine 28.0",
    ),
    (
        of({"volumes": [{"type": "bind", "source": "/x", "bind": {"recursive": "readonly"}}]}),
        "bind.recursive, which needs Docker Engine 25.0",
    ),
    (of({"gpus": [{"count": -1}]}), "uses gpus, which needs Docker Compose 2.30.0"),
    (of({"networks": {"a": {"gw_priority": 1}}}), "uses gw_priority, which needs Docker Engine 28.0"),
    (of({"networks": {"a": None, "b": {"interface_name": "eth7"}}}), "interface_name, which needs Docker Engine 28.1"),
    (of({"post_start": [{"command": ["true"]}]}), "post_start, which needs Docker Compose 2.30.0"),
    (of({"pre_stop": [{"command": ["true"]}]}), "pre_stop, which needs Docker Compose 2.30.0"),
    (of({"pre_start": [{"command": ["true"]}]}), "pre_start, which needs Docker Compose 5.3.0"),
    (of({"use_api_socket": True}), "use_api_socket, which needs Docker Compose 2.37.2"),
    (of({"annotations": {"a": "b"}}), "annotations, which needs Docker Engine 24.0"),
    (of({"devices": ["nvidia.com/gpu=all"]}), "a CDI device, which needs Docker Engine 25.0"),
    (of({"devices": [{"source": "amd.com/gpu=0"}]}), "a CDI device, which needs Docker Engine 25.0"),
    (of({}, a={"enable_ipv4": False}), "network a uses enable_ipv4, which needs Docker Engine 28.0"),
    (
        of({}, a={"enable_ipv6": True, "ipam": {"config": [{"subnet": "10.0.0.0/24"}]}}),
        "enable_ipv6 without an IPv6 subnet, which needs Docker Engine 27.0",
    ),
]


@pytest.mark.parametrize(("config", "said"), USED)
def test_an_old_host(config, said):
    (found,) = faults(config, "f.yml", OLD)
    assert found.startswith("f.yml: ")
    assert said in found
    assert " or newer; this host has 2" in found
    assert faults(config, "f.yml", NEW) == []
    assert faults(config, "f.yml", {}) == []


def test_each_feature_is_looked_for():
    texts = "".join(said for _, said in USED)
    assert [feature for feature in NEEDED if feature not in texts] == []


def test_the_sentence():
    assert faults(of({"gpus": [{}]}), "docker-compose.ai.yml", OLD) == [
        "docker-compose.ai.yml: service web uses gpus, which needs Docker Compose 2.30.0 or newer; this host has 2.26.1-4. Upgrade it "
        "there, or remove gpus from the file."
    ]


@pytest.mark.parametrize(
    "config",
    [
        {},
        of(
            {
                "healthcheck": {"start_period": "1s"},
                "devices": ["/dev/dri:/dev/dri"],
                "develop": {"watch": []},
                "networks": {"a": {}},
            }
        ),
        of({}, a={"external": True, "enable_ipv6": True}, b={"enable_ipv6": True, "ipam": {"config": [{"subnet": "fd00::/64"}]}}),
    ],
)
def test_what_every_host_can(config):
    assert faults(config, "f.yml", OLD) == []


def test_pools_may_have_ipv6():
    assert faults(of({}, a={"enable_ipv6": True}), "f.yml", OLD, ipv6=True) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("    networks: {a: {gw_priority: 3}}", 1),
        ("        gw_priority: 3\n", 1),
        ("# gw_priority: 3\n", 0),
        ("a: b # gw_priority: 3\n", 0),
        ("image: gw_priority\n", 0),
    ],
)
def test_what_compose_leaves_out_is_seen_in_the_text(text, number):
    assert len(dropped(text, "f.yml", OLD)) == number
    assert dropped(text, "f.yml", NEW) == []


def test_versions():
    assert numbers("v20.10.24+dfsg1") == (20, 10, 24)
    assert numbers("unknown") == ()
    assert older("2.26.1-4", "2.30.0")
    assert not older("28.0", "28.0")
    assert not older("", "28.0")
