from __future__ import annotations

import ipaddress

import pytest
from ansible.module_utils.rollout.domain import networks
from ansible.module_utils.rollout.domain.networks import Route, addresses, differing
from hypothesis import given
from hypothesis import strategies as st

# As `docker compose config` (2.26.1) printed four networks, and `docker network inspect` (20.10.24) what became of them.
CHOSEN = {"Subnet": "192.168.96.0/20", "Gateway": "192.168.96.1"}
MADE = {"com.docker.compose.project": "askedn", "com.docker.compose.version": "2.26.1"}


def inspected(key, config, **facts):
    return {
        "Name": f"askedn_{key}",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": config},
        "Internal": False,
        "Attachable": False,
        "Options": {},
        "Labels": {**MADE, "com.docker.compose.network": key},
        **facts,
    }


PLAIN = ({"name": "askedn_plain", "ipam": {}}, inspected("plain", [CHOSEN]))
FIXED = (
    {
        "name": "askedn_fixed",
        "driver": "bridge",
        "driver_opts": {"com.docker.network.driver.mtu": "1400"},
        "ipam": {
            "driver": "default",
            "config": [
                {
                    "subnet": "172.30.0.0/24",
                    "gateway": "172.30.0.1",
                    "ip_range": "172.30.0.128/25",
                    "aux_addresses": {"a": "172.30.0.9"},
                }
            ],
        },
        "labels": {"a": "b"},
    },
    inspected(
        "fixed",
        [
            {
                "Subnet": "172.30.0.0/24",
                "IPRange": "172.30.0.128/25",
                "Gateway": "172.30.0.1",
                "AuxiliaryAddresses": {"a": "172.30.0.9"},
            }
        ],
        Options={"com.docker.network.driver.mtu": "1400"},
        Labels={"a": "b", **MADE, "com.docker.compose.network": "fixed"},
    ),
)
INNER = (
    {"name": "askedn_inner", "ipam": {"config": [{"subnet": "172.31.7.0/24"}]}, "internal": True, "attachable": True},
    inspected("inner", [{"Subnet": "172.31.7.0/24"}], Internal=True, Attachable=True),
)
SIX = (
    {"name": "askedn_drv", "driver": "bridge", "ipam": {"config": [{"subnet": "fd00:aa::/64"}]}, "enable_ipv6": True},
    inspected(
        "drv",
        [{"Subnet": "192.168.112.0/20", "Gateway": "192.168.112.1"}, {"Subnet": "fd00:aa::/64"}],
        EnableIPv6=True,
    ),
)
RECORDED = [PLAIN, FIXED, INNER, SIX]


@pytest.mark.parametrize(("definition", "found"), RECORDED)
def test_what_an_engine_made_of_a_definition_is_no_difference(definition, found):
    assert differing(definition, found) == []
    assert differing(definition, found, before=definition) == []


def ipam(**one):
    return {"config": [{"subnet": "172.30.0.0/24", **one}]}


