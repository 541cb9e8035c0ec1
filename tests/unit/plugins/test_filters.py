from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.inventory import LEAST

SETTINGS = {
    **LEAST,
    "rollout_application": "app",
    "rollout_dir": "/var/lib/rollout/app",
    "rollout_confirm_timeout": 900,
    "rollout_drain": "checkpoint",
}


@pytest.fixture(scope="module")
def filters(load):
    return load("plugins/filter/rollout.py").FilterModule().filters()


def test_every_filter_that_roles_use_is_there(filters, root):
    import re

    texts = [p.read_text() for place in ("roles", "playbooks", "inventory") for p in (root / place).rglob("*.yml")]
    used = {name for text in texts for name in re.findall(r"(?:\||map\(')\s*(rollout_[a-z_]+)", text)}
    assert used <= set(filters) | {"rollout_stacks", "rollout_hosts"}
    assert len(used & set(filters)) >= 10


def test_verdict(filters):
    hostvars = {"h1": {"rollout_preview": {"preview": {"services": [], "to_pull": 0, "free": 9}}}}
    run = {"action": "rollout", "run": "r1", "release": "v1"}
    found = filters["rollout_verdict"]({"h1": {"changed": False}}, [], run, hostvars)
    assert (found["verdict"], found["good"]) == ("unchanged", True)
    assert found["screen"].startswith("ROLLOUT UNCHANGED: v1 runs on 1 host already.")
    assert found["message"]["title"] == "ROLLOUT UNCHANGED: v1 runs on 1 host already. Nothing was restarted."
    assert found["document"]["hosts"][0]["free"] == 9
    assert "@" in found["document"]["who"]
    assert not filters["rollout_verdict"]({}, ["h1"], {"action": "rollout", "run": "r1"}, hostvars)["good"]


def test_status(filters):
    found = filters["rollout_status"]({"h1": filters["rollout_seen"]({})})
    assert "h1: it could not be reached" in found["screen"]
    assert found["good"]


@pytest.mark.parametrize(("strict", "good"), [(False, True), (True, False)])
def test_strict_status_of_a_host_that_is_not_seen(filters, strict, good):
    found = filters["rollout_status"]({"h1": filters["rollout_seen"]({})}, "all", "json", strict)
    document = json.loads(found["screen"])
    assert document["drift"] == ["h1: it could not be reached"]
    assert (document["as_released"], found["good"]) == (False, good)


def test_the_view_of_torch_alone(filters):
    found = filters["rollout_status"]({"h1": filters["rollout_seen"]({})}, "torch")
    assert found == {"screen": "h1: it could not be reached", "good": False}


STACKS = {"core": {"wave": "backend", "template": "x", "images": []}, "gpu": {"wave": "gpu_workers", "template": "x"}}
GROUPS = {"backend": ["h1"], "cpu_workers": ["h2"], "gpu_workers": ["h3", "h1"]}


@pytest.mark.parametrize(
    ("stacks", "sha", "tag", "sentence"),
    [
        ({}, "", "", "rollout_stacks names no stack"),
        (STACKS, "xyz", "", "sha 'xyz' is not a commit"),
        ({}, "xyz", "", "sha 'xyz' is not a commit"),
        (STACKS, "abc1234", "v1", "sha=abc1234 and tag=v1 are both given"),
        # -e sha=1234567 is a number.
        (STACKS, 1234567, "", ""),
        (STACKS, "", "v1", ""),
    ],
)
def test_problem(filters, stacks, sha, tag, sentence):
    found = filters["rollout_problem"](stacks, GROUPS, sha, tag, SETTINGS)
    assert found.startswith(sentence)
    assert bool(found) is bool(sentence)


def test_owner(filters):
    owner = filters["rollout_owner"]("rollback")
    assert owner["action"] == "rollback"
    assert {"user", "host", "machine", "process", "alive"} < set(owner)


def info(**found):
    """The variables of a host that got its lock."""
    return {**BEGUN, "lock_own": {"taken_over": "", "host": found}}


