"""Where what runs came from, and how it is recorded."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import baseline, release
from hypothesis import given
from hypothesis import strategies as st

PROJECT = "com.docker.compose.project."


def labels(**said):
    return {f"{PROJECT}{key}": value for key, value in said.items()}


def test_the_files_are_where_compose_labelled_them():
    found = baseline.origin(
        labels(working_dir="/srv/app", config_files="/srv/app/a.yml,/srv/app/sub/../b.yml,c.yml", environment_file="prod.env")
    )
    assert found.files == ("/srv/app/a.yml", "/srv/app/b.yml", "/srv/app/c.yml")
    assert found.env == ("/srv/app/prod.env",)


def test_without_files_of_variables_it_is_the_folders_own():
    assert baseline.origin(labels(working_dir="/srv/app", config_files="/srv/app/a.yml")).env == ("/srv/app/.env",)


@pytest.mark.parametrize("said", [{}, {"working_dir": "/srv"}, {"config_files": "/srv/a.yml"}])
def test_labels_that_do_not_say_it(said):
    assert baseline.origin(labels(**said)) is None


@pytest.mark.parametrize(
    ("run", "name"),
    [("20261201T235959Z-abcd", "adopted-2026-12-01"), ("run-1", "adopted-2020-02-02"), ("", "adopted-2020-02-02")],
)
def test_the_name_is_that_of_the_runs_day(run, name):
    found = baseline.release(run, "2020-02-02")
    assert found == name
    assert baseline.is_baseline(found)
    release.require_name(found)


@pytest.mark.parametrize("tag", ["", "sha-abc1234", "adopted-", "adopted-2026-12-01.2", "v1", "None"])
def test_other_releases_are_no_baseline(tag):
    assert not baseline.is_baseline(tag)


@pytest.mark.parametrize(
    ("asked", "running", "chosen"),
    [
        ({"a": []}, {"a"}, ()),
        ({"a": ["x"]}, {"a"}, ("x",)),
        ({"a": ["x"]}, set(), ()),
        # The one that activates less that does not run.
        ({"a": ["x", "y"], "b": ["x"]}, {"a"}, ("y",)),
        ({"a": ["x", "y"], "b": ["x"]}, {"a", "b"}, ("x",)),
        ({"a": ["x"], "b": ["x", "y"]}, {"a", "b"}, ("x",)),
    ],
)
def test_the_profiles_that_what_runs_needs(asked, running, chosen):
    config = {"services": {name: {"profiles": profiles} for name, profiles in asked.items()}}
    assert baseline.profiles(config, running) == chosen


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("xyz"), max_size=3, unique=True)), st.data())
def test_with_its_profiles_all_that_runs_is_active(asked, data):
    running = data.draw(st.sets(st.sampled_from(sorted(asked)))) if asked else set()
    config = {"services": {name: {"profiles": profiles} for name, profiles in asked.items()}}
    chosen = set(baseline.profiles(config, running))
    assert all(not asked[name] or chosen & set(asked[name]) for name in running)


@pytest.mark.parametrize(
    ("path", "found"), [("/srv/a.yml", "a.yml"), ("/srv/b/a.yml", "b/a.yml"), ("/other/a.yml", ""), ("/srv", ""), ("/srvb/a", "")]
)
def test_a_path_below_a_folder(path, found):
    assert baseline.below("/srv", path) == found


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("env file /tmp/x/s/web.env not found: stat /tmp/x/s/web.env: no such file or directory", "web.env"),
        ("Reading a.yml failed: open /tmp/x/s/sub/more.yml: no such file or directory", "sub/more.yml"),
        ("open /tmp/x/s/../more.yml: no such file or directory", ""),
        ("open /etc/more.yml: no such file or directory", ""),
        ("/tmp/x/s/a.yml: yaml: line 2", ""),
    ],
)
def test_the_file_that_compose_did_not_find(said, path):
    assert baseline.missing(said, "/tmp/x/s") == path


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"digest": "sha256:a", "id": "1"}, "app:v1"),
        ({"digest": "sha256:b", "id": "2"}, "app:v1@sha256:b"),
        ({"digest": "", "id": "sha256:3"}, "sha256:3"),
    ],
)
def test_a_reference_means_one_image(facts, name):
    assert baseline.reference("app:v1", facts, {"app:v1": {"digest": "sha256:a", "id": "1"}}) == name


@pytest.mark.parametrize(
    ("spec", "number", "more"),
    [
        ({}, 1, {}),
        ({}, 3, {"scale": 3}),
        ({"scale": 2}, 2, {}),
        ({"scale": 2}, 1, {"scale": 1}),
        ({"deploy": {"replicas": 2}}, 3, {"deploy": {"replicas": 3}}),
        ({"deploy": {"resources": {}}}, 2, {"scale": 2}),
    ],
)
def test_the_number_of_containers_that_run(spec, number, more):
    assert baseline.scaled(spec, number) == more


def test_a_tag_is_one_that_docker_takes():
    assert baseline.tag("shop", "web", "adopted-2026-12-01") == "shop-adopted:web-adopted-2026-12-01"
    assert len(baseline.tag("shop", "w" * 200, "adopted-2026-12-01").partition(":")[2]) <= 128


@pytest.mark.parametrize(
    ("made", "hashes", "unmade"),
    [
        ("1", [{"web": "1"}], False),
        ("1", [{"web": "2"}, {"web": "1"}], False),
        ("1", [{"web": "2"}], True),
        ("1", [{"db": "1"}], True),
        ("1", [], True),
        (None, [{"web": "1"}], True),
        (None, [{}], True),
    ],
)
def test_a_container_was_made_from_the_files_by_one_of_the_hashes(made, hashes, unmade):
    said = {"com.docker.compose.service": "web", **({"com.docker.compose.config-hash": made} if made else {})}
    assert baseline.unmade(hashes, {"Config": {"Labels": said}}) is unmade
