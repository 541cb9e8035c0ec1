from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.volumes import differing

# As `docker volume inspect` (20.10.24) has what Compose 2.26.1 made.
PLAIN = {"Driver": "local", "Labels": {"com.docker.compose.volume": "plain"}, "Name": "askedn_plain", "Options": None}
OPTIONS = {"device": "tmpfs", "o": "size=1m", "type": "tmpfs"}
OPTED = {"Driver": "local", "Labels": {"a": "b"}, "Name": "askedn_opts", "Options": OPTIONS}
NFS = {"type": "nfs", "o": "addr=10.0.0.2,rw", "device": ":/photos"}


@pytest.mark.parametrize(
    ("definition", "inspected", "said"),
    [
        ({"name": "askedn_plain"}, PLAIN, []),
        ({"driver": "local", "labels": {"new": "1"}}, PLAIN, []),
        ({"driver": "local", "driver_opts": OPTIONS}, OPTED, []),
        ({"external": True}, OPTED, []),
        ({"driver": "rclone"}, PLAIN, ["it has driver local, the file says rclone"]),
        (
            {"driver_opts": NFS},
            PLAIN,
            ["it has driver_opts none, the file says device=:/photos o=addr=10.0.0.2,rw type=nfs"],
        ),
        ({}, OPTED, ["it has driver_opts device=tmpfs o=size=1m type=tmpfs, the file says none"]),
        ({"driver_opts": {**OPTIONS, "o": "size=2m"}}, OPTED, ["it has driver_opts o=size=1m, the file says o=size=2m"]),
        ({"driver_opts": {"count": 1}}, {"Options": {"count": "1"}}, []),
    ],
)
def test_differing(definition, inspected, said):
    assert differing(definition, inspected) == said


def test_the_password_of_a_share_is_not_shown():
    old = {"Options": {"o": "username=k,password=canary1,vers=3", "secret": "canary2"}}
    (said,) = differing({"driver_opts": {"o": "user=k,Password=canary3,credentials=/canary4", "secret": "x"}}, old)
    assert "canary" not in said
    assert "username=k,password=…,vers=3" in said
