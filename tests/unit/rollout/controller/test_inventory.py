from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.rollout.controller import inventory
from ansible.module_utils.rollout.controller.inventory import (
    empty_waves,
    problems,
    same_machine,
    stacks_of,
    stacks_of_wave,
    unreachable,
)
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[4]
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


@pytest.mark.parametrize(
    ("confirm", "wait", "sentence"),
    [
        (10, 0, ""),
        (900, 899, ""),
        (
            9.5,
            0,
            "rollout_confirm_timeout is 9.5: a guard needs at least 10 seconds, or it would act before a run can be confirmed.",
        ),
        (
            900,
            900,
            "rollout_drain_timeout is 900 and rollout_confirm_timeout 900: the guard would act while a service is still waited for. "
            "Raise rollout_confirm_timeout: above all that the services of a host may take.",
        ),
    ],
)
def test_a_guard_that_would_act_too_early(confirm, wait, sentence):
    assert inventory.too_late(confirm, wait) == ([sentence] if sentence else [])


def test_a_guard_that_would_act_while_services_are_watched():
    assert inventory.too_late(900, 0, 899) == []
    assert inventory.too_late(60, 0, 60) == [
        "rollout_watch is 60 and rollout_confirm_timeout 60: the guard would act while services are still watched. Raise "
        "rollout_confirm_timeout: above all that the switches and rollout_watch take together."
    ]


@pytest.mark.parametrize("name", inventory.LEAST)
def test_a_number_that_is_too_small(name):
    least = inventory.LEAST[name]
    assert inventory.too_small(inventory.LEAST) == []
    assert inventory.too_small({**inventory.LEAST, name: str(least - 0.5)}) == [
        f"{name} is {least - 0.5:g}: expected {least} or more."
    ]


def test_every_number_among_the_settings_has_a_least():
    specs = yaml.safe_load((ROOT / "roles/fleet/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    numbers = {name for name, option in options.items() if option["type"] in ("int", "float")}
    # The last has a rule of its own.
    assert set(inventory.LEAST) == numbers - {"rollout_confirm_timeout"}


@pytest.mark.parametrize("groups", [GROUPS, {**GROUPS, "nas": ["x"], "databases": ["y"], "back": []}])
def test_a_good_inventory_has_no_problem(groups):
    assert problems(STACKS, groups) == []


@pytest.mark.parametrize(
    ("stacks", "sentence"),
    [
        ({}, "rollout_stacks names no stack: nothing can be rolled out. See docs/your-own-stack.md."),
        (None, "rollout_stacks names no stack"),
        (["core"], "rollout_stacks names no stack"),
        ({"core": "x"}, "rollout_stacks.core is a text: expected a mapping with wave and compose."),
        (
            stack(image="x"),
            "rollout_stacks.core has 'image'; known are adopt, allow_unset, compose, data, env_files, environment, files, images, new_data, profiles, project, secrets, services, tag_variable, template, wave.",
        ),
        (without("wave"), "rollout_stacks.core.wave is missing: expected one of the groups backend, cpu_workers, gpu_workers."),
        (
            without("template"),
            "rollout_stacks.core has neither compose nor template. Add compose: the path of its compose file, for example {{ inventory_dir }}/../core/docker-compose.yml",
        ),
        (stack(images="backend"), "rollout_stacks.core.images is 'backend': expected a list of names."),
        (stack(template=["x"]), "rollout_stacks.core.template is ['x']: expected the path of a compose file's template."),
        (stack(wave=["backend"]), "rollout_stacks.core.wave is ['backend']: expected one of the groups"),
        (stack(environment=["A=1"]), "rollout_stacks.core.environment is a list: expected a mapping."),
        # One indent too few makes a stack of a secret.
        ({**stack(), "DB_PASSWORD": "canary"}, "rollout_stacks.DB_PASSWORD is a text: expected a mapping with wave"),
        (stack(environment=1234), "rollout_stacks.core.environment is a number: expected a mapping."),
        (stack(secrets=True), "rollout_stacks.core.secrets is true or false: expected a mapping."),
        (stack(password="canary"), "rollout_stacks.core has 'password'; known are"),
        (stack(secrets="canary"), "rollout_stacks.core.secrets is a text: expected a mapping."),
        (
            stack(wave="frontend"),
            "rollout_stacks.core.wave is 'frontend': expected one of the groups backend, cpu_workers, gpu_workers.",
        ),
    ],
)
def test_problems_of_stacks(stacks, sentence):
    (found,) = problems(stacks, GROUPS)
    assert found.startswith(sentence)
    assert "canary" not in found


def test_everything_wrong_with_an_inventory_is_said_at_once():
    stacks = {**stack(wave="frontend", images="x"), "gpu": {"template": ["g"], "sercets": {}}, "cpu": 7}
    assert problems(stacks, {"cpu-workers": ["h"]}) == [
        "rollout_stacks.core.images is 'x': expected a list of names.",
        "rollout_stacks.core.wave is 'frontend': expected one of the groups backend, cpu_workers, gpu_workers.",
        "rollout_stacks.gpu has 'sercets'; known are adopt, allow_unset, compose, data, env_files, environment, files, images, new_data, profiles, project, secrets, services, tag_variable, template, wave.",
        "rollout_stacks.gpu.template is ['g']: expected the path of a compose file's template.",
        "rollout_stacks.gpu.wave is missing: expected one of the groups backend, cpu_workers, gpu_workers.",
        "rollout_stacks.cpu is a number: expected a mapping with wave and compose.",
        "The inventory has a group 'cpu-workers': the groups of a rollout are spelt backend, cpu_workers, gpu_workers.",
        "The inventory's group backend has no host: one host must run the backend. Where waves have other names, rollout_waves has them.",
    ]
    assert inventory.misplaced("", "") == inventory.misplaced("", "/x") + inventory.misplaced("ktrdr", "")
    assert len(inventory.too_small(dict.fromkeys(inventory.LEAST, -1))) == len(inventory.LEAST)


# What was accepted when the validator was written by hand.
def accepted(stack):
    return (
        isinstance(stack, dict)
        and set(stack) <= {"wave", "template", "images", "environment", "secrets"}
        and stack.get("wave") in inventory.WAVES
        and isinstance(stack.get("template"), str)
        and isinstance(stack.get("images", []), list)
        and all(
            isinstance(stack.get(key) or {}, dict) and stack.get(key) not in (False, 0, "", [])
            for key in ("environment", "secrets")
        )
    )


anything = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.text(max_size=3), st.lists(st.text(max_size=2), max_size=2))
mappings = st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "wave": st.sampled_from(inventory.WAVES) | anything,
            "template": st.text(max_size=3) | anything,
            "images": st.lists(st.text(max_size=3), max_size=2) | anything,
            "environment": mappings | anything,
            "secrets": mappings | anything,
            "other": st.none(),
        },
    )
    | anything
)
def test_what_was_accepted_of_a_stack_is_accepted_still_and_nothing_else(one):
    assert (problems({"core": one}, GROUPS) == []) is accepted(one)


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


