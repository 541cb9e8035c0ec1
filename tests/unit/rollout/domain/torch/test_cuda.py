from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.torch import cuda
from hypothesis import given
from hypothesis import strategies as st

VERSIONS = st.lists(st.integers(0, 999), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(
    ("version", "found"), [("2.13.0+cu128", (2, 13, 0)), ("12.4", (12, 4)), (13, (13,)), ("new", ()), (None, ()), ("", ())]
)
def test_numbers(version, found):
    assert cuda.numbers(version) == found


@pytest.mark.parametrize(
    ("version", "minimum", "found"),
    [("2.5.1", "2.5", False), ("2.5", "2.5.0", False), ("2.4.9", "2.5", True), ("2.10", "2.9", False), ("12", "12.1", True)],
)
def test_older(version, minimum, found):
    assert cuda.older(version, minimum) is found


@given(VERSIONS, VERSIONS)
def test_one_is_older_or_the_other_or_they_are_the_same(one, other):
    assert not (cuda.older(one, other) and cuda.older(other, one))
    assert not cuda.older(one, one + ".0")
    assert not cuda.older(one + ".0", one)


@pytest.mark.parametrize(
    ("driver", "built", "found"),
    [
        ("579.99", "13.0", True),
        ("580.65.06", "13.0", False),
        ("580.65.06", "13.1", False),
        ("525.60.13", "12.9", False),
        ("524.99", "12.1", True),
        ("450.36.06", "11.8", False),
        ("449.1", "11.0", True),
        ("300", "10.2", False),
        (None, "12.4", False),
        ("535", None, False),
        ("535", "14.0", False),
    ],
)
def test_driver_too_old(driver, built, found):
    assert cuda.driver_too_old(driver, built) is found


@pytest.mark.parametrize(
    ("driver", "found"),
    [
        ("535.183.01", "12.2"),
        ("550.54", "12.4"),
        ("580.65.06", "13.0"),
        ("999", "13.1"),
        ("540.1", "12.2"),
        ("390.1", None),
        (None, None),
    ],
)
def test_what_a_driver_brings(driver, found):
    assert cuda.brought_by(driver) == found


# Branch and CUDA, as NVIDIA's release notes have them.
BRINGS = (
    "450 11.0, 455 11.1, 460 11.2, 465 11.3, 470 11.4, 495 11.5, 510 11.6, 515 11.7, 520 11.8, 525 12.0, 530 12.1, "
    "535 12.2, 545 12.3, 550 12.4, 555 12.5, 560 12.6, 565 12.7, 570 12.8, 575 12.9, 580 13.0, 590 13.1"
)


def test_what_every_branch_brings():
    before = None
    for branch, brought in (pair.split() for pair in BRINGS.split(",")):
        assert cuda.brought_by(f"{int(branch) - 1}.99") == before
        assert cuda.brought_by(f"{branch}.1.2") == brought
        before = brought


@pytest.mark.parametrize(
    ("arch_list", "card", "found"),
    [
        (["sm_80", "sm_86"], "8.6", True),
        (["sm_80"], "8.6", True),  # same major, lower minor
        (["sm_86"], "8.0", False),
        (["sm_80"], "9.0", False),
        (["sm_70", "compute_70"], "9.0", True),  # PTX runs on what comes later
        (["compute_90"], "8.6", False),
        (["sm_90a"], "9.0", True),
        (["sm_90a"], "9.1", False),  # exactly its card
        (["compute_90a"], "10.0", False),
        (["sm_100"], "10.0", True),
        (["sm_120"], "12.0", True),
        (["sm_50", "sm_60"], "5.2", True),
        (["sm_75", "sm_80", "sm_86", "sm_90"], "6.1", False),  # a Pascal card and a new torch
        (["gfx1100", ""], "9.0", False),
        (["gfx1100", "sm_90"], "9.0", True),
        ([], "9.0", False),
    ],
)
def test_runs_on(arch_list, card, found):
    assert cuda.runs_on(arch_list, card) is found


HOST = {"cuda": "12.2", "driver": "535.183.01", "arch": "8.6", "brand": "GeForce"}


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("CUDA", "cuda>=12.2", True),
        ("CUDA", "cuda>=12.4", False),
        ("CUDA", "cuda>=12.4 driver>=470,driver<536", True),
        ("CUDA", "cuda>=12.4 brand=tesla,driver>=470,driver<536", False),
        ("CUDA", "cuda>=12.4 brand=geforce,driver>=535", True),
        ("BRAND", "brand=GEFORCE", True),
        ("CUDA", "cuda!=12.2", False),
        ("CUDA", "cuda==12.2.0", True),
        ("CUDA", "cuda<12.2", False),
        ("CUDA", "cuda<=12.2", True),
        ("CUDA", "cuda>12.2", False),
        ("CUDA", "cuda=12.2", True),
        ("CUDA", "driver<=535.183", False),
        ("CUDA", "driver>535.183", True),
        ("ARCH", "arch>=9.0", False),
        ("ARCH", "arch>=10.0", False),  # as numbers
        ("CUDA", "moon>=9.0", True),  # not known: not held against the host
        ("CUDA", "nonsense", True),
        ("CUDA", " ", True),
    ],
)
def test_what_an_image_asks_of_its_host(name, value, met):
    unmet = cuda.unmet({f"NVIDIA_REQUIRE_{name}": value, "REQUIRE": "cuda>=99"}, HOST)
    assert (unmet == "") is met
    if not met:
        choices = value.split()
        rest = " (or other alternatives)" if len(choices) > 1 else ""
        assert unmet == f"NVIDIA_REQUIRE_{name}={choices[0]}{rest}"


@pytest.mark.parametrize(
    ("value", "met"), [("TRUE", True), ("1", True), ("False", False), ("f", False), ("0", False), ("", False)]
)
def test_an_image_may_disable_what_it_asks(value, met):
    asked = {"NVIDIA_REQUIRE_CUDA": "cuda>=99", "NVIDIA_DISABLE_REQUIRE": value}
    assert (cuda.unmet(asked, HOST) == "") is met


def test_the_first_by_name_is_told():
    asked = {"NVIDIA_REQUIRE_DRIVER": "driver>=999", "NVIDIA_REQUIRE_CUDA": "cuda>=99"}
    assert cuda.unmet(asked, HOST) == "NVIDIA_REQUIRE_CUDA=cuda>=99"


def test_nothing_is_held_against_a_host_that_is_not_known():
    assert cuda.unmet({"NVIDIA_REQUIRE_CUDA": "cuda>=99"}, {"cuda": None}) == ""
