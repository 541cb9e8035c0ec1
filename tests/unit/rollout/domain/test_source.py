from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.source import documents
from ansible.module_utils.rollout.domain.source import Need, Reading, inside, variables
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

MAIN = "docker-compose.yml"


def needs(files, values=(), compose=(MAIN,)):
    """What Compose needs of these files (path -> text), as path -> (key, file)."""
    found = Reading("Stack core (/src)", files.get, documents).needs(compose, dict(values))
    return {need.path: (need.key, need.file) for need in found}


def test_a_file_that_needs_nothing():
    assert needs({MAIN: "services: {web: {image: a}}"}) == {}


@pytest.mark.parametrize(
    ("written", "paths"),
    [
        ("app.env", ["app.env"]),
        ("./env/app.env", ["env/app.env"]),
        ("[a.env, b.env]", ["a.env", "b.env"]),
        ("[{path: a.env, required: false, format: raw}, b.env]", ["a.env", "b.env"]),
        ("{path: a.env}", ["a.env"]),
        ("${STAGE}.env", ["prod.env"]),
        ("${OTHER:-dev}.env", ["dev.env"]),
        ("${OTHER-dev}.env", ["dev.env"]),
        ("a$$b.env", ["a$b.env"]),
        # Compose says what is wrong with these.
        ("${OTHER:?must}.env", []),
        ("${OTHER.env", []),
        ("[3, {x: y}, null]", ["3"]),
        # These lie on the host.
        ("/etc/app.env", []),
        ("~/app.env", []),
        # That of the release.
        (".env", []),
        ("./.env", []),
        ("sub/.env", ["sub/.env"]),
    ],
)
@pytest.mark.parametrize("key", ["env_file", "label_file"])
def test_environment_and_label_files(key, written, paths):
    found = needs(
        {
            MAIN: f"services: {{web: {{image: a, {key}: {written}}}}}"
            if "$" not in written
            else f"services:\n  web:\n    {key}: '{written}'"
        },
        {"STAGE": "prod"},
    )
    assert found == {path: (key, MAIN) for path in paths}


def test_every_part_of_a_project_has_its_own_folder():
    found = needs(
        {
            MAIN: """
include:
  - path: [sub/one.yml, sub/over.yml]
    env_file: sub/inc.env
  - other/two.yml
  - {path: [deep/er/x.yml], project_directory: deep}
services:
  s:
    env_file: [x.env]
    extends: {file: ext/e.yml, service: e}
    volumes: ['./cfg:/cfg:ro']
""",
            "sub/one.yml": "include: ['${NEXT}/n.yml']\nservices: {o: {env_file: o.env}}",
            "sub/over.yml": "services: {o: {env_file: over.env}}",
            "sub/inc.env": "NEXT=further",
            "sub/further/n.yml": "services: {n: {env_file: n.env}}",
            "other/two.yml": "services: {t: {env_file: '${NAME}.env'}}",
            "other/.env": "NAME=t",
            "deep/er/x.yml": "services: {d: {env_file: d.env, extends: {file: er/y.yml, service: y}}}",
            "deep/er/y.yml": "services: {y: {env_file: y.env}}",
            "ext/e.yml": """
services:
  e: {env_file: e.env, extends: {file: deeper/d.yml, service: d}}
  unused: {env_file: unused.env}
""",
            "ext/deeper/d.yml": "services: {d: {env_file: d.env, extends: {service: base}}, base: {env_file: base.env, extends: root}, root: {label_file: root.labels}}",
        }
    )
    assert found == {
        "sub/inc.env": ("include.env_file", MAIN),
        "sub/one.yml": ("include", MAIN),
        "sub/further/.env": ("include.env_file", "sub/one.yml"),
        "sub/further/n.yml": ("include", "sub/one.yml"),
        "sub/further/n.env": ("env_file", "sub/further/n.yml"),
        "sub/o.env": ("env_file", "sub/one.yml"),
        "sub/over.yml": ("include", MAIN),
        "sub/over.env": ("env_file", "sub/over.yml"),
        "other/.env": ("include.env_file", MAIN),
        "other/two.yml": ("include", MAIN),
        "other/t.env": ("env_file", "other/two.yml"),
        "deep/.env": ("include.env_file", MAIN),
        "deep/er/x.yml": ("include", MAIN),
        "deep/d.env": ("env_file", "deep/er/x.yml"),
        "deep/er/y.yml": ("extends", "deep/er/x.yml"),
        "deep/er/y.env": ("env_file", "deep/er/y.yml"),
        "x.env": ("env_file", MAIN),
        "ext/e.yml": ("extends", MAIN),
        "ext/e.env": ("env_file", "ext/e.yml"),
        "ext/deeper/d.yml": ("extends", "ext/e.yml"),
        "ext/deeper/d.env": ("env_file", "ext/deeper/d.yml"),
        "ext/deeper/base.env": ("env_file", "ext/deeper/d.yml"),
        "ext/deeper/root.labels": ("label_file", "ext/deeper/d.yml"),
    }


