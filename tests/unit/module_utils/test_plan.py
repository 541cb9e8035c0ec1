from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout import env, plan
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

NAME = "sha-abc1234"


def test_names():
    assert plan.compose_file("core") == "docker-compose.core.yml"
    assert plan.pins_file("core") == "docker-compose.core.pins.json"
    assert plan.project("ktrdr", "gpu-worker") == "ktrdr-gpu-worker"


def test_environment():
    assert plan.environment(NAME, {"A": 1}, {"B": "s"}) == {"IMAGE_TAG": NAME, "A": 1, "B": "s"}


@pytest.mark.parametrize(
    ("values", "secrets", "sentence"),
    [
        (
            {},
            {"PW": ""},
            "Secret PW is missing: define the variable that rollout_stacks.<stack>.secrets.PW names, in a file encrypted "
            "with ansible-vault.",
        ),
        ({}, {"PW": None}, "Secret PW is missing"),
        ({"A": "1"}, {"A": "2"}, "A: given twice (IMAGE_TAG is the rollout's own). Keep one."),
        ({"IMAGE_TAG": "x"}, {}, "IMAGE_TAG: given twice"),
        ({}, {"IMAGE_TAG": "x"}, "IMAGE_TAG: given twice"),
        (
            {"LANG": "C", "A": "1"},
            {"DOCKER_HOST": "x", "https_proxy": "y"},
            "DOCKER_HOST, LANG, https_proxy: docker takes what the host says, whatever a release does. Choose another name in the "
            "inventory, for example APP_DOCKER_HOST, and write DOCKER_HOST: ${APP_DOCKER_HOST} in the compose file.",
        ),
    ],
)
def test_environment_refusals(values, secrets, sentence):
    with pytest.raises(RolloutError) as error:
        plan.environment(NAME, values, secrets)
    assert sentence in str(error.value)


OLD, NEW = {".env": "1", "images": {"r": "d"}}, {".env": "2", "images": {"r": "d"}}


@pytest.mark.parametrize(
    ("existing", "name", "there"),
    [
        ({}, NAME, False),
        ({NAME: NEW}, NAME, True),
        ({NAME: OLD}, NAME + ".2", False),
        ({NAME: OLD, NAME + ".2": NEW}, NAME + ".2", True),
        ({NAME: NEW, NAME + ".2": OLD}, NAME, True),
        ({NAME: NEW, NAME + ".2": NEW}, NAME + ".2", True),
        ({NAME + ".9": OLD, NAME + ".10": OLD}, NAME + ".11", False),
        ({NAME + "d": NEW, NAME + ".x": NEW, "x" + NAME: NEW}, NAME, False),
        ({"sha-abc1234x2": OLD}, NAME, False),
    ],
)
def test_variant(existing, name, there):
    assert plan.variant(NAME, existing, NEW) == (name, there)


def test_a_dot_in_the_release_is_a_dot():
    assert plan.variant("v1.2", {"v1x2": NEW}, NEW) == ("v1.2", False)


@given(st.dictionaries(st.sampled_from([NAME, *(f"{NAME}.{n}" for n in range(2, 6))]), st.sampled_from([OLD, NEW])))
def test_a_variant_never_overwrites_other_content(existing):
    name, there = plan.variant(NAME, existing, NEW)
    assert existing.get(name) == NEW if there else name not in existing


def test_layers_to_come_counts_each_layer_once_and_none_that_is_here():
    layer = {
        "a": {"diff_id": "a", "size": 100},
        "b": {"diff_id": "b", "size": 10},
        "c": {"diff_id": "c", "size": 1},
    }
    images = {
        "one": {
            "platforms": {
                "linux/amd64": [layer["a"], layer["b"]],
                "linux/arm64": [{"diff_id": "z", "size": 9999}],
            }
        },
        "two": {"platforms": {"linux/amd64": [layer["a"], layer["c"]]}},
        "three": {"platforms": {}},
    }
    assert plan.layers_to_come(images, "linux/amd64", []) == 111
    assert plan.layers_to_come(images, "linux/amd64", ["a"]) == 11
    assert plan.layers_to_come({}, "linux/amd64", []) == 0


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/arm64", "linux/amd64/v2"], []])
def test_platform_that_fits(platforms):
    plan.require_platform("r/a:1", platforms, "linux/amd64")


def test_platform_that_does_not_fit_is_refused():
    with pytest.raises(RolloutError) as error:
        plan.require_platform("r/a:1", ["linux/arm64", "linux/amd64x"], "linux/amd64")
    assert str(error.value) == (
        "Image r/a:1 is for linux/amd64x, linux/arm64, but this host is linux/amd64: build it for linux/amd64 too."
    )


def test_space():
    needed = 4 * 1_000_000_000 + plan.MARGIN_BYTES
    plan.require_space(1_000_000_000, needed, "/d")
    plan.require_space(0, 0, "/d")
    with pytest.raises(RolloutError) as error:
        plan.require_space(1_000_000_000, needed - 1, "/var/lib/docker")
    assert str(error.value) == (
        f"Not enough disk in /var/lib/docker: needed {needed} bytes (4.1 GB; 1.0 GB to pull, and to unpack), free "
        f"{needed - 1} bytes (4.1 GB). Make room (docker system df), then run again."
    )


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map("canary".__add__)


@given(texts, texts, st.booleans())
def test_no_secret_is_in_a_diff(old, new, gone):
    before = {".env": env.render({"PW": old, "A": "1"}), "f.pins.json": "p"}
    after = {".env": env.render({"A": "2"} if gone else {"PW": new, "A": "1"}), "f.pins.json": "q"}
    found = plan.diff(before, after, ["PW"], ("a", "b"))
    assert "canary" not in json.dumps(found)
    if not gone and old != new:
        assert "# PW: changed" in found[0]["after"], "what is masked on both sides must still show as changed"


def test_diff_shows_what_changed_and_leaves_the_pins_out():
    found = plan.diff(
        {"a.yml": "x", "same.yml": "s", "gone.yml": "g"},
        {"a.yml": "y", "same.yml": "s", "new.pins.json": "{}"},
        [],
        ("nothing", NAME),
    )
    assert found == [
        {"before": "x", "after": "y", "before_header": "nothing/a.yml", "after_header": f"{NAME}/a.yml"},
        {"before": "g", "after": "", "before_header": "nothing/gone.yml", "after_header": f"{NAME}/gone.yml"},
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (3.3e9, "3.3 GB"),
        (5e12, "5.0 TB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_human(size, text):
    assert plan.human(size) == text
