from __future__ import annotations

import configparser
import json
import sys
from collections import defaultdict

import pytest
from ansible import constants
from ansible.module_utils.rollout.controller.inventory import LEAST
from ansible.module_utils.rollout.domain import reference

SETTINGS = {
    **LEAST,
    "rollout_application": "app",
    "rollout_allow_short_secrets": False,
    "rollout_registry_password": 0,
    "rollout_registries": {},
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
    said = {"rollout_preview": {"preview": {"services": [], "to_pull": 0, "free": 9}}, "rollout_result": {"changed": False}}
    hostvars = {"h1": {**BEGUN, **said}}
    run = {"action": "rollout", "run": "r1", "release": "v1"}
    found = filters["rollout_verdict"](["h1"], [], run, hostvars)
    assert (found["verdict"], found["good"]) == ("unchanged", True)
    assert found["screen"].startswith("ROLLOUT UNCHANGED: v1 runs on 1 host already.")
    assert found["message"]["title"] == "ROLLOUT UNCHANGED: v1 runs on 1 host already. Nothing was restarted."
    assert found["document"]["hosts"][0]["free"] == 9
    assert "@" in found["document"]["who"]
    assert not filters["rollout_verdict"]([], ["h1"], {"action": "rollout", "run": "r1"}, hostvars)["good"]


def test_status(filters):
    found = filters["rollout_status"](["h1"], {"h1": {}})
    assert "h1: it could not be reached" in found["screen"]
    assert found["good"]


@pytest.mark.parametrize(("strict", "good"), [(False, True), (True, False)])
def test_strict_status_of_a_host_that_is_not_seen(filters, strict, good):
    found = filters["rollout_status"](["h1"], {"h1": {}}, "all", "json", strict)
    document = json.loads(found["screen"])
    assert document["drift"] == ["h1: it could not be reached"]
    assert (document["as_released"], found["good"]) == (False, good)


def test_the_view_of_torch_alone(filters):
    found = filters["rollout_status"](["h1"], {"h1": {}}, "torch")
    assert found == {"screen": "h1: it could not be reached", "good": False}


STACKS = {"core": {"wave": "backend", "template": "x", "images": []}, "gpu": {"wave": "gpu_workers", "template": "x"}}
NO_FACTS = defaultdict(dict)
GROUPS = {"backend": ["h1"], "cpu_workers": ["h2"], "gpu_workers": ["h3", "h1"]}


@pytest.mark.parametrize(
    ("stacks", "sha", "tag", "sentence"),
    [
        ({}, "", "", "rollout_stacks names no stack"),
        (STACKS, "xyz", "", "sha 'xyz' is not a commit"),
        ({}, "xyz", "", "sha 'xyz' is not a commit"),
        (
            {},
            "xyz",
            "",
            "sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f, for example -e sha=abc1234. For any other tag use -e tag=…\nrollout_stacks names no stack",
        ),
        (STACKS, "abc1234", "v1", "sha=abc1234 and tag=v1 are both given"),
        # -e sha=1234567 is a number.
        (STACKS, 1234567, "", ""),
        (STACKS, "", "v1", ""),
    ],
)
def test_problem(filters, stacks, sha, tag, sentence):
    found = filters["rollout_problem"](stacks, GROUPS, sha, tag, SETTINGS, NO_FACTS)
    assert found.startswith(sentence)
    assert bool(found) is bool(sentence)


def test_a_problem_of_the_waves(filters):
    stacks, hostvars = {"core": {"wave": "web", "template": "x"}}, {"h1": {"rollout_waves": ["web"]}, "h2": {}}
    groups = {"web": ["h1", "h2"]}
    assert filters["rollout_problem"](stacks, groups, "", "", SETTINGS, hostvars, ["h1"], ["web"]) == ""
    assert filters["rollout_problem"](stacks, groups, "", "", SETTINGS, hostvars, ["h1", "h2"], ["web"]) == (
        "rollout_waves is web on host h1, and backend, cpu_workers, gpu_workers on host h2: a fleet has one list."
    )


FACTS = {
    "h1": {"ansible_facts": {"distribution": "Debian", "packages": {}, "service_mgr": "systemd", "local": {}}},
    "h2": {"ansible_facts": {"rollout_stacks": {}, "sha": "x", "fleet_state": {}, "tags": 1, "rollout": 1}},
    "h3": {},
}


@pytest.mark.parametrize("injected", [True, False])
def test_a_fact_that_ansible_would_take_for_a_setting_is_refused(filters, monkeypatch, injected):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", injected)
    found = filters["rollout_problem"](STACKS, GROUPS, "", "v1", SETTINGS, FACTS)
    assert found == injected * (
        "Host h2 says of itself what this run would take for its settings: fleet_state, rollout_stacks, sha. Set "
        "inject_facts_as_vars = false in ansible.cfg (or ANSIBLE_INJECT_FACT_VARS=false), and add --flush-cache once."
    )


def test_this_projects_configuration_makes_no_variables_of_facts(root):
    found = configparser.ConfigParser()
    found.read(root / "ansible.cfg")
    assert found["defaults"]["inject_facts_as_vars"] == "false"


def info(**found):
    """The variables of a host that got its lock."""
    return {**BEGUN, "lock_own": {"taken_over": "", "host": found}}


BEGUN = {"rollout_run": "r1", "rollout_first": "h0", "rollout_optional": ["h2"], "lock_fleet": {"taken_over": ""}}
LEDGER = {"interrupted": None, "torn": True}
DOWN = {"unreachable": True, "msg": "gone"}
HOSTVARS = {
    "h1": info(engine={"id": "E1", "arch": "arm64"}, ledger=LEDGER),
    "h2": {**BEGUN, "lock_own": DOWN},
    "h3": {**BEGUN, "lock_own": DOWN},
}


def test_who_takes_part_and_who_is_behind(filters):
    hosts = ["h1", "h2", "h3"]
    assert filters["rollout_result"]("h2", HOSTVARS) == {"out": True, "behind": True}
    found = {"first": "h1", "ledgers": {"h1": LEDGER}, "platforms": ["linux/arm64"], "refusal": ""}
    assert filters["rollout_found"](hosts, HOSTVARS) == found
    assert filters["rollout_at_first"]("h1", HOSTVARS) == {"engine": {"id": "E1", "arch": "arm64"}, "ledger": LEDGER}
    assert filters["rollout_behind"](GROUPS, hosts, HOSTVARS) == ["h2"]
    # --limit h1
    assert filters["rollout_behind"](GROUPS, ["h1"], HOSTVARS) == ["h2", "h3"]
    # A release is not chosen without the ledger of a host that takes part.
    with pytest.raises(KeyError, match="ledger"):
        filters["rollout_found"](["h1"], {"h1": {}})


def test_a_fleet_of_which_every_host_is_down_is_refused(filters):
    found = filters["rollout_found"](["h2", "h3"], HOSTVARS)
    assert (found["first"], found["ledgers"]) == ("", {})
    assert found["refusal"] == (
        "No host takes part: h2, h3 cannot be reached, and rollout_optional lets a run go on without them. Start one of them, and "
        "run again."
    )


def test_same_machine(filters):
    twice = {"h1": HOSTVARS["h1"], "h2": HOSTVARS["h1"]}
    assert filters["rollout_found"](["h1", "h2"], twice)["refusal"].startswith("Hosts h1 and h2 are one machine (")


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
        "h1: stack extra is still running, but the inventory no longer assigns it to this host. To remove it (volumes are kept), "
        "run there: docker compose --project-name app-extra down"
    )


