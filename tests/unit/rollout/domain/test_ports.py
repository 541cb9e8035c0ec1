from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import ports
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = ["", "0.0.0.0", "::", "127.0.0.1", "127.0.0.53", "::1", "fd00::2"]
PORTS = st.builds(Port, st.sampled_from([53, 80]), st.sampled_from(["tcp", "udp"]), st.sampled_from(ADDRESSES))


@pytest.mark.parametrize(
    ("port", "text"),
    [
        (Port(8000), "8000"),
        (Port(53, "udp"), "53/udp"),
        (Port(53, "udp", "192.168.1.2"), "192.168.1.2:53/udp"),
        (Port(80, address="::1"), "[::1]:80"),
    ],
)
def test_a_port_reads_as_in_a_compose_file(port, text):
    assert f"{port}" == text


def test_published():
    spec = {
        "ports": [
            {"target": 80, "published": "8000", "protocol": "tcp", "mode": "ingress"},
            {"target": 53, "published": "53", "protocol": "udp", "host_ip": "192.168.1.2"},
            {"target": 81},
            {"target": 82, "published": "9000-9010"},
        ]
    }
    assert ports.published(spec) == (Port(8000), Port(53, "udp", "192.168.1.2"))
    assert ports.published({}) == ()


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (Port(53), Port(53), True),
        (Port(53), Port(54), False),
        (Port(53), Port(53, "udp"), False),
        (Port(53), Port(53, address="127.0.0.53"), True),
        (Port(53), Port(53, address="::1"), True),
        (Port(53, address="0.0.0.0"), Port(53, address="127.0.0.53"), True),
        (Port(53, address="0.0.0.0"), Port(53, address="::1"), False),
        (Port(53, address="0.0.0.0"), Port(53, address="::"), False),
        (Port(53, address="::"), Port(53, address="::1"), True),
        (Port(53, address="127.0.0.1"), Port(53, address="127.0.0.53"), False),
        (Port(53, address="127.0.0.1"), Port(53, address="127.0.0.1"), True),
    ],
)
def test_ports_that_meet(one, other, meets):
    assert one.meets(other) is meets


@given(PORTS, PORTS)
def test_to_meet_is_mutual(one, other):
    assert one.meets(one)
    assert one.meets(other) == other.meets(one)


DNS = Port(53, "udp", "192.168.1.2")


@pytest.mark.parametrize(
    ("wanted", "held", "listening", "foreign", "sentence"),
    [
        ({Port(8000): "web"}, {}, {}, (), ""),
        ({Port(8000): "web"}, {Port(8000): "ktrdr-core"}, {}, (), ""),
        ({Port(8000): "web"}, {Port(8000): "ktrdr-core"}, {Port(8000): "process docker-proxy (pid 1)"}, (), ""),
        ({Port(8000): "web"}, {Port(8001): "other"}, {Port(8001): "process x (pid 1)"}, (), ""),
        ({Port(53): "web", Port(53, "udp"): "dns"}, {Port(53, "udp", "10.0.0.1"): "ktrdr-core"}, {}, (), ""),
        ({DNS: "dns"}, {Port(53, "udp", "127.0.0.53"): "other", Port(53): "another"}, {}, (), ""),
        (
            {Port(8000): "web"},
            {Port(8000, address="127.0.0.1"): "ktrdr-core", Port(8000, address="10.0.0.1"): "other"},
            {},
            (),
            "Port 8000, which service web publishes, is held by container or project other: stop the holder, or "
            "change the port in the inventory.",
        ),
        (
            {DNS: "dns"},
            {},
            {DNS: "process dnsmasq (pid 7)"},
            (),
            "Port 192.168.1.2:53/udp, which service dns publishes, is held by process dnsmasq (pid 7): stop the holder, or change the "
            "port in the inventory.",
        ),
        (
            {Port(8000): "web", Port(8000, address="127.0.0.1"): "worker"},
            {},
            {},
            (),
            "Port 127.0.0.1:8000, which service worker publishes, is wanted by service web too: change the port in the "
            "inventory.",
        ),
        (
            {DNS: "dns"},
            {},
            {},
            ("192.168.1.2",),
            "Port 192.168.1.2:53/udp, which service dns publishes, is on address 192.168.1.2, which this host does not have: "
            "change it in the inventory.",
        ),
    ],
)
def test_require(wanted, held, listening, foreign, sentence):
    arguments = wanted.items(), held.items(), ["ktrdr-core"], listening, foreign
    if sentence:
        with pytest.raises(RolloutError) as error:
            ports.require(*arguments)
        assert str(error.value) == sentence
    else:
        ports.require(*arguments)


def test_one_service_may_name_a_port_twice():
    ports.require([(Port(80), "web"), (Port(80), "web")], [], [], {}, ())
