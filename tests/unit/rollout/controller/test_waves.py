from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import waves
from hypothesis import given
from hypothesis import strategies as st

DEFAULT = list(waves.DEFAULT)
GROUPS = {"all": ["h"], "ungrouped": [], "backend": ["h"], "cpu_workers": ["h"], "gpu_workers": []}
OWN = {"all": ["nas", "a", "b", "c"], "ungrouped": ["nas"], "web": ["a"], "workers": ["b", "c"]}
NAMES = {"rollout_stacks": {}, "rollout_waves": ["web", "workers"]}


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (None, DEFAULT),
        ([], DEFAULT),
        ("", DEFAULT),
        (["web", "workers"], ["web", "workers"]),
        # -e rollout_waves=web,workers
        ("web, workers", ["web", "workers"]),
        (["web", 1], ["web", "1"]),
        (7, ["7"]),
    ],
)
def test_names(said, names):
    assert waves.names(said) == names


@pytest.mark.parametrize(
    ("groups", "hosts"),
    [
        ({}, []),
        ({"gpu_workers": ["g", "c"], "backend": ["c"], "cpu_workers": None, "nas": ["n"]}, ["c", "g"]),
        ({"cpu_workers": ["b", "a"], "backend": ["a"]}, ["a", "b"]),
    ],
)
def test_fleet(groups, hosts):
    assert waves.fleet(groups) == hosts


def test_the_first_host_is_that_of_the_first_wave_with_hosts():
    assert waves.fleet(OWN, ["web", "workers"])[0] == "a"
    assert waves.fleet({**OWN, "web": []}, ["web", "workers"])[0] == "b"


@pytest.mark.parametrize(
    ("hostvars", "groups", "named"),
    [
        # Plays that come before any other, and options that only look, know no host.
        ({}, OWN, DEFAULT),
        ({"h": {"rollout_stacks": {}}}, GROUPS, DEFAULT),
        ({"nas": {}, "a": NAMES}, OWN, ["web", "workers"]),
        # Another host may stand first, and another group may be named as a default one.
        ({"nas": {"rollout_stacks": {}}, "a": NAMES}, {**OWN, "backend": ["nas"]}, DEFAULT),
        ({"nas": {}, "a": NAMES}, {**OWN, "backend": ["nas"]}, ["web", "workers"]),
        ({"nas": NAMES, "a": {**NAMES, "rollout_waves": ["web"]}}, OWN, ["web"]),
        # Nobody stands in them.
        ({"nas": {"rollout_stacks": {}}, "a": {"rollout_waves": ["webb"]}}, OWN, ["webb"]),
        ({"nas": {"rollout_stacks": {}}}, OWN, DEFAULT),
    ],
)
def test_what_an_inventory_says(hostvars, groups, named):
    assert waves.of_inventory(groups, hostvars) == named


def test_variables_that_cannot_be_read_are_left_to_ansible():
    class Hostvars(dict):
        def get(self, host, default=None):
            if host == "broken":
                raise ValueError("YAML parsing failed")
            return super().get(host, default)

    groups = {"all": ["broken", "h1"], "web": ["h1"], "backend": ["broken"]}
    assert waves.of_inventory(groups, Hostvars()) == list(waves.DEFAULT)
    assert waves.of_inventory(groups, Hostvars(h1={"rollout_waves": ["web"]})) == ["web"]


def test_the_default_asks_one_host():
    asked = []

    class Hostvars(dict):
        def get(self, host, default=None):
            asked.append(host)
            return {"rollout_stacks": {}}

    many = {"all": [f"o{n}" for n in range(100)], "backend": ["h1"], "cpu_workers": ["h2"]}
    assert waves.of_inventory(many, Hostvars()) == DEFAULT
    assert asked == ["h1"]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["web", "workers"], "web:workers"),
        (["workers", "absent", "ungrouped"], "workers"),
        (["all"], "all:!all"),
        (["absent"], "all:!all"),
        (["!web", "workers"], "workers"),
    ],
)
def test_the_pattern_names_groups_that_have_hosts(names, pattern):
    assert waves.pattern({**OWN, "!web": ["a"]}, names) == pattern