@pytest.mark.parametrize(
    ("engines", "sentence"),
    [
        ({}, ""),
        ({"a": ("E1", "B1"), "b": ("E2", "B1")}, ""),
        ({"a": ("", "B1"), "b": ("", "B1")}, ""),
        # Clones of one machine, engine included.
        ({"a": ("E1", "B1"), "b": ("E1", "B2")}, ""),
        (
            {"a": ("E1", "B1"), "b": ("E2", "B2"), "c": ("E1", "B1")},
            "Hosts a and c are one machine (they have the same Docker engine, E1): keep one name in the inventory, and put it into all "
            "its groups.",
        ),
    ],
)
def test_one_machine_with_two_names(engines, sentence):
    assert same_machine(engines) == sentence


def test_empty_waves():
    assert empty_waves(STACKS, GROUPS) == ["Wave gpu_workers has no host, so it is skipped: gpu is rolled out nowhere."]
    assert empty_waves(STACKS, {"backend": ["h"]}) == [
        "Wave cpu_workers has no host, so it is skipped: cpu is rolled out nowhere.",
        "Wave gpu_workers has no host, so it is skipped: gpu is rolled out nowhere.",
    ]
    assert empty_waves({"core": STACKS["core"]}, {"backend": ["h"]}) == []


CHANGED = "@@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@@@@@@\r\nHost key verification failed."


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            CHANGED,
            "the host shows another key than before; where it was installed anew: ssh-keygen -R its address, then ssh to it once",
        ),
        ("Host key verification failed.", "the host's key is not known here: ssh to it once and compare the key"),
        (
            "Failed to connect to the host via ssh: k@192.0.2.1: Permission denied (publickey).",
            "the key or the user is wrong: check ansible_user and ansible_ssh_private_key_file with ssh",
        ),
        ("Invalid/incorrect password: Permission denied", "the password is wrong: --ask-pass asks for it"),
        ("ssh: Could not resolve hostname x", "the name is unknown here: check ansible_host"),
        ("x: Name or service not known", "the name is unknown here: check ansible_host"),
        (
            "ssh: connect to host x port 22: Connection refused",
            "it is there, but no SSH server answers on that port: check ansible_port and sshd",
        ),
        ("Connection timed out", "is it on, and on the network? (ansible gpu -m ping, with the same -i, shows the same)"),
        ("No route to host", "is it on, and on the network? (ansible gpu -m ping, with the same -i, shows the same)"),
    ],
)
def test_unreachable(message, advice):
    said = " ".join(message.split()).rstrip(".")
    assert unreachable("gpu", message) == f"Host gpu cannot be reached: {said}. Advice: {advice}."