@pytest.mark.parametrize(
    ("definition", "found", "said"),
    [
        ({"internal": True}, PLAIN[1], ["internal: false -> true"]),
        ({}, INNER[1], ["internal: true -> false", "attachable: true -> false"]),
        ({"attachable": True}, PLAIN[1], ["attachable: false -> true"]),
        ({"driver": "macvlan"}, PLAIN[1], ["driver: bridge -> macvlan"]),
        ({"driver": "default"}, PLAIN[1], []),
        ({"enable_ipv6": True}, PLAIN[1], ["enable_ipv6: false -> true"]),
        ({}, SIX[1], ["enable_ipv6: true -> false"]),
        # The engine's own settings ask for it.
        ({}, {**SIX[1], "Options": {"com.docker.network.enable_ipv6": "true"}}, []),
        (
            {"driver_opts": {"com.docker.network.driver.mtu": "1400"}},
            PLAIN[1],
            ["driver_opts.com.docker.network.driver.mtu: unset -> 1400"],
        ),
        ({"driver_opts": {"com.docker.network.driver.mtu": 1400}}, FIXED[1], []),
        ({"labels": {"a": "c"}}, FIXED[1], ["labels.a: b -> c"]),
        ({"labels": {"new": ""}}, PLAIN[1], ["labels.new: unset -> empty"]),
        (
            {"ipam": {"config": [{"subnet": "172.31.8.0/24"}]}},
            INNER[1],
            ["internal: true -> false", "attachable: true -> false", "ipam.subnet: 172.31.7.0/24 -> 172.31.8.0/24"],
        ),
        ({"ipam": {"config": [{"subnet": "10.9.0.0/16"}]}}, PLAIN[1], ["ipam.subnet: 192.168.96.0/20 -> 10.9.0.0/16"]),
        ({"ipam": {"driver": "dhcp"}}, PLAIN[1], ["ipam.driver: default -> dhcp"]),
        (
            {"ipam": ipam(gateway="172.30.0.254")},
            FIXED[1],
            [
                "ipam.gateway of 172.30.0.0/24: 172.30.0.1 -> 172.30.0.254",
                "ipam.ip_range of 172.30.0.0/24: 172.30.0.128/25 -> unset",
                "ipam.aux_addresses of 172.30.0.0/24: a=172.30.0.9 -> unset",
            ],
        ),
        # Only the way it is written differs.
        ({"ipam": {"config": [{"subnet": "FD00:00AA::/64"}]}, "enable_ipv6": True}, SIX[1], []),
        ({"ipam": {"config": [{"subnet": "172.31.7.5/24"}]}, "internal": True, "attachable": True}, INNER[1], []),
        ({"external": True, "internal": True}, PLAIN[1], []),
    ],
)
def test_differing(definition, found, said):
    assert differing(definition, found) == said


def test_what_the_release_before_set_has_to_go():
    plain = {"name": "askedn_fixed", "ipam": {}}
    assert differing(plain, FIXED[1]) == [], "it may be the engine's own choice"
    assert differing(plain, FIXED[1], before=FIXED[0]) == [
        "driver_opts.com.docker.network.driver.mtu: 1400 -> unset",
        "labels.a: b -> unset",
        "ipam.subnet: 172.30.0.0/24 -> unset",
    ]


@given(st.sampled_from(RECORDED), st.sampled_from(RECORDED))
def test_each_of_them_differs_from_the_others(one, other):
    said = differing(one[0], other[1], before=other[0])
    assert bool(said) == (one is not other)
    assert all(" -> " in sentence for sentence in said)


BRIDGE = {"Name": "bridge", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]}}
LAN, DEFAULT = Route("192.0.2.0/24", "eth0"), Route("0.0.0.0/0", "eth0", linked=False)
DOCKER0 = Route("172.17.0.0/16", "docker0")
VPN = Route("10.0.0.0/8", "eth0", linked=False)


def wanting(subnet=None, key="fixed", **more):
    config = [{"subnet": subnet}] if subnet else None
    return ("docker-compose.work.yml", key, {"name": f"app-work_{key}", "ipam": {"config": config} if config else {}, **more})


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ([wanting("172.17.0.0/24")], "subnet 172.17.0.0/24, which overlaps with network bridge (172.17.0.0/16) on this host"),
        ([wanting("192.0.2.128/25")], "subnet 192.0.2.128/25, which overlaps with the network of interface eth0 (192.0.2.0/24)"),
        ([wanting("192.0.0.0/16")], "overlaps with the network of interface eth0 (192.0.2.0/24)"),
        ([wanting("192.0.2.0/24", driver="macvlan")], ""),
        ([wanting("172.17.0.0/24", driver="macvlan")], "overlaps with network bridge"),
        ([wanting("172.30.0.0/24")], ""),
        ([wanting("10.1.0.0/16")], ""),
        ([wanting("fd00::/64")], ""),
        (
            [wanting("172.30.0.0/24"), wanting("172.30.0.0/16", "b")],
            "network b asks for subnet 172.30.0.0/16, which overlaps with network fixed of docker-compose.work.yml (172.30.0.0/24)",
        ),
        ([wanting("nonsense")], ""),
    ],
)
def test_subnets(new, said):
    found = addresses(new, [BRIDGE], [LAN, DEFAULT, DOCKER0, VPN])
    assert len(found) == bool(said)
    assert said in "".join(found)
    assert all(s.startswith("docker-compose.work.yml: network ") and s.endswith("Choose another subnet.") for s in found)


