from __future__ import annotations

import pytest
from ansible.module_utils.rollout import sdk, torch_verdict

CHILD = {"answered": True}
CPU = {"version": "2.5.1+cpu", "cuda": None, "hip": None}


def answer(monkeypatch, probe):
    seen = []

    def check(target, expected, **options):
        seen.append((target, options))
        return torch_verdict.judge(probe, expected)

    monkeypatch.setattr(sdk, "check", check)
    return seen


def test_pass(run, monkeypatch):
    seen = answer(monkeypatch, {"child": CHILD, "warnings": ["old"]})
    result = run("torch_check", container="c1", expect="absent", timeout=5)
    assert (result["verdict"], result["changed"], result["torch_warnings"]) == ("pass", False, ["old"])
    assert seen == [("c1", {"image": False, "limit_s": 5.0, "python": "python3", "gpu": False})]


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
def test_only_a_pass_succeeds(run, monkeypatch, probe, sentence):
    seen = answer(monkeypatch, probe)
    result = run("torch_check", image="r/a", expect="absent", gpu=True)
    assert result["failed"]
    assert result["msg"].startswith(sentence)
    assert result["reason"] in torch_verdict.REASONS
    assert result["verdict"] != "pass"
    assert seen[0][1]["image"] is True
    assert seen[0][1]["gpu"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"expect": "cpu"}, "one of the following is required: container, image"),
        (
            {"expect": "cpu", "container": "c", "image": "i"},
            "parameters are mutually exclusive: container|image",
        ),
        (
            {"expect": "rocm", "container": "c"},
            "value of expect must be one of: absent, cpu, cuda, got: rocm",
        ),
        ({"container": "c"}, "missing required arguments: expect"),
    ],
)
def test_refusals(run, arguments, sentence):
    assert sentence in run("torch_check", **arguments)["msg"]