def test_every_sign_has_its_advice_and_is_found_in_any_case():
    for sign, advice in inventory._UNREACHABLE:
        assert advice in unreachable("h", f"ssh: {sign.upper()} x")
    assert len(unreachable("h", "x" * 9999)) < 600


ONE = {"backend": ["h"], "cpu_workers": ["h"], "gpu_workers": ["h"]}


@pytest.mark.parametrize(
    ("groups", "wave", "together", "names"),
    [
        (ONE, "backend", True, ["core", "extra"]),
        # The workers of the only worker host go at once, in the first wave that they belong to.
        (ONE, "cpu_workers", True, ["cpu", "gpu"]),
        (ONE, "gpu_workers", True, []),
        (ONE, "cpu_workers", False, ["cpu"]),
        (ONE, "gpu_workers", False, ["gpu"]),
        # Another host's turn lies between the waves.
        ({**ONE, "cpu_workers": ["h", "i"]}, "cpu_workers", True, ["cpu"]),
        ({**ONE, "cpu_workers": ["h", "i"]}, "gpu_workers", True, ["gpu"]),
        ({**ONE, "cpu_workers": ["i"]}, "gpu_workers", True, ["gpu"]),
        ({**ONE, "gpu_workers": []}, "cpu_workers", True, ["cpu"]),
        ({"gpu_workers": ["h"]}, "gpu_workers", True, ["gpu"]),
    ],
)
def test_the_stacks_of_a_wave(groups, wave, together, names):
    assert stacks_of_wave(STACKS, groups, "h", wave, together) == names


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("groups", [ONE, {**ONE, "cpu_workers": ["i", "h"]}, {**ONE, "gpu_workers": ["i"]}])
def test_each_stack_of_a_host_is_in_one_wave(groups, together):
    waves = [wave for wave in inventory.WAVES if "h" in groups[wave]]
    switched = [name for wave in waves for name in stacks_of_wave(STACKS, groups, "h", wave, together)]
    assert switched == stacks_of(STACKS, waves)


@pytest.mark.parametrize(
    ("groups", "together", "idle"),
    [
        # Its stacks had their turn with the CPU workers.
        (ONE, True, ["gpu_workers"]),
        (ONE, False, []),
        ({**ONE, "gpu_workers": ["i"]}, True, []),
        ({**ONE, "cpu_workers": ["i"], "gpu_workers": ["h", "i"]}, True, []),
        ({**ONE, "cpu_workers": []}, True, ["cpu_workers"]),
        ({"backend": ["h"]}, True, ["cpu_workers", "gpu_workers"]),
    ],
)
def test_a_wave_that_brings_nothing_is_idle(groups, together, idle):
    assert [wave for wave in inventory.WAVES if inventory.is_idle(STACKS, groups, wave, together)] == idle


OWN = ["web", "workers", "reports"]
MINE = {"r": {"wave": "reports"}, "w": {"wave": "workers"}, "a": {"wave": "web"}, "b": {"wave": "web"}}


def test_stacks_in_the_order_of_waves_of_ones_own():
    assert stacks_of(MINE, ["all", "reports", "web"], OWN) == ["a", "b", "r"]
    assert stacks_of(MINE, ["backend"], OWN) == []
    assert problems({name: {**stack, "template": "x"} for name, stack in MINE.items()}, {"web": ["h"]}, OWN) == []
    (said,) = problems({"core": {"wave": "backend", "template": "x"}}, {"web": ["h"]}, OWN)
    assert said == "rollout_stacks.core.wave is 'backend': expected one of the groups web, workers, reports."
    assert empty_waves(MINE, {"web": ["h"], "workers": []}, OWN) == [
        "Wave workers has no host, so it is skipped: w is rolled out nowhere.",
        "Wave reports has no host, so it is skipped: r is rolled out nowhere.",
    ]


def test_waves_of_ones_own_keep_their_order_on_one_host():
    groups = {name: ["h"] for name in OWN}
    assert [stacks_of_wave(MINE, groups, "h", wave, True, OWN) for wave in OWN] == [["a", "b"], ["w"], ["r"]]
    assert not any(inventory.is_idle(MINE, groups, wave, True, OWN) for wave in OWN)
    # Not even the two that go together by default: another order may be meant.
    turned = [*reversed(inventory.WAVES)]
    assert [stacks_of_wave(STACKS, ONE, "h", wave, True, turned) for wave in turned] == [["gpu"], ["cpu"], ["core", "extra"]]