def test_a_network_that_is_replaced_is_not_in_its_own_way():
    old = {"Name": "app-work_fixed", "IPAM": {"Config": [{"Subnet": "172.30.0.0/24"}]}}
    route = Route("172.30.0.0/24", "br-1")
    assert addresses([wanting("172.30.0.0/24")], [old], [route], going=["app-work_fixed"]) == []
    assert len(addresses([wanting("172.30.0.0/24")], [old], [route])) == 1


def test_the_pools():
    full = [{"Name": f"n{i}", "IPAM": {"Config": [{"Subnet": f"172.{i}.0.0/16"}]}} for i in range(17, 32)]
    assert addresses([wanting()], full, []) == []
    full += [{"Name": f"m{i}", "IPAM": {"Config": [{"Subnet": f"192.168.{i * 16}.0/20"}]}} for i in range(15)]
    assert addresses([wanting()], full, []) == []
    (said,) = addresses([wanting(), wanting(key="b")], full, [])
    assert said == (
        "docker-compose.work.yml: no free subnet is left on this host for network b: the engine's address pools are taken by 30 "
        "networks and routes. Remove networks that nothing uses (docker network prune), or add a pool (default-address-pools in "
        "/etc/docker/daemon.json)."
    )
    # One that has its subnet, no addresses, or other ones needs none.
    others = [wanting("10.0.0.0/24"), wanting(driver="none"), wanting(enable_ipv4=False), wanting(ipam={"driver": "dhcp"})]
    assert addresses([wanting(), *others], full, []) == []


def test_routes_take_addresses_of_the_pools():
    pools = [("10.0.0.0/8", 24)]
    assert addresses([wanting()], [], [VPN], pools=pools) == []
    assert len(addresses([wanting()], [], [VPN], pools=pools, gateways=True)) == 1
    assert len(addresses([wanting()], [], [Route("10.0.0.0/8", "tun0")], pools=pools)) == 1
    assert addresses([wanting()], [], [Route("10.0.0.0/9", "tun0"), DEFAULT], pools=pools, gateways=True) == []
    assert len(addresses([wanting()], [], [], pools=[("fd00::/48", 64), ("10.0.0.0/24", 16), ("x", 1)])) == 1


@given(st.lists(st.integers(0, 255), max_size=40, unique=True), st.integers(1, 8))
def test_as_many_networks_find_addresses_as_are_free(held, number):
    there = [{"Name": f"n{i}", "IPAM": {"Config": [{"Subnet": f"10.0.{i}.0/24"}]}} for i in held]
    new = [wanting(key=f"k{n}") for n in range(number)]
    said = addresses(new, there, [], pools=[("10.0.0.0/20", 24)])
    free = 16 - len([i for i in held if i < 16])
    assert len(said) == max(0, number - free)


@given(st.ip_addresses(v=4), st.integers(8, 30), st.ip_addresses(v=4), st.integers(8, 30))
def test_meeting_is_mutual(one, size, other, length):
    a, b = networks.parsed(f"{one}/{size}"), networks.parsed(f"{other}/{length}")
    assert (
        networks.meets(a, b)
        == networks.meets(b, a)
        == bool(set(a) & set(b) if a.num_addresses + b.num_addresses < 512 else a.overlaps(b))
    )
    assert not networks.meets(a, ipaddress.ip_network("::/0"))
