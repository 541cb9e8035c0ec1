from __future__ import annotations

import jinja2
import pytest
from ansible.module_utils.rollout.controller import rendering

VALUES = {"workers": "three", "port": "5003", "name": "web", "grace": 10}


def said(*texts, why="'_AnsibleTaggedStr' object cannot be interpreted as an integer", values=VALUES):
    return rendering.refusal("x.j2", texts, TypeError(f"Error rendering template: {why}"), values.get)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{% for n in range(workers) %}{% endfor %}{{ name }}", "workers: workers is a text."),
        ("{{ range(workers | int(none)) }}{{ port | int(none) + 1 }}", "workers: workers is a text."),
        ("{{ port + 10 * grace }}{{ name }}", "port: port is a text."),
        ("{% for n in range(port) %}{{ name + 1 }}{% endfor %}", "name: name is a text."),
    ],
)
def test_the_variable_is_named_that_should_be_a_number(text, names):
    assert said(text) == (
        f"x.j2 cannot be rendered: a text cannot be interpreted as an integer. A number is needed where it has {names}"
    )


def test_it_is_named_in_a_template_that_this_one_imports():
    assert "has workers: workers" in said("{% from 'y.j2' import z %}", "{{ workers + 5 }}")
    other = "{% from 'y.j2' import z %}{% include 'z.j2' %}{% include name %}{% import 'i.j2' as i %}"
    assert rendering.referenced(other) == ["y.j2", "z.j2", "i.j2"]


def test_no_value_is_shown_and_nothing_is_guessed_where_all_are_numbers():
    assert "three" not in said("{{ workers + 1 }}")
    assert said("{{ grace + 1 }}{{ nobody + 1 }}", why="is wrong") == "x.j2 cannot be rendered: is wrong."


def test_an_undefined_variable():
    assert said("{{ workers + 1 }}", why="'port' is undefined") == (
        "x.j2 cannot be rendered: 'port' is undefined. Define it in the inventory or with -e, or correct the template."
    )


def test_a_template_that_is_none_is_named_with_its_line():
    text = "a\n{% for x in %}"
    with pytest.raises(jinja2.TemplateSyntaxError) as error:
        jinja2.Environment().parse(text)
    wrapped = ValueError("Syntax error in template: Expected an expression")
    wrapped.__cause__ = error.value
    assert rendering.refusal("x.j2", [text], wrapped, VALUES.get) == (
        "x.j2, line 2, cannot be rendered: Syntax error in template: Expected an expression."
    )


BROKEN = "services:\n  web:\n    image: x\n   bad: [1\n"
SAID = "Reading docker-compose.yml failed: yaml: line 1: did not find expected key."


def source(*texts):
    """A stack whose compose files have these texts."""
    files = {f"docker-compose{n or ''}.yml": {"text": text, "mode": "0644"} for n, text in enumerate(texts)}
    return {"compose": [*files], "files": files}


@pytest.mark.parametrize(
    ("said", "stacks", "shown"),
    [
        (SAID, {"core": source(BROKEN)}, SAID.replace("line 1:", "line 4 of docker-compose.yml:")),
        (SAID.replace("yaml: ", "parsing: yaml: "), {"core": source(BROKEN)}, None),
        # Several files, of which Compose names none.
        (
            SAID.replace("docker-compose.yml", "docker-compose.yml and docker-compose1.yml"),
            {"core": source("a: 1", BROKEN)},
            "Reading docker-compose.yml and docker-compose1.yml failed: yaml: line 4 of docker-compose1.yml: did not find expected "
            "key.",
        ),
        # Another one is meant, or another fault.
        (SAID, {"core": source("a: 1"), "web": {**source("", BROKEN), "compose": ["docker-compose1.yml"]}}, SAID),
        ("No space.", {"core": source(BROKEN)}, "No space."),
        # Of a rollback the names alone.
        (SAID, {"core": {}}, SAID),
    ],
)
def test_the_line_of_a_compose_file_that_is_no_yaml(said, stacks, shown):
    assert rendering.located(said, stacks, {}) == (shown or said.replace("line 1:", "line 4 of docker-compose.yml:"))


@pytest.mark.parametrize(
    ("spec", "rendered"),
    [
        ({"template": "x.j2"}, True),
        ({"compose": "app/docker-compose.yml.j2"}, True),
        ({"compose": ["base.yml", "docker-compose.yml.j2"]}, True),
        ({"compose": ["docker-compose.yml", "other.yml.j2"]}, False),
        ({"compose": "docker-compose.yml"}, False),
    ],
)
def test_it_is_a_line_of_what_a_template_renders(spec, rendered):
    where = "what its template renders" if rendered else "docker-compose.yml"
    assert rendering.located(SAID, {"core": source(BROKEN)}, {"core": spec}) == SAID.replace("line 1:", f"line 4 of {where}:")
