from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import playbooks


@pytest.mark.parametrize(
    ("path", "own", "verb"),
    [
        ("rollout.yml", "rollout.yml", "rollout"),
        ("/x/playbooks/rollback.yml", "rollback.yml", "rollback"),
        ("status.yml", "status.yml", ""),
        ("site.yml", "", ""),
    ],
)
def test_ours(path, own, verb):
    assert (playbooks.own(path), playbooks.verb(path)) == (own, verb)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({}, ""),
        ({"tags": ["all"], "skip_tags": [], "start_at_task": None, "subset": "h1", "check": True}, ""),
        ({"tags": ()}, ""),
        ({"tags": ["stage"]}, "--tags"),
        ({"tags": ["all", "never"]}, "--tags"),
        ({"tags": ["all"], "skip_tags": ["x"]}, "--skip-tags"),
        ({"start_at_task": "Switch"}, "--start-at-task"),
    ],
)
def test_partial(arguments, option):
    assert playbooks.partial(arguments) == option


def refusal(playbook, typed=None, hosts=("h1",), args=None, **arguments):
    return playbooks.refusal(playbook, {"args": args or [f"/x/{playbook}"], **arguments}, typed or {}, ["rollout_keep"], hosts)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("rollout.yml", "ROLLOUT REFUSED: nothing was touched. "),
        ("rollback.yml", "ROLLBACK REFUSED: nothing was touched. "),
        # A status of which no task runs would look like a good one.
        ("status.yml", ""),
        ("gpu_check.yml", ""),
        ("unlock.yml", ""),
    ],
)
def test_a_part_of_a_playbook(name, head):
    assert refusal(name, tags=["switch"]) == (
        f"{head}--tags would run a part of {name}, and leave out what the rest relies on: run it whole. For a part of the fleet "
        "there is --limit."
    )


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("rollout.yml", {}),
        ("rollback.yml", {"typed": {"environment": "present"}}),
        ("rollback.yml", {"typed": {"data": "keep"}}),
        ("rollback.yml", {"typed": {"data": "restore"}}),
        ("rollout.yml", {"tags": ["x"], "listtasks": True}),
        ("rollout.yml", {"tags": ["x"], "syntax": True}),
        # Its own tags and variables.
        ("rollout.yml", {"tags": ["x"], "args": ["site.yml"], "typed": {"rollout_kep": 3}}),
    ],
)
def test_what_may_begin(name, more):
    assert refusal(name, **more) == ""


@pytest.mark.parametrize(
    ("name", "typed", "sentence"),
    [
        ("rollout.yml", {"rollout_kep": 3}, "ROLLOUT REFUSED: nothing was touched. rollout_kep is not known: is it rollout_keep"),
        ("rollback.yml", {"sha": ""}, "ROLLBACK REFUSED: nothing was touched. sha is given and empty"),
        (
            "rollback.yml",
            {"data": "restored"},
            "ROLLBACK REFUSED: nothing was touched. data is 'restored': expected keep, for the data as it is, or restore,",
        ),
        (
            "rollback.yml",
            {"environment": "now"},
            "ROLLBACK REFUSED: nothing was touched. environment is 'now': expected present,",
        ),
        ("status.yml", {"fromat": "json"}, "fromat is not known: is it format that you mean?"),
        ("remove.yml", {"delete_date": "app"}, "delete_date is not known: is it delete_data that you mean?"),
        ("unlock.yml", {"forec": True}, "forec is not known: is it force that you mean?"),
    ],
)
def test_what_seems_mistyped(name, typed, sentence):
    assert refusal(name, typed).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "head"), [("rollout.yml", "ROLLOUT REFUSED: nothing was touched. "), ("gpu_check.yml", ""), ("unlock.yml", "")]
)
def test_an_inventory_without_hosts_is_no_success(name, head):
    assert refusal(name, hosts=(), inventory=("inventory/homelba",)) == (
        f"{head}The inventory inventory/homelba has no host in the groups backend, cpu_workers, gpu_workers: "
        "ansible-inventory --graph, with the same -i, shows what it has. Other groups are named with rollout_waves."
    )
    assert "The inventory that ansible.cfg names has no host" in refusal(name, hosts=())


@pytest.mark.parametrize(
    ("typed", "stdout", "document"),
    [
        ({}, "progress", False),
        ({"format": "table"}, "default", False),
        ({"format": "json"}, "progress", True),
        ({}, "json", True),
        ({}, "ansible.posix.json", True),
    ],
)
def test_stdout_is_for_a_document(typed, stdout, document):
    assert playbooks.document(typed, stdout) is document
