from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import variants
from ansible.module_utils.rollout.domain.variants import Variant

A = "sha-aaaaaaa"


def one(name=A, run="20261130T202100Z-ff2d", services=("web",), env="", digest="a", compose="x"):
    # What is kept is of no release.
    specs = {"db": {"labels": {"rollout.config": "c"}}, **{name: {"labels": {"rollout.release": A}} for name in services}}
    files = {"core/.env": env, "core/docker-compose.core.yml": compose, "core/rollout.pins.json": json.dumps({"services": specs})}
    return Variant(name, A, run, files, {"r/web": digest, "r/job": "j"})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"services": ("web", "w1", "w2"), "compose": "y"}, ["2 services more"]),
        ({"services": ()}, ["1 service fewer"]),
        ({"services": ("w1",)}, ["1 service more", "1 service fewer"]),
        ({"env": 'PW="canary"\nIMAGE_TAG="x"\n'}, ["another PW"]),
        ({"env": 'A="1"\nB="1"\nC="1"\n'}, ["another A and B and more"]),
        ({"digest": "b"}, ["web built anew"]),
        ({"compose": "y"}, ["another compose file"]),
        ({"env": "edited by hand"}, []),
        ({}, []),
    ],
)
def test_how_a_variant_differs(other, words):
    assert variants.differs(one(), one(**other)) == words


def test_which_of_how_many_it_is_and_when_it_was_staged():
    found = [one(), one(f"{A}.2", "20261201T090000Z-0001", env='PW="x"\n'), one(f"{A}.3", "by hand", services=("web", "w"))]
    alone = Variant("sha-bbbbbbb", "sha-bbbbbbb", "20261130T202100Z-ff2d", {}, {})
    assert variants.said([*found, alone]) == {
        A: "1 of 3, 2026-11-30 20:21",
        f"{A}.2": "2 of 3, 2026-12-01 09:00, another PW",
        f"{A}.3": "3 of 3, 1 service more, another PW",
    }
    assert variants.said([one()]) == {}


def test_a_release_without_variants_is_named_as_it_was():
    assert variants.label(A, A, {A: "1 of 2"}) == f"{A} (1 of 2)"
    assert variants.label(A, A, {}) == variants.label(A, None, None) == A