def test_a_second_compose_file_begins_in_the_folder_of_the_first():
    files = {MAIN: "services: {}", "prod/over.yml": "services: {web: {env_file: web.env}}"}
    assert needs(files, compose=[MAIN, "prod/over.yml"]) == {"web.env": ("env_file", "prod/over.yml")}


def test_what_the_variables_of_the_stack_say_beats_an_included_environment():
    files = {MAIN: "include: [sub/x.yml]", "sub/x.yml": "services: {a: {env_file: '${N}.env'}}", "sub/.env": "N=inner"}
    assert "sub/outer.env" in needs(files, {"N": "outer"})
    assert "sub/inner.env" in needs(files)


def test_anchors_merges_and_tags():
    text = """
x-base: &base
  env_file: &env [base.env]
services:
  a: {<<: *base, image: x}
  b: {image: y, env_file: *env}
  c: {env_file: !reset null}
  d: {env_file: !override [d.env]}
  e: !override {env_file: e.env, environment: {WHEN: 2024-99-99, OCTAL: 0o19}}
  f: !reset {env_file: gone.env}
---
services: {g: {env_file: g.env}}
"""
    assert list(needs({MAIN: text})) == ["base.env", "d.env", "e.env", "g.env"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "- 1",
        "services: 3",
        "services: {a: 3, b: null}",
        "include: true",
        "include: [{path: true}, null]",
        "\t",
        "services: {a: {extends: a}}",
        "&a [*a]",
        "{[]: 1}",
    ],
)
def test_what_is_no_compose_file_compose_says_itself(text):
    assert needs({MAIN: text}) == {}


def test_a_circle_ends():
    files = {
        MAIN: "include: [a.yml]\nservices: {s: {extends: {file: e.yml, service: e}}}",
        "a.yml": f"include: [{MAIN}]",
        "e.yml": "services: {e: {extends: f}, f: {extends: {service: e}}}",
    }
    assert set(needs(files)) == {"a.yml", MAIN, "e.yml"}