BEGUN = {"rollout_run": "r1", "rollout_first": "h0", "rollout_optional": ["h2"], "lock_fleet": {"taken_over": ""}}
LEDGER = {"interrupted": None, "torn": True}
DOWN = {"unreachable": True, "msg": "gone"}
HOSTVARS = {
    "h1": info(engine={"id": "E1"}, ledger=LEDGER),
    "h2": {**BEGUN, "lock_own": DOWN},
    "h3": {**BEGUN, "lock_own": DOWN},
}


def test_who_takes_part_and_who_is_behind(filters):
    hosts = ["h1", "h2", "h3"]
    assert filters["rollout_results"](hosts, HOSTVARS)["h2"] == {"out": True, "behind": True}
    assert filters["rollout_present_hosts"](hosts, HOSTVARS) == ["h1"]
    assert filters["rollout_ledgers"](hosts, HOSTVARS) == {"h1": LEDGER}
    assert filters["rollout_at_first"]("h1", HOSTVARS) == {"engine": {"id": "E1"}, "ledger": LEDGER}
    assert filters["rollout_behind"](GROUPS, hosts, HOSTVARS) == ["h2"]
    # --limit h1
    assert filters["rollout_behind"](GROUPS, ["h1"], HOSTVARS) == ["h2", "h3"]
    assert filters["rollout_present_hosts"](["h1"], {"h1": {}}) == ["h1"]


def test_same_machine(filters):
    assert filters["rollout_refusal"](["h1", "h2", "h3"], HOSTVARS) == ""
    twice = {"h1": HOSTVARS["h1"], "h2": HOSTVARS["h1"]}
    assert filters["rollout_refusal"](["h1", "h2"], twice).startswith("Hosts h1 and h2 are one machine (")


def test_notes(filters):
    first = {
        **BEGUN,
        "rollout_first": "h1",
        "lock_fleet": {"taken_over": "Taken.", "host": {"ledger": LEDGER, "keeper": "process"}},
    }
    hostvars = {
        "h1": {**first, "lock_own": {"skipped": True}},
        "h2": {**first, "lock_own": DOWN},
        "h3": {},
    }
    fewer = filters["rollout_notes"](["h1", "h2", "h3"], hostvars, STACKS, {"backend": ["h1"]}, "900")
    hostvars["h2"]["switch_done"] = {"skipped": True}
    assert filters["rollout_notes"](["h1", "h2", "h3"], hostvars, STACKS, {"backend": ["h1"]}, "900") == fewer
    hostvars["h2"]["switch_done"] = {"failed": True}
    notes = filters["rollout_notes"](["h1", "h2", "h3"], hostvars, STACKS, {"backend": ["h1"]}, "900")
    assert fewer == [notes[0], notes[2]], "no guard was armed"
    assert notes[0] == "Found at the start:\n  Taken.\n  h1: the ledger has a torn line (a power loss?); it was passed over."
    assert notes[1].startswith("The guard of h1 is a plain process")
    assert notes[2] == "Wave gpu_workers has no host, so it is skipped: gpu is rolled out nowhere."
    assert len(notes) == 3
    hostvars["h1"]["settle_confirmed"] = {"left": ["Old releases are still there: no room."]}
    after = filters["rollout_notes"](["h1", "h2", "h3"], hostvars, STACKS, {"backend": ["h1"]}, "900")
    assert after == [*notes, "h1: Old releases are still there: no room."]
    hostvars["h1"]["rollout_preview"] = {"preview": {"left": {"extra": "app-extra"}}}
    assert filters["rollout_notes"](["h1"], hostvars, STACKS, {"backend": ["h1"]}, "900")[-1] == (
        "h1: stack extra is there still, though the inventory does not give it to this host any more. There, docker compose "
        "--project-name app-extra down ends it; its volumes stay."
    )


def test_unlocked(filters):
    hostvars = {"h1": {"unlock_done": {"released": "run r1"}}, "h2": {}}
    assert filters["rollout_unlocked"](["h1", "h2"], hostvars).startswith(
        "h1: the lock of run r1, was removed.\nh2: no lock.\n\n"
    )


