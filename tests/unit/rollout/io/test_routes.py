from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.networks import Route
from ansible.module_utils.rollout.io import routes

# Of a machine with Docker, and a VPN.
V4 = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000000A	01080A0A	0003	0	0	0	000000FF	0	0	0
down0	0000000B	00000000	0000	0	0	0	000000FF	0	0	0
lo	0000007F	00000000	0001	0	0	0	000000FF	0	0	0
"""
V6 = """fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200005     eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
"""


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "V4", tmp_path / "route")
    monkeypatch.setattr(routes, "V6", tmp_path / "ipv6_route")
    return tmp_path


def test_routes(tables):
    (tables / "route").write_text(V4)
    (tables / "ipv6_route").write_text(V6)
    assert routes.routes() == [
        Route("0.0.0.0/0", "eth0", False),
        Route("172.17.0.0/16", "docker0", True),
        Route("192.0.2.0/24", "eth0", True),
        Route("10.0.0.0/8", "tun0", False),
        Route("fd00::/64", "eth0", True),
    ]


def test_a_kernel_without_tables(tables):
    assert routes.routes() == []
