from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import stacks
from hypothesis import given
from hypothesis import strategies as st

WAVES = ("backend", "workers")
BELOW = "expected a list of paths below the folder of the compose file."
GOOD = {
    "wave": "backend",
    "compose": ["/srv/app/docker-compose.yml", "prod.yml.j2"],
    "profiles": ["gpu"],
    "env_files": [".env", "env/prod.env"],
    "environment": {"A": 1},
    "secrets": None,
    "tag_variable": "IMMICH_VERSION",
    "services": {"db": {"keep": True}, "web": None},
    "files": ["conf", "a/b.j2"],
    "data": "~/app",
    "project": "immich_2-x",
    "new_data": True,
    "allow_unset": ["A_B"],
    "images": ["app"],
}


def problems(**changed):
    return stacks.problems({"core": {key: value for key, value in {**GOOD, **changed}.items() if value != "absent"}}, WAVES)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"compose": "docker-compose.yml"},
        {"compose": "absent", "template": "x.j2"},
        {"data": ""},
        {"data": None},
        {"project": None},
        {"project": ""},
        {"data": "/srv"},
        {"env_files": []},
        {key: "absent" for key in GOOD if key not in ("wave", "compose")},
    ],
)
def test_a_good_stack(changed):
    assert problems(**changed) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"template": "x.j2"},
            " has template and compose. Keep one: compose for files that are deployed as they are, template for one that Jinja renders.",
        ),
        (
            {"compose": "absent"},
            " has neither compose nor template. Add compose: the path of its compose file, for example {{ inventory_dir }}/../core/docker-compose.yml",
        ),
        ({"compose": []}, ".compose is []: expected the path of a compose file, or a list of them."),
        ({"compose": ""}, ".compose is '': expected the path of a compose file, or a list of them."),
        ({"compose": [1]}, ".compose is [1]: expected the path of a compose file, or a list of them."),
        ({"compose": "absent", "template": ""}, ".template is '': expected the path of a compose file's template."),
        ({"profiles": "gpu"}, ".profiles is 'gpu': expected a list of names."),
        ({"env_files": ".env"}, f".env_files is '.env': {BELOW}"),
        ({"env_files": ["/etc/x"]}, f".env_files is ['/etc/x']: {BELOW}"),
        ({"env_files": ["../x"]}, f".env_files is ['../x']: {BELOW}"),
        ({"files": ["~/x"]}, f".files is ['~/x']: {BELOW}"),
        ({"files": ["."]}, f".files is ['.']: {BELOW}"),
        ({"data": "data"}, ".data is 'data': expected an absolute path, or one that begins with ~/."),
        *(
            (
                {"project": name},
                f".project is {name!r}: expected a name of a-z, 0-9, '-' and '_' that begins with a letter or a digit.",
            )
            for name in ("Immich", "-x", "_x", "a.b", "a b", "a\n")
        ),
        ({"new_data": "yes"}, ".new_data is 'yes': expected true or false."),
        ({"allow_unset": ["A-B"]}, ".allow_unset is ['A-B']: expected a list of names of variables."),
        ({"tag_variable": "1"}, ".tag_variable is '1': expected the name of a variable."),
        ({"services": ["db"]}, ".services is ['db']: expected a mapping, name of a service to its keys."),
        ({"services": {"db": "keep"}}, ".services.db is 'keep': expected a mapping of its keys, for example {keep: true}."),
        ({"wave": "x"}, ".wave is 'x': expected one of the groups backend, workers."),
    ],
)
def test_what_a_stack_cannot_mean(changed, said):
    assert problems(**changed) == [f"rollout_stacks.core{said}"]


@given(
    st.dictionaries(
        st.sampled_from(list(GOOD)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
    )
)
def test_every_stack_is_judged(changed):
    assert all(isinstance(sentence, str) for sentence in problems(**changed))