def test_removed(filters):
    done = {"gone": {"state": ["/s"]}, "stays": {}, "by_hand": []}
    hostvars = {"h1": {"remove_seen": done, "remove_done": done}, "h2": {"remove_seen": {"unreachable": True, "msg": "no route"}}}
    hostvars["h2"]["remove_done"] = {"skipped": True}
    assert filters["rollout_removable"](["h1", "h2"], hostvars)
    shown = filters["rollout_removed"](["h1", "h2"], hostvars, "app", False)
    assert shown == "h1: removed its state /s\nh2: not removed: no route"
    hostvars["h2"]["remove_seen"] = {"failed": True, "msg": "locked"}
    assert not filters["rollout_removable"](["h1", "h2"], hostvars)


def test_the_projects_that_stacks_name(filters):
    stacks = {"core": {"project": "photos"}, "more": {}, "none": {"project": None}, "x": {"project": "y"}}
    assert filters["rollout_projects"](stacks, ["core", "more", "none"]) == {"core": "photos", "more": "", "none": ""}


def test_unlocked(filters):
    hostvars = {"h1": {"unlock_done": {"released": "run r1"}}, "h2": {}}
    assert filters["rollout_unlocked"](["h1", "h2"], hostvars).startswith(
        "h1: the lock of run r1, was removed.\nh2: no lock.\n\n"
    )


