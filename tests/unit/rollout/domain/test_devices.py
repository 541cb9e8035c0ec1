from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.devices import cards, faults, wants_nvidia

CARDS = [{"index": "0", "uuid": "GPU-aa11"}, {"index": "1", "uuid": "GPU-bb22"}]


def reserved(**request):
    return {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], **request}]}}}}


@pytest.mark.parametrize(
    ("spec", "wants"),
    [
        (reserved(driver="nvidia", count=-1), True),
        (reserved(count=1), True),
        ({"gpus": [{"count": -1}]}, True),
        (reserved(driver="cdi", device_ids=["nvidia.com/gpu=0"]), False),
        (reserved(driver="amd"), False),
        ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["tpu"]}]}}}}, False),
        ({"deploy": {"resources": {"limits": {}}}, "runtime": "nvidia"}, False),
        ({}, False),
    ],
)
def test_wants_nvidia(spec, wants):
    assert wants_nvidia(spec) == wants


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (reserved(count=-1), None),
        (reserved(count=2), None),
        (reserved(count=3), "count 3"),
        (reserved(device_ids=["0", "GPU-bb22"]), None),
        (reserved(device_ids=["GPU-bb"]), None),
        (reserved(device_ids=["2"]), "2"),
        (reserved(device_ids=["GPU-cc"]), "GPU-cc"),
        (reserved(device_ids=["MIG-1", "0:1"]), None),
        (reserved(driver="cdi", device_ids=["7"]), None),
    ],
)
def test_cards(spec, wanted):
    found = list(cards("f.yml", "ai", spec, CARDS))
    assert found == (
        [f"f.yml: service ai asks for GPU {wanted}, and this host has GPU 0, 1. Correct count or device_ids."] if wanted else []
    )
    assert list(cards("f.yml", "ai", spec, [])) == []


def test_cdi_devices():
    known = {"nvidia.com/gpu=0", "nvidia.com/gpu=all"}
    spec = {
        "devices": [{"source": "nvidia.com/gpu=all"}, "vendor.com/net=eth0"],
        **reserved(driver="cdi", device_ids=["nvidia.com/gpu=1"]),
    }
    found = list(faults("f.yml", "ai", spec, (), known))
    assert [one.partition(", which")[0] for one in found] == [
        "f.yml: service ai needs CDI device vendor.com/net=eth0",
        "f.yml: service ai needs CDI device nvidia.com/gpu=1",
    ]
    assert "(it knows nvidia.com/gpu=0, nvidia.com/gpu=all). Write its specification there" in found[0]
    assert "(it knows none)" in next(faults("f.yml", "ai", spec, (), ()))
