"""YAML of a host is read in bounded time, whatever it is."""

from __future__ import annotations

import time

import pytest
from ansible.module_utils.rollout.controller import adopting
from ansible.module_utils.rollout.errors import RolloutError
from running import FOLDER, adopt, facts, files, project, service

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefghi", "bcdefghij")
)
# Each is merged into the next one ten times over.
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 10)}]}}\n" for old, new in zip("abcdefghi", "bcdefghij")
)


@pytest.mark.usefixtures("real_clock")
@pytest.mark.parametrize(
    ("text", "mount"),
    [
        (f"{LAUGHS}services: {{web: {{image: a, volumes: *j}}}}\n", True),
        (f"{MERGES}services: {{web: {{image: a, <<: *j}}}}\n", False),
        # What unnamed makes patterns of.
        (f"services: {{web: {{volumes: ['{'${A}a' * 30}']}}}}\n", True),
    ],
)
def test_what_grows_as_it_is_read_is_given_up(text, mount, monkeypatch):
    monkeypatch.setattr(adopting, "READ_S", 0.5)
    monkeypatch.setattr(adopting.within, "__defaults__", (0.5,))
    said = facts(service(mounts=[(f"{FOLDER}/{'a' * 3000}b", "/a", True)] if mount else []))
    began = time.monotonic()
    with pytest.raises(
        RolloutError, match=r"its Compose files could not be read \(that takes more than 0.5 s, or too much memory\)"
    ):
        adopt(said, files(compose=text))
    assert time.monotonic() - began < 5


def test_what_contains_itself_is_refused():
    with pytest.raises(RolloutError, match=r"Project shop on nas: its Compose files could not be read \(RecursionError\)"):
        adopt(facts(service(mounts=[(f"{FOLDER}/a", "/a", True)])), files(compose="x: &x [*x]\nservices: {}\n"))


@pytest.mark.parametrize(
    "text", ["[1, 2]", "services: [1]", "services: {web: x}", "services: {web: {image: [1], environment: 3}}", "a: ["]
)
def test_what_is_no_compose_file_says_nothing(text):
    assert adopt(read=files(compose=text)).profiles == []


def test_no_fault_of_one_project_keeps_the_others_from_being_asked_for():
    answer = {"projects": [facts(name="bad", compose=[]), facts()], "files": files(compose="include: [more.yml]\n")}
    assert adopting.wanted("nas", answer, ["bad", "shop"]) == [f"{FOLDER}/more.yml"]
    assert adopting.wanted("nas", answer, ["bad"]) == []
    assert adopting.wanted("nas", {"failed": True}, ["shop"]) == []


def test_profiles_are_those_of_services_with_containers():
    text = "services: {web: {profiles: [a]}, db: {}, extra: {profiles: [b]}}\n"
    answer = {"projects": [facts(), facts(name="bad", compose=[])], "files": files(compose=text)}
    assert [one["profiles"] for one in adopting.with_profiles("nas", answer)["projects"]] == [["a"], []]
    assert project().name == "shop"