@pytest.mark.parametrize(("process", "word"), [("ours", "is at work"), ("1:gone", "is dead, but holds the lock")])
def test_status_knows_a_dead_run_of_this_controller(filters, monkeypatch, process, word):
    owner = {"user": "u", "host": "h", "machine": "m", "process": "ours", "alive": ["ours"]}
    monkeypatch.setattr(filters["rollout_status"].__globals__["owners"], "owner", lambda: owner)
    lock = {"run": "r9", "who": "run r9", "machine": "m", "process": process, "quiet": 1, "expires_in": 9}
    info = {"services": [], "ledger": {"stable": None, "interrupted": None, "torn": False}, "lock": lock}
    screen = filters["rollout_status"](["h1", "h2"], {"h1": {"status_host": info}, "h2": {"status_fault": "gone"}})["screen"]
    assert f"h1: run r9, {word}" in screen


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"rollout_application": "A b"}, "rollout_application is 'A b': expected a-z, 0-9, - and _"),
        ({"rollout_keep": -1}, "rollout_keep is -1: expected 0 or more."),
        (
            {
                "rollout_application": "A",
                "rollout_dir": "x",
                "rollout_keep": -1,
                "rollout_serial": 0,
                "rollout_confirm_timeout": 1,
            },
            "rollout_application is 'A': expected a-z, 0-9, - and _, beginning with a letter or a digit.\n"
            "rollout_dir is 'x': expected a path that begins with / or ~/.\n"
            "rollout_keep is -1: expected 0 or more.\n"
            "rollout_serial is 0: expected 1 or more.\n"
            "rollout_confirm_timeout is 1: a guard needs",
        ),
        ({"rollout_confirm_timeout": "9"}, "rollout_confirm_timeout is 9: a guard needs at least 10 seconds, or it would act"),
        (
            {"rollout_drain": "wait", "rollout_drain_timeout": 900},
            "rollout_drain_timeout is 900 and rollout_confirm_timeout 900: ",
        ),
        ({"rollout_drain": "checkpoint", "rollout_drain_timeout": 900}, ""),
        (
            {"rollout_registry_password": 3},
            "rollout_registry_password has fewer than 4 characters: a password that short cannot be masked without garbling "
            "everything else. Give the user a longer one, or set rollout_allow_short_secrets: then it is printed unmasked.",
        ),
        ({"rollout_registry_password": 3, "rollout_allow_short_secrets": True}, ""),
        ({"rollout_registry_password": 4}, ""),
        ({"rollout_registries": {"nas:5000": {"username": "ada", "password": "pigeon", "insecure": True, "ca": "/x.pem"}}}, ""),
        ({"rollout_registries": {"nas:5000": {}, "docker.io": {"username": "ada"}}}, ""),
        (
            {
                "rollout_registries": {
                    "https://nas": {"user": "ada"},
                    "r.io": {"password": "abc", "insecure": "no"},
                    "password": "pigeon",
                }
            },
            "rollout_registries has 'https://nas', which is not the name of a registry: expected a host, perhaps with a port, for "
            "example ghcr.io or nas:5000.\n"
            "rollout_registries.https://nas has 'user'; known are username, password, insecure, ca.\n"
            "rollout_registries.r.io.insecure is 'no': expected true or false.\n"
            "rollout_registries.r.io.password has fewer than 4 characters: a password that short cannot be masked without garbling "
            "everything else. Give the user a longer one, or set rollout_allow_short_secrets: then it is printed unmasked.\n"
            "rollout_registries.password is a text: expected a mapping with username and password.",
        ),
        ({"rollout_registries": {"r.io": {"password": "abc"}}, "rollout_allow_short_secrets": True}, ""),
    ],
)
def test_a_setting_that_is_refused(filters, setting, said):
    stacks = {"core": {"wave": "backend", "template": "x"}}
    found = filters["rollout_problem"](stacks, {"backend": ["h"]}, "", "", {**SETTINGS, **setting}, NO_FACTS)
    assert found.startswith(said)
    assert bool(found) is bool(said)


# What is typed, and what was read.


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (None, []),
        ("", []),
        ("db", ["db"]),
        ("db, cache,", ["db", "cache"]),
        (["db", "cache"], ["db", "cache"]),
        (True, ["*"]),
        ("true", ["*"]),
        ("All", ["*"]),
        ("yes,db", ["*", "db"]),
    ],
)
def test_names_that_were_typed(filters, typed, names):
    assert filters["rollout_names"](typed) == names


