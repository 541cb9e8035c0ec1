from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

NAME = "sha-abc1234"


def test_names():
    assert releases.compose_file("core") == "docker-compose.core.yml"
    assert releases.pins_file("core") == "docker-compose.core.pins.json"
    assert releases.project("ktrdr", "gpu-worker") == "ktrdr-gpu-worker"


def test_environment():
    assert releases.environment(NAME, {"A": 1}, {"B": "sss "}, True) == {"IMAGE_TAG": NAME, "A": 1, "B": "sss "}
    assert releases.environment(NAME, {"A": 1}, {"B": 1234}) == {"IMAGE_TAG": NAME, "A": 1, "B": 1234}


@pytest.mark.parametrize(
    ("values", "secrets", "sentence"),
    [
        (
            {},
            {"PW": ""},
            "Secret PW is missing: define the variable that rollout_stacks.<stack>.secrets.PW names, in a file encrypted "
            "with ansible-vault.",
        ),
        (
            {},
            {"PW": "sss "},
            "Secret PW has fewer than 4 characters: a secret that short cannot be masked without garbling everything else. Make "
            "rollout_stacks.<stack>.secrets.PW longer, or set rollout_allow_short_secrets: then it is printed unmasked.",
        ),
        ({}, {"PIN": 123}, "Secret PIN has fewer than 4 characters"),
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
        releases.environment(NAME, values, secrets)
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
    assert releases.variant(NAME, existing, NEW) == (name, there)


def test_a_dot_in_the_release_is_a_dot():
    assert releases.variant("v1.2", {"v1x2": NEW}, NEW) == ("v1.2", False)


@given(st.dictionaries(st.sampled_from([NAME, *(f"{NAME}.{n}" for n in range(2, 6))]), st.sampled_from([OLD, NEW])))
def test_a_variant_never_overwrites_other_content(existing):
    name, there = releases.variant(NAME, existing, NEW)
    assert existing.get(name) == NEW if there else name not in existing


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map("canary".__add__)


@given(texts, texts, st.booleans())
def test_no_secret_is_in_a_diff(old, new, gone):
    before = {".env": dotenv.render({"PW": old, "A": "1"}), "f.pins.json": "p"}
    after = {".env": dotenv.render({"A": "2"} if gone else {"PW": new, "A": "1"}), "f.pins.json": "q"}
    found = releases.diff(before, after, ["PW"], ("a", "b"))
    assert "canary" not in json.dumps(found)
    if not gone and old != new:
        assert "# PW: changed" in found[0]["after"], "what is masked on both sides must still show as changed"


def test_diff_shows_what_changed_and_leaves_the_pins_out():
    found = releases.diff(
        {"a.yml": "x", "same.yml": "s", "gone.yml": "g"},
        {"a.yml": "y", "same.yml": "s", "new.pins.json": "{}"},
        [],
        ("nothing", NAME),
    )
    assert found == [
        {"before": "x", "after": "y", "before_header": "nothing/a.yml", "after_header": f"{NAME}/a.yml"},
        {"before": "g", "after": "", "before_header": "nothing/gone.yml", "after_header": f"{NAME}/gone.yml"},
    ]