@pytest.mark.parametrize(("process", "word"), [("ours", "is at work"), ("1:gone", "is dead, but holds the lock")])
def test_status_knows_a_dead_run_of_this_controller(filters, monkeypatch, process, word):
    owner = {**filters["rollout_owner"]("x"), "machine": "m", "alive": ["ours"]}
    monkeypatch.setattr(filters["rollout_status"].__globals__["machine"], "owner", lambda: owner)
    lock = {"run": "r9", "who": "run r9", "machine": "m", "process": process, "quiet": 1, "expires_in": 9}
    info = {"services": [], "ledger": {"stable": None, "interrupted": None, "torn": False}, "lock": lock}
    screen = filters["rollout_status"]({"h1": {"info": info, "fault": ""}, "h2": {"info": None, "fault": "gone"}})["screen"]
    assert f"h1: run r9, {word}" in screen


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"rollout_application": "A b"}, "rollout_application is 'A b': expected a-z, 0-9, - and _"),
        ({"rollout_keep": -1}, "rollout_keep is -1: expected 0 or more."),
        ({"rollout_confirm_timeout": "9"}, "rollout_confirm_timeout is 9: a guard needs at least 10 seconds, or it would act"),
        (
            {"rollout_drain": "wait", "rollout_drain_timeout": 900},
            "rollout_drain_timeout is 900 and rollout_confirm_timeout 900: ",
        ),
        ({"rollout_drain": "checkpoint", "rollout_drain_timeout": 900}, ""),
    ],
)
def test_a_setting_that_is_refused(filters, setting, said):
    stacks = {"core": {"wave": "backend", "template": "x"}}
    found = filters["rollout_problem"](stacks, {"backend": ["h"]}, "", "", {**SETTINGS, **setting})
    assert found.startswith(said)
    assert bool(found) is bool(said)


def test_since(filters):
    began = filters["rollout_since"](0)
    assert began > 0
    assert 0 <= filters["rollout_since"](began) < 60


def test_aftermath(filters):
    hostvars = {"h1": {"report_notification": {"unsent": ["A."]}}, "h2": {"report_metrics": {"msg": "B."}}, "h3": {}}
    assert filters["rollout_aftermath"](["h1", "h2", "h3"], hostvars) == ["Not notified: A.", "h2 has no metrics of this run: B."]


FAULT = {"phase": "stage", "host": "b", "msg": "full"}
LATE = {**FAULT, "phase": "switch"}


@pytest.mark.parametrize(
    ("found", "failed", "ready", "changed", "settled", "back"),
    [
        ([{"name": "n", "settled": True}, {"name": "n", "settled": True}], False, True, False, True, False),
        # One that has not begun says nothing good.
        ([{"name": "n", "settled": True}, None], False, False, False, False, False),
        ([{"name": "n", "settled": True}, {}], False, False, False, False, False),
        ([{"name": "n", "settled": True}, {"out": True, "behind": True}], False, True, False, False, False),
        ([{"name": "n", "settled": True, "changed": True}, {"name": "n", "settled": False}], False, True, True, False, False),
        ([{"name": "n", "settled": True}, {"settled": True, "fault": FAULT}], True, False, False, False, False),
        ([{"name": "n", "changed": True}, {"name": "n", "fault": LATE}], True, False, True, False, True),
    ],
)
def test_what_the_hosts_have_come_to(filters, found, failed, ready, changed, settled, back):
    hostvars = {f"h{n}": {} if one is None else {**BEGUN, "rollout_result": one} for n, one in enumerate(found)}
    hosts = list(hostvars)
    assert list(filters["rollout_results"](hosts, hostvars).values()) == [one or {} for one in found]
    state = {"failed": failed, "ready": ready, "changed": changed, "settled": settled, "must_revert": back}
    assert filters["rollout_state"](hosts, hostvars) == state
    # A host that is gone without a word may have been switched.
    assert filters["rollout_state"](hosts, hostvars, ["h9"]) == {**state, "failed": True, "ready": False, "must_revert": True}