def test_what_was_typed_is_what_it_is(filters, monkeypatch):
    plugin = filters["rollout_typed"].__globals__
    monkeypatch.setitem(plugin, "load_extra_vars", lambda loader: {"environment": "present", "replace": ["db"]})
    found = [filters["rollout_typed"](name) for name in ("environment", "replace", "refresh")]
    assert found == ["present", ["db"], None]


def test_nobodys_tag_looks_like_the_placeholder(filters):
    held = filters["rollout_placeholder"]("tag")
    assert held == "rollout-00-the-tag-of-the-release"
    # Compose reads the files with it, and the images are parsed: also where it is a part of a path.
    assert reference.parse(f"r.io/{held}/web:x-{held}-cuda").tag == f"x-{held}-cuda"


READ = {
    "stacks": {"core": {"images": {"web": "r/web:rollout-00-the-tag-of-the-release", "db": "postgres:17"}}},
    "here": ["postgres:17"],
}


@pytest.mark.parametrize(
    ("typed", "fixed", "refusal"),
    [
        ({}, [], ""),
        ({"refresh": True}, ["postgres:17"], ""),
        ({"refresh": "db", "replace": "db,web"}, ["postgres:17"], ""),
        ({"replace": True}, [], ""),
        ({"replace": ["dbb"]}, [], "replace=dbb names no service of this fleet. Services: db, web."),
        (
            {"refresh": "web"},
            [],
            "refresh=web names no service or image of this fleet whose tag can move. Those that can: db (postgres:17).",
        ),
    ],
)
def test_what_the_registries_are_asked(filters, monkeypatch, typed, fixed, refusal):
    plugin = filters["rollout_asked_of"].__globals__
    monkeypatch.setitem(plugin, "load_extra_vars", lambda loader: typed)
    # One was not read, and one has failed.
    hostvars = {"h1": {"rollout_read": READ}, "h2": {}, "h3": {"rollout_read": {"failed": True, "msg": "no"}}}
    found = filters["rollout_asked_of"](list(hostvars), hostvars)
    assert found["following"] == ["r/web:rollout-00-the-tag-of-the-release"]
    assert (found["fixed"], found["refresh"], found["refusal"]) == (fixed, fixed, refusal)
    assert found["floating"] == ([] if fixed else ["postgres:17"])


def test_what_an_earlier_run_left(filters):
    assert filters["rollout_said"](["h1", "h2"], {"h1": {}, "h2": {}}) == []
    left = {"h1": {"lock_fleet": {}, "rollout_run": "r1"}, "h2": {"lock_own": {}, "lock_fleet": {}, "rollout_result": {}}}
    assert filters["rollout_said"](["h1", "h2"], left) == ["lock_fleet", "lock_own", "rollout_result"]


def test_since(filters):
    began = filters["rollout_since"](0)
    assert began > 0
    assert 0 <= filters["rollout_since"](began) < 60


def test_what_a_drill_could_not_tell(filters):
    hostvars = {"h1": {"drill_metrics": {"msg": "B."}, "report_metrics": {"msg": "A."}}}
    assert filters["rollout_aftermath"](["h1"], hostvars, "drill") == ["h1 has no metrics of this run: B."]


def test_the_ledgers_of_the_hosts_whose_lock_a_drill_holds(filters):
    hostvars = {"h1": {"drill_lock": {"host": {"ledger": {"known": []}}}}, "h2": {"drill_lock": {"failed": True}}, "h3": {}}
    assert filters["rollout_ledgers"](["h1", "h2", "h3"], hostvars) == {"h1": {"known": []}}


def test_a_drill(filters):
    done = {
        "rows": [{"stack": "", "service": "", "what": "release", "state": "proven", "found": "whole", "log": "", "seconds": 1.0}]
    }
    found = filters["rollout_drill"](["h1", "h2"], {"h1": {"drill_done": {**done, "release": "sha-aaaaaaa"}}, "h2": {}})
    assert found["hosts"] == {"h1": True, "h2": False}
    assert "h2: it was not drilled" in found["screen"]


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
    assert [filters["rollout_result"](host, hostvars) for host in hosts] == [one or {} for one in found]
    nothing = {**dict.fromkeys(("quiet", "restore", "crossing", "stays", "backup"), False), "jobs": []}
    state = {"failed": failed, "ready": ready, "changed": changed, "settled": settled, **nothing, "must_revert": back}
    assert filters["rollout_state"](hosts, hostvars) == state
    # A host that is gone without a word may have been switched.
    assert filters["rollout_state"](hosts, hostvars, ["h9"]) == {**state, "failed": True, "ready": False, "must_revert": True}


