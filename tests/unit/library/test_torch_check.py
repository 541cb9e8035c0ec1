from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.io import torch_check
from ansible.module_utils.rollout.io.engine import Engine

CHILD = {"answered": True}
CPU = {"version": "2.5.1+cpu", "cuda": None, "hip": None}
COMPOSE = {"services": {"gpu": {"image": "r/gpu:1", "user": "1000"}, "db": {"image": "postgres"}}}
CARDS = {"resources": {"reservations": {"devices": [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]}}}


@pytest.fixture
def answer(monkeypatch):
    """What the probe says; ``answer.seen`` is what was tried."""

    class Answer:
        probe: object = None
        seen: list = []

    found = Answer()
    found.seen = []

    def check(engine, target, expected, limit_s):
        found.seen.append((target, expected, limit_s))
        return torch_verdict.judge(found.probe, expected)

    monkeypatch.setattr(torch_check, "in_container", check)
    monkeypatch.setattr(torch_check, "in_image", check)
    monkeypatch.setattr(Engine, "run", lambda self, words, **_: (0, json.dumps(COMPOSE), ""))
    return found


@pytest.mark.parametrize("check_mode", [False, True])
def test_pass(run, answer, check_mode):
    answer.probe = {"child": CHILD, "warnings": ["old"]}
    result = run("torch_check", check_mode, container="c1", expect="absent", timeout=5)
    assert (result["verdict"], result["changed"], result["torch_warnings"]) == ("pass", False, ["old"])
    assert answer.seen == [("c1", Expectation("absent"), 5.0)]


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        (
            {"child": CHILD, "torch": CPU},
            "r/a: expected no torch, found torch 2.5.1+cpu (torch_present). The fault is the image's.",
        ),
        (None, "r/a: expected no torch, found no answer (no_answer). Run the check again"),
    ],
)
def test_only_a_pass_succeeds(run, answer, probe, sentence):
    answer.probe = probe
    result = run("torch_check", image="r/a", expect="absent", gpu=True)
    assert result["failed"]
    assert result["msg"].startswith(sentence)
    assert result["reason"] in reasons.REASONS
    assert result["verdict"] != "pass"
    assert answer.seen[0][0] == {"image": "r/a", "deploy": CARDS}


def test_every_expectation_arrives(run, answer):
    asked = {
        "python": "/opt/python",
        "min_torch": "2.4",
        "min_cuda": "12.4",
        "devices": 2,
        "uuids": ["GPU-1"],
        "min_memory_mib": 20000,
        "min_free_mib": 500,
        "min_shm_mib": 1024,
    }
    run("torch_check", container="c", expect="cuda", **asked)
    wanted = Expectation("cuda", "/opt/python", "2.4", "12.4", 2, ("GPU-1",), 20000, 500, 1024)
    assert answer.seen == [("c", wanted, 60.0)]


@pytest.mark.parametrize(("image", "tried"), [(None, "r/gpu:1"), ("r/gpu:2", "r/gpu:2")])
def test_a_service_of_a_compose_file(run, answer, tmp_path, image, tried):
    file = tmp_path / "docker-compose.yml"
    run("torch_check", compose_file=str(file), service="gpu", expect="cuda", **({"image": image} if image else {}))
    assert answer.seen[0][0] == {"image": tried, "user": "1000"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"expect": "cpu"}, "one of the following is required: container, image, compose_file"),
        ({"expect": "cpu", "container": "c", "image": "i"}, "parameters are mutually exclusive: container|image"),
        ({"expect": "gpu", "container": "c"}, "value of expect must be one of: absent, cpu, cuda, rocm, got: gpu"),
        ({"container": "c"}, "missing required arguments: expect"),
        ({"expect": "cpu", "compose_file": "/f"}, "parameters are required together: compose_file, service"),
        ({"expect": "cpu", "compose_file": "/f", "service": "web"}, "/f has no service web; it has db, gpu."),
        ({"expect": "cuda", "container": "c", "devices": -1}, "torch_check.devices is -1: expected a whole number."),
        ({"expect": "cuda", "container": "c", "min_cuda": "new"}, "torch_check.min_cuda is 'new': expected a version in quotes."),
    ],
)
def test_refusals(run, answer, arguments, sentence):
    assert sentence in run("torch_check", **arguments)["msg"]