SETTINGS = ["rollout_keep", "rollout_strategy", "rollout_dir"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, ""),
        ({"sha": "abc1234", "tag": "v1", "rollout_keep": 3}, ""),
        # What a template may want.
        ({"age": 3, "stage": "x", "host": "h", "hash": "x", "path": "/x", "data": 1, "ktrdr_deadline": 5}, ""),
        ({"sha": ""}, "sha is given and empty: the variable behind it may be unset. Leave it out where you mean none."),
        ({"tag": None}, "tag is given and empty: the variable behind it may be unset. Leave it out where you mean none."),
        ({"sah": "abc1234"}, "sah is not known: is it sha that you mean?"),
        ({"SHA": "abc1234"}, "SHA is not known: is it sha that you mean?"),
        ({"tags": "v1"}, "tags is not known: is it tag that you mean?"),
        ({"rollout_kep": 3}, "rollout_kep is not known: is it rollout_keep that you mean?"),
        # What Ansible makes of -e abc1234, and of a colon.
        ({"_raw_params": "abc1234"}, "-e abc1234 is not NAME=VALUE: is it -e sha=abc1234 that you mean?"),
        ({"_raw_params": "sha:abc1234"}, "-e sha:abc1234 is not NAME=VALUE: is it -e sha=abc1234 that you mean?"),
        ({"_raw_params": "sha = abc1234"}, "-e sha = abc1234 is not NAME=VALUE: is it -e sha=abc1234 that you mean?"),
        ({"_raw_params": "sha"}, "-e sha is not NAME=VALUE."),
        ({"sha": "abc1234", "_raw_params": "please"}, "-e please is not NAME=VALUE."),
        ({"commit": "abc1234"}, "commit is not known: is it sha that you mean?"),
        ({"commit": "abc1234", "sha": "abc1234"}, ""),
        ({"commit": "of yesterday"}, ""),
        ({"rollout_zzz": 3}, "rollout_zzz is not known. docs/inventory.md has what may be set."),
        # All at once, in the order typed.
        (
            {"tag": "", "sah": "abc1234", "rollout_zzz": 3, "rollout_kep": 3},
            "tag is given and empty: the variable behind it may be unset. Leave it out where you mean none. "
            "sah is not known: is it sha that you mean? "
            "rollout_zzz is not known. docs/inventory.md has what may be set. "
            "rollout_kep is not known: is it rollout_keep that you mean?",
        ),
    ],
)
def test_mistyped(typed, said):
    assert inventory.mistyped(typed, SETTINGS) == said


@pytest.mark.parametrize(
    ("typed", "own", "said"),
    [
        ({"fromat": "json"}, ("format", "strict"), "fromat is not known: is it format that you mean?"),
        ({"format": "json", "strict": True, "sah": 1, "commit": "abc1234"}, ("format", "strict"), ""),
        ({"_raw_params": "abc1234"}, (), "-e abc1234 is not NAME=VALUE."),
        ({"sha": "", "anything": 1}, (), ""),
    ],
)
def test_mistyped_where_no_release_is_named(typed, own, said):
    assert inventory.mistyped(typed, SETTINGS, own) == said


@given(st.dictionaries(st.sampled_from([*SETTINGS, *inventory.RELEASE]), st.text(min_size=1).filter(str.strip)))
def test_what_is_known_is_never_mistyped(typed):
    assert inventory.mistyped(typed, SETTINGS) == ""


@pytest.mark.parametrize(
    ("application", "directory", "said"),
    [
        ("ktrdr", "/var/lib/rollout/ktrdr", ""),
        ("a_b-2", "~/state", ""),
        ("../x", "/x", "rollout_application is '../x': expected a-z, 0-9, - and _, beginning with a letter or a digit."),
        ("Ktrdr", "/x", "rollout_application is 'Ktrdr': expected a-z, 0-9, - and _, beginning with a letter or a digit."),
        ("", "/x", "rollout_application is '': expected a-z, 0-9, - and _, beginning with a letter or a digit."),
        ("ktrdr", "state", "rollout_dir is 'state': expected a path that begins with / or ~/."),
        ("ktrdr", "", "rollout_dir is '': expected a path that begins with / or ~/."),
    ],
)
def test_misplaced(application, directory, said):
    assert inventory.misplaced(application, directory) == ([said] if said else [])


def test_the_first_host_of_a_wave_runs_a_job_for_all():
    stacks, groups = (
        {"core": {"wave": "backend"}, "jobs": {"wave": "cpu_workers"}},
        {"backend": ["a"], "cpu_workers": ["a", "b", "c"]},
    )
    assert inventory.first_of(stacks, groups, "a", ["a", "b", "c"]) == ["core", "jobs"]
    assert inventory.first_of(stacks, groups, "b", ["a", "b", "c"]) == []
    # The first one of those that take part.
    assert inventory.first_of(stacks, groups, "b", ["b", "c"]) == ["jobs"]
