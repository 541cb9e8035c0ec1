from __future__ import annotations

import pytest
from ansible.module_utils.rollout.inventory import images_of, merged, pick_images, problem, stacks_of

STACKS = {
    "gpu": {"wave": "gpu_workers", "template": "g.j2", "images": ["gpu"], "environment": {"A": "2"}},
    "core": {
        "wave": "backend",
        "template": "c.j2",
        "images": ["backend"],
        "environment": {"A": "1", "B": "1"},
        "secrets": {"PW": "s"},
    },
    "extra": {"wave": "backend", "template": "e.j2"},
    "cpu": {"wave": "cpu_workers", "template": "w.j2", "images": ["cpu", "backend"], "environment": None},
}
GROUPS = {"all": ["h"], "ungrouped": [], "backend": ["h"], "cpu_workers": ["h"], "gpu_workers": []}


def stack(**facts):
    return {"core": {"wave": "backend", "template": "c.j2", "images": [], **facts}}


def without(key):
    return {"core": {k: v for k, v in stack()["core"].items() if k != key}}


@pytest.mark.parametrize("groups", [GROUPS, {**GROUPS, "nas": ["x"], "databases": ["y"], "back": []}])
def test_a_good_inventory_has_no_problem(groups):
    assert problem(STACKS, groups) == ""


@pytest.mark.parametrize(
    ("stacks", "sentence"),
    [
        ({}, "rollout_stacks names no stack: nothing can be rolled out. See docs/your-own-stack.md."),
        (None, "rollout_stacks names no stack"),
        (["core"], "rollout_stacks names no stack"),
        ({"core": "x"}, "rollout_stacks.core is 'x': expected a mapping with wave, template and images."),
        (
            stack(image="x"),
            "rollout_stacks.core has 'image'; known are environment, images, secrets, template, wave.",
        ),
        (without("wave"), "rollout_stacks.core.wave is missing."),
        (without("template"), "rollout_stacks.core.template is missing."),
        (stack(images="backend"), "rollout_stacks.core.images is 'backend': expected a list."),
        (stack(template=["x"]), "rollout_stacks.core.template is ['x']: expected a str."),
        (stack(wave=["backend"]), "rollout_stacks.core.wave is ['backend']: expected a str."),
        (stack(environment=["A=1"]), "rollout_stacks.core.environment is a list: expected a mapping."),
        (stack(secrets="canary"), "rollout_stacks.core.secrets is a str: expected a mapping."),
        (
            stack(wave="frontend"),
            "rollout_stacks.core.wave is 'frontend': expected one of the groups backend, cpu_workers, gpu_workers.",
        ),
    ],
)
def test_problems_of_stacks(stacks, sentence):
    found = problem(stacks, GROUPS)
    assert found.startswith(sentence)
    assert "canary" not in found


@pytest.mark.parametrize("group", ["backends", "cpu-workers", "cpu_worker", "gpu-worker"])
def test_a_misspelt_group(group):
    assert problem(STACKS, {**GROUPS, group: ["x"]}) == (
        f"The inventory has a group '{group}': the groups of a rollout are spelt backend, cpu_workers, gpu_workers."
    )


@pytest.mark.parametrize("groups", [{}, {"backend": []}])
def test_no_backend(groups):
    assert problem(STACKS, groups) == "The inventory's group backend has no host: one host must run the backend."


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        (["backend"], ["core", "extra"]),
        (["gpu_workers", "backend", "nas"], ["core", "extra", "gpu"]),
        ([], []),
        (["cpu_workers", "gpu_workers", "backend"], ["core", "extra", "cpu", "gpu"]),
    ],
)
def test_stacks_in_the_order_of_the_waves(groups, names):
    assert stacks_of(STACKS, groups) == names


def test_images_of_waves_that_have_hosts():
    assert images_of(STACKS, GROUPS) == ["backend", "cpu"]


def test_pick_images():
    images = {"r/backend": 1, "r/cpu": 2, "r/gpu": 3}
    assert pick_images(images, "r", STACKS, ["core", "extra"]) == {"r/backend": 1}
    assert pick_images(images, "other", STACKS, ["core"]) == {}


def test_merged():
    assert merged(STACKS, ["core", "cpu", "gpu", "extra"], "environment") == {"A": "2", "B": "1"}
    assert merged(STACKS, ["core", "cpu"], "secrets") == {"PW": "s"}