OUTSIDE = "which leaves the folder of the compose file. A release is made of that folder alone. Move the file into it, or let rollout_stacks.<stack>.compose name a compose file above both."
ABSOLUTE = "which is an absolute path. A rollback could not bring that file back: move it into the folder of the compose file, and name it by a relative path."
REMOTE = "which lies elsewhere on the network. A rollout reads no compose file from there: download it into the folder of the compose file, and name it by a relative path."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: [../x.yml]", f"include ../x.yml, {OUTSIDE}"),
        ("include: [a/../../x.yml]", f"include a/../../x.yml, {OUTSIDE}"),
        ("include: ['${UP}/x.yml']", f"include ${{UP}}/x.yml, {OUTSIDE}"),
        ("include: [/srv/x.yml]", f"include /srv/x.yml, {ABSOLUTE}"),
        ("include: [~/x.yml]", f"include ~/x.yml, {ABSOLUTE}"),
        ("include: ['https://example.org/x.git']", f"include https://example.org/x.git, {REMOTE}"),
        ("include: ['oci://example.org/x']", f"include oci://example.org/x, {REMOTE}"),
        ("include: ['git@example.org:x.git']", f"include git@example.org:x.git, {REMOTE}"),
        ("include: [{path: there.yml, project_directory: ..}]", f"include.project_directory .., {OUTSIDE}"),
        ("include: [{path: there.yml, env_file: ../x.env}]", f"include.env_file ../x.env, {OUTSIDE}"),
        (
            "include: [gone.yml]",
            "include gone.yml, and the folder of the compose file has no such file. Correct the path, or add the file.",
        ),
        (
            "services: {a: {extends: {file: gone.yml, service: b}}}",
            "extends gone.yml, and the folder of the compose file has no such file. Correct the path, or add the file.",
        ),
        ("services: {a: {extends: {file: ../x.yml, service: b}}}", f"extends ../x.yml, {OUTSIDE}"),
        ("services: {a: {env_file: ../x.env}}", f"env_file ../x.env, {OUTSIDE}"),
    ],
)
def test_a_path_that_leaves_the_source_is_refused(text, said):
    with pytest.raises(RolloutError) as error:
        needs({MAIN: text, "there.yml": ""}, {"UP": ".."})
    assert str(error.value) == f"Stack core (/src): {MAIN} has {said}"


def test_all_of_them_at_once():
    with pytest.raises(RolloutError) as error:
        needs({MAIN: "include: [../a.yml, /b.yml, gone.yml]\nservices: {a: {env_file: ../c.env}}"})
    assert len(str(error.value).splitlines()) == 4


def test_an_included_environment_that_compose_would_refuse():
    with pytest.raises(RolloutError, match=r"sub/.env, line 1, is not what Compose reads"):
        needs({MAIN: "include: [sub/x.yml]", "sub/x.yml": "", "sub/.env": "A='x"})


PATHS = st.lists(st.sampled_from(["..", ".", "a", "b.yml", "", "~", "${X}", ".env"]), max_size=5).map("/".join)


@given(PATHS, PATHS, PATHS)
def test_no_need_ever_leaves_the_source(first, second, third):
    text = f"include: [{{path: ['{first}'], project_directory: '{second}'}}]\nservices: {{a: {{env_file: ['{third}'], extends: {{file: '{first}', service: a}}}}}}"
    try:
        # A folder that holds itself is as deep as the system follows links.
        found = Reading("s", lambda path: text if path.count("/") < 8 else None, documents).needs([MAIN], {"X": ".."})
    except RolloutError:
        return
    for need in found:
        assert not need.path.startswith("/")
        assert ".." not in need.path.split("/")


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("a", "a"),
        ("./a//b/../c", "a/c"),
        (".", ""),
        ("", ""),
        ("a/..", ""),
        ("..", None),
        ("../a", None),
        ("/a", None),
        ("a/../../b", None),
        ("..a", "..a"),
    ],
)
def test_the_shortest_form_of_a_path(path, short):
    assert inside(path) == short


def test_which_needs_hold_variables():
    assert [Need("x", key, MAIN).environment for key in ("env_file", "include.env_file", "label_file", "include")] == [
        True,
        True,
        False,
        False,
    ]


def test_variables_of_several_files():
    texts = {".env": "A=1\nB=1\nIMAGE_TAG=dev\n", "prod.env": "B=2\nC=$B\nD=$GIVEN\n"}
    assert variables(texts, {"GIVEN": "g"}, "IMAGE_TAG") == {"A": "1", "B": "2", "C": "1", "D": "g"}
    assert variables({}, {}, "IMAGE_TAG") == {}


def test_a_variable_that_depends_on_the_tag_of_the_release():
    with pytest.raises(RolloutError) as error:
        variables({".env": "A=1\nIMAGE=app:${APP_TAG}\n", "b.env": "C='x"}, {"APP_TAG": "x"}, "APP_TAG")
    first, second = str(error.value).splitlines()
    assert ".env, line 2, is not" in first
    assert ": it uses APP_TAG, which each release sets anew; use APP_TAG in the compose file instead. Write" in first
    assert second.startswith("b.env, line 1, is not")