@pytest.fixture
def asked(load, monkeypatch):
    """Ask for the hosts of a playbook's first play, with what was typed."""
    plugin = load("plugins/filter/rollout.py")

    groups, hostvars = {"web": ["h2"], "all": ["h1", "h2"]}, {}

    def ask(playbook="rollout.yml", typed=None, hosts=("h1",), stdout="progress", waves=None, **arguments):
        hostvars.update({"h2": {"rollout_waves": waves}} if waves else {})
        monkeypatch.setattr(plugin.context, "CLIARGS", {"args": [playbook], **arguments})
        monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: typed or {})
        monkeypatch.setattr(plugin.constants, "DEFAULT_STDOUT_CALLBACK", stdout)
        return plugin.rollout_asked({"backend": ["h1"], "cpu_workers": [], **groups}, playbook, hostvars, hosts)

    return ask


def test_a_terminal_breaks_a_refusal_between_words(asked, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        asked(tags=["x"])
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 60
    assert "--tags would run a part of rollout.yml" in " ".join(said.split())


def test_a_playbook_that_takes_any_inventory_needs_no_group(load, monkeypatch, capsys):
    plugin = load("plugins/filter/rollout.py")
    monkeypatch.setattr(plugin.context, "CLIARGS", {"args": ["playbooks/adopt.yml"]})
    typed = {"project": "shop", "into": "x", "overwrite": "true"}
    monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: typed)
    assert plugin.rollout_anywhere("adopt.yml", {"all": ["h1"]}, ["h1"]) == "all"
    typed.update(projekt="shop")
    with pytest.raises(SystemExit):
        plugin.rollout_anywhere("adopt.yml", {"all": ["h1"]}, ["h1"])
    assert capsys.readouterr().out == "projekt is not known: is it project that you mean?\n"


def test_what_may_begin_has_its_hosts(asked):
    assert asked(typed={"rollout_keep": 3, "sha": "abc1234"}) == "backend"
    assert asked("status.yml", typed={"format": "json"}) == "backend"
    assert asked(waves=["web", "backend"], hosts=("h2",)) == "web:backend"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"tags": ["x"]}, "--tags would run a part of rollout.yml"),
        ({"start_at_task": "x"}, "--start-at-task would run"),
        ({"skip_tags": ["always"]}, "--skip-tags would run"),
        ({"typed": {"rollout_kep": 3}}, "rollout_kep is not known: is it rollout_keep that you mean?"),
        # --limit leaves a host of no wave.
        ({"hosts": ["h2"]}, "has no host in the groups backend, cpu_workers, gpu_workers"),
        ({"waves": ["webb", "workers"], "hosts": ["h2"]}, "has no host in the groups webb, workers:"),
        ({"waves": ["all"], "hosts": ["h2"]}, "rollout_waves is all: expected the names of one to six groups"),
    ],
)
@pytest.mark.parametrize("stdout", ["progress", "ansible.posix.json"])
def test_what_may_not_begin_ends_ansible(asked, capsys, given, sentence, stdout):
    with pytest.raises(SystemExit) as end:
        asked(**given, stdout=stdout)
    assert end.value.code == 2
    told = capsys.readouterr()
    said, other = (told.err, told.out) if "json" in stdout else (told.out, told.err)
    assert said.startswith("ROLLOUT REFUSED: nothing was touched. ")
    assert sentence in said
    assert other == ""


def test_the_plan_has_the_hosts_that_previewed_it(filters):
    row = {"service": "web", "action": "recreate", "why": "image", "old": None, "new": None, "gap": None}
    known = {"action": "rollout", "run": "r1", "release": "new", "services": [row], "to_pull": 0}
    hostvars = {
        "h1": {"rollout_preview": {"preview": {**known, "stable": "old"}, "diff": [{"before": "A=1", "after": "A=2"}]}},
        "h2": {"rollout_preview": {"preview": {**known, "stable": ""}}},
        "h3": {"rollout_preview": {"skipped": True}},
    }
    plan = filters["rollout_plan"](["h1", "h2", "h3"], hostvars, "", False)
    assert plan.startswith("ROLLOUT new, run r1\nh1: old -> new; nothing to pull; 1 line of its files differs")
    assert "\nh2: nothing -> new; " in plan
    assert "h3" not in plan
    assert filters["rollout_plan"](["h1"], hostvars, "", True).endswith("  +A=2\n")