def of_default(place, **said):
    groups = {"all": ["h", "i"], "backend": ["h"], "cpu_workers": ["i"], "gpu_workers": ["h"]}
    return waves.play(groups, place, {"h": {"rollout_stacks": {}, "rollout_serial": 4}, "i": {"rollout_stacks": {}, **said}})


def test_the_plays_of_the_default_waves():
    assert [of_default(n, rollout_serial=3) for n in range(1, 7)] == [
        {"title": "the backend", "hosts": "backend", "serial": 1},
        {"title": "the CPU workers", "hosts": "cpu_workers", "serial": 3},
        {"title": "the GPU workers", "hosts": "gpu_workers", "serial": 1},
        *[{"title": "nothing", "hosts": "all:!all", "serial": 1}] * 3,
    ]
    assert of_default(2)["serial"] == 1


def test_the_plays_of_waves_of_ones_own():
    hostvars = {"a": {**NAMES, "rollout_serial": 2}, "b": {**NAMES, "rollout_serial": 2}}
    assert [waves.play(OWN, n, hostvars) for n in (1, 2, 3)] == [
        {"title": "wave web", "hosts": "web", "serial": 1},
        {"title": "wave workers", "hosts": "workers", "serial": 2},
        {"title": "nothing", "hosts": "all:!all", "serial": 1},
    ]


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]*", fullmatch=True))
def test_a_play_is_known_by_its_name(name):
    groups = {name: ["h"], "all": ["h"]}
    title = waves.play(groups, 1, {"h": {"rollout_waves": [name]}})["title"]
    assert waves.of_play(f"Switch {title}") == name


@pytest.mark.parametrize("name", ["Switch nothing", "Switch wave ", "Switch wave a b", "Settle", "Switch the lights"])
def test_no_wave(name):
    assert waves.of_play(name) == ""


@pytest.mark.parametrize(
    "names",
    [
        ["web", "web"],
        ["all"],
        ["web", "ungrouped"],
        ["stage"],
        ["settle"],
        ["revert"],
        ["a b"],
        ["web:workers"],
        ["-web"],
        ["~web"],
        [""],
        [str(n) for n in range(7)],
    ],
)
def test_waves_that_cannot_be_meant(names):
    assert (
        waves.problems(GROUPS, names)
        == waves.wrong(names)
        == [
            f"rollout_waves is {', '.join(names)}: expected the names of one to six groups, each once and in their order. None of them "
            "may be all, ungrouped, stage, prepare, finish, settle or revert."
        ]
    )


@pytest.mark.parametrize("groups", [OWN, {**OWN, "web": []}, {**OWN, "webs": ["a"], "backend": []}])
def test_good_waves_of_ones_own(groups):
    assert waves.problems(groups, ["web", "workers"]) == []
    assert waves.problems({"web": ["a"]}, ["web"]) == []
    assert waves.problems({}, [str(n) for n in range(6)]) == []


@pytest.mark.parametrize("group", ["backends", "cpu-workers", "cpu_worker", "gpu-worker"])
def test_a_misspelt_group(group):
    assert waves.problems({**GROUPS, group: ["x"]}) == [
        f"The inventory has a group '{group}': the groups of a rollout are spelt backend, cpu_workers, gpu_workers."
    ]


def test_a_misspelt_group_of_ones_own():
    assert waves.problems({"web": ["a"], "worker": ["b"]}, ["web", "workers"]) == [
        "The inventory has a group 'worker': the groups of a rollout are spelt web, workers."
    ]


@pytest.mark.parametrize("groups", [{}, {"backend": []}])
def test_no_backend(groups):
    assert waves.problems(groups) == [
        "The inventory's group backend has no host: one host must run the backend. Where waves have other names, rollout_waves has "
        "them."
    ]


def test_hosts_that_disagree_about_the_waves():
    said = {"a": ["web", "workers"], "b": "web,workers", "c": None, "d": ["web"]}
    assert waves.problems(OWN, ["web", "workers"], said) == [
        "rollout_waves is web, workers on host a, and backend, cpu_workers, gpu_workers on host c: a fleet has one list."
    ]
    assert waves.problems(GROUPS, said={"a": None, "b": DEFAULT}) == []
