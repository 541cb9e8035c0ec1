from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.screens import last
from ansible.module_utils.rollout.controller.screens.notes import before, crashed, interrupted, pairs
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain import reference, verdict
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict

RUN = {"action": "rollout", "run": "r1", "release": "sha-bbbbbbb", "check": False}
WEB = {
    "service": "web",
    "action": "recreate",
    "why": "image",
    "torch": None,
    "seconds": 2.34,
    "gap": 2.34,
    "stack": "core",
}
STAYS = {**WEB, "action": "keep"}
OK = {"name": "sha-bbbbbbb", "stable": "sha-aaaaaaa", "changed": True, "services": [WEB]}


def fault(phase, host="h1", **facts):
    return {"phase": phase, "host": host, "msg": "it broke.", **facts}


REVERTED = {**OK, "fault": fault("switch")}


@pytest.mark.parametrize(
    ("results", "lost", "word"),
    [
        ([OK], [], "succeeded"),
        ([OK, {"changed": False}], [], "succeeded"),
        ([{"changed": False}], [], "unchanged"),
        ([{}], [], "unchanged"),
        ([{"fault": fault("plan")}, {}], [], "refused"),
        ([{"fault": fault("stage")}], ["h2"], "refused"),
        ([{"fault": fault("stage")}, REVERTED], [], "reverted"),
        ([REVERTED], [], "reverted"),
        ([{**OK, "fault": fault("settle")}], [], "reverted"),
        ([{**REVERTED, "revert_fault": fault("revert")}], [], "revert failed"),
        ([{**REVERTED, "revert_fault": fault("revert")}], ["h2"], "revert failed"),
        ([OK], ["h2"], "unknown"),
        ([REVERTED], ["h2"], "unknown"),
        ([{**OK, "fault": fault("lost")}], [], "unknown"),
        ([], [], "unknown"),
        ([], ["h1"], "unknown"),
        ([{"fault": fault("plan"), "out": True, "lost": True}], [], "refused"),
        ([{**REVERTED, "out": True, "lost": True}], [], "unknown"),
        ([{**OK, "fault": fault("lost"), "again": True}], [], "reverted"),
        ([{**OK, "fault": fault("lost"), "again": True, "out": True, "lost": True}], [], "unknown"),
        ([{**OK, "fault": fault("lost"), "again": True}, {**OK, "fault": fault("lost")}], [], "unknown"),
        ([{**OK, "fault": fault("switch", fenced="guard"), "out": True}], [], "reverted"),
        ([{**OK, "fault": fault("switch", fenced="run"), "out": True}], [], "unknown"),
        ([OK, {"out": True, "behind": True}], [], "succeeded"),
        ([{}, {"out": True, "behind": True}], [], "unchanged"),
        ([{"changed": False, "fault": fault("settle", idle=True)}, {"changed": False}], [], "refused"),
        ([{"changed": False, "fault": fault("switch", idle=True)}], [], "refused"),
        ([{"changed": True, "fault": fault("settle", idle=True)}], [], "reverted"),
        ([{"changed": False, "fault": fault("settle", idle=True)}, OK], [], "reverted"),
        ([{"changed": False, "fault": fault("settle", idle=True)}], ["h2"], "unknown"),
        # Before the switch: nothing was begun; what writes was stopped; a job ran, here or elsewhere.
        ([{"fault": fault("prepare")}], [], "refused"),
        ([{"fault": fault("prepare"), "begun": "quiet"}], [], "reverted"),
        ([{"fault": fault("prepare")}, {"begun": "quiet"}], [], "reverted"),
        ([{"fault": fault("prepare"), "begun": "job"}], [], "job failed"),
        ([{"fault": fault("prepare")}, {"begun": "job"}], [], "job failed"),
        ([{"fault": fault("prepare"), "begun": "job", "revert_fault": fault("revert")}], [], "revert failed"),
        ([{"fault": fault("prepare"), "begun": "job"}], ["h2"], "unknown"),
        ([{"begun": "job", "switched": True, "fault": fault("switch")}], [], "reverted"),
        ([{**OK, "begun": "job", "switched": True}], [], "succeeded"),
        # What was taken over is confirmed, and nothing of it runs otherwise.
        ([{"changed": True, "adopted": "adopted-2026-12-01", "settled": True}], [], "unchanged"),
        ([{"changed": True, "adopted": "adopted-2026-12-01", "switched": True, "services": [STAYS]}], [], "unchanged"),
        ([{"changed": True, "adopted": "adopted-2026-12-01", "switched": True, "services": [STAYS, WEB]}], [], "succeeded"),
        ([{"changed": True, "adopted": "adopted-2026-12-01"}], [], "succeeded"),
        ([{"changed": True, "adopted": "adopted-2026-12-01", "settled": True}, OK], [], "succeeded"),
    ],
)
def test_verdict(results, lost, word):
    assert verdict.of_run(results, lost) == word
    assert verdict.good(word) == (word in ("succeeded", "unchanged"))


@pytest.mark.parametrize(
    ("results", "lost", "run", "texts"),
    [
        (
            {"h1": OK},
            [],
            {},
            [
                "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
                "sha-aaaaaaa -> sha-bbbbbbb",
                "2.3 s",
                "Run r1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa",
            ],
        ),
        ({"h1": {**OK, "stable": "v1"}}, [], {}, ["To go back: ansible-playbook rollback.yml -e tag=v1"]),
        ({"h1": {**OK, "stable": None}}, [], {}, ["- -> sha-bbbbbbb", "Run r1."]),
        (
            {"h1": {**OK, "changed": False, "stable": "sha-bbbbbbb", "services": []}, "h2": {}},
            [],
            {},
            ["ROLLOUT UNCHANGED: sha-bbbbbbb runs on 2 hosts already. Nothing was restarted."],
        ),
        (
            {"h1": {"fault": fault("plan")}},
            [],
            {},
            [
                "ROLLOUT REFUSED: nothing was touched, what ran before still runs.",
                "On host h1: it broke.",
                "Run r1.",
            ],
        ),
        (
            {"h1": {**REVERTED, "fault": fault("switch", gate="health", release="sha-bbbbbbb", log="one\ntwo")}},
            [],
            {"action": "rollback"},
            [
                "ROLLBACK REVERTED: sha-bbbbbbb did not pass. sha-aaaaaaa runs again, and its gates hold.",
                "On host h1, gate health: it broke.\nThe last lines of its log:\n    one\n    two",
                "Run r1. Fix the release and roll out again; nothing else is needed.",
            ],
        ),
        (
            # A full disk, a killed step: the release may be well.
            {"h1": REVERTED},
            [],
            {},
            [
                "ROLLOUT REVERTED: sha-bbbbbbb could not be rolled out. sha-aaaaaaa runs again, and its gates hold.",
                "Run r1. Fix the cause above and roll out again; nothing else is needed.",
            ],
        ),
        (
            {"h1": {**OK, "stable": "sha-bbbbbbb", "variant": True, "barred": ["PW"]}},
            [],
            {},
            [
                "Run r1. The variant before this one has another PW, and a kept service has the present one, so a rollback to that "
                "variant cannot work."
            ],
        ),
        (
            {
                "h1": {
                    **{**OK, "stable": "sha-bbbbbbb", "variant": True},
                    **{"label": "sha-bbbbbbb (2 of 2, another PORT)", "before": "sha-bbbbbbb (1 of 2, 2026-11-30 20:21)"},
                }
            },
            [],
            {},
            [
                "ROLLOUT SUCCEEDED: sha-bbbbbbb (2 of 2, another PORT) runs on 1 host",
                "The one before is sha-bbbbbbb (1 of 2, 2026-11-30 20:21). To go back: ansible-playbook rollback.yml",
            ],
        ),
        (
            {"h1": {**OK, "barred": ["PW"]}},
            [],
            {},
            ["Run r1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa -e environment=present"],
        ),
        (
            # A worker of the release before that does not end its work.
            {"h1": {**REVERTED, "fault": fault("switch", gate="drain", release="sha-aaaaaaa")}},
            [],
            {},
            [
                "ROLLOUT REVERTED: sha-bbbbbbb could not be rolled out. sha-aaaaaaa runs again, and its gates hold.",
                "Run r1. Fix the cause above and roll out again; nothing else is needed.",
            ],
        ),
        (
            {
                "h1": {
                    **REVERTED,
                    "fault": fault("switch", gate="health", release="sha-bbbbbbb"),
                    "gone": {"phase": "lost", "host": "h1", "msg": "Host h1 cannot be reached."},
                    "lost": True,
                }
            },
            [],
            {},
            ["ROLLOUT UNKNOWN: a host was lost", "On host h1, gate health: it broke.", "On host h1: Host h1 cannot be reached."],
        ),
        (
            {
                "h1": {
                    **OK,
                    "fault": fault("switch", gate="health", release="sha-bbbbbbb"),
                    "guarded": {"phase": "revert", "host": "h1", "msg": "The guard of this host acted."},
                }
            },
            [],
            {},
            ["ROLLOUT REVERTED: sha-bbbbbbb did not pass.", "On host h1: The guard of this host acted."],
        ),
        (
            # Its predecessor has the same name.
            {"h1": {**OK, "stable": "sha-bbbbbbb", "variant": True}},
            [],
            {},
            ["Run r1. To go back: ansible-playbook rollback.yml"],
        ),
        (
            {"h1": {**REVERTED, "stable": None}},
            [],
            {},
            ["It was taken away; there was no stable release to go back to."],
        ),
        (
            {"h1": {**OK, "fault": fault("switch", gate="health", release="sha-bbbbbbb"), "revert_fault": fault("revert")}},
            [],
            {},
            [
                "ROLLOUT REVERT FAILED: sha-bbbbbbb did not pass, and the way back failed too. Somebody must look",
                "The revert failed on host h1: it broke.",
                "Then: ansible-playbook status.yml",
            ],
        ),
        (
            {"h1": OK},
            ["h2", "h3"],
            {},
            [
                "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
                "Lost: h2, h3. What runs there is not known.",
                "Run r1. When it is back: ansible-playbook status.yml, then roll out again.",
            ],
        ),
        (
            {
                "core": {**OK, "fault": fault("switch", "core"), "switched": True},
                "gpu": {**OK, "fault": fault("lost", "gpu"), "lost": True, "out": True, "switched": True},
            },
            [],
            {"timeout": 900},
            [
                "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
                "On hosts core, gpu: it broke.",
                "What runs where:\n  core  sha-aaaaaaa\n  gpu   not known: sha-bbbbbbb, sha-aaaaaaa, or both\n"
                "A host that was switched and not confirmed goes back by itself within 15 min of its switch (its guard is armed).\n"
                "Until then different releases run together: sha-aaaaaaa (core) with an unknown one (gpu).",
            ],
        ),
        (
            {"h1": {**OK, "fault": fault("switch", fenced="run"), "out": True, "switched": True}},
            [],
            {},
            [
                "ROLLOUT UNKNOWN: this run lost its lock, to another run or to somebody who unlocked it, and stopped where it was.",
            ],
        ),
        (
            {"h1": OK, "nas": {"out": True, "behind": True}},
            [],
            {"behind": ["nas"]},
            [
                "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
                "Behind: nas took no part in this run and may run another release; the next run brings it up to date.",
            ],
        ),
        ({"h1": OK}, [], {"notes": ["Found at the start:\n  x"]}, ["\n\nFound at the start:\n  x\n\nRun r1."]),
        (
            {"h1": {**OK, "stable": None, "fault": fault("lost"), "lost": True}},
            [],
            {},
            [
                "The others have no release running.",
            ],
        ),
        (
            {"h1": OK, "h2": OK},
            [],
            {"check": True},
            ["CHECK: the rollout would change h1, h2. Nothing was touched."],
        ),
        (
            {"h1": {}},
            [],
            {"check": True},
            ["CHECK: the rollout would change nothing on h1. Nothing was touched."],
        ),
        ({"h1": {"fault": fault("plan")}}, [], {"release": ""}, ["ROLLOUT REFUSED"]),
        ({"h1": {"fault": fault("stage")}}, [], {"check": True}, ["ROLLOUT REFUSED"]),
    ],
)
def test_screen(results, lost, run, texts):
    screen = last.screen(results, lost, {**RUN, **run})
    for text in texts:
        assert text in screen
    assert "None" not in screen


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"action": "keep", "seconds": 0.0, "gap": None}, "unchanged"),
        ({"action": "keep", "why": "kept: image 16 -> 17"}, "web      kept: image 16 -> 17"),
        ({"action": "create"}, "started"),
        ({"action": "remove"}, "removed"),
        ({"action": "scale", "why": "2 containers instead of 3"}, "scaled (2 containers instead of 3)"),
        ({"torch": {"verdict": "pass", "torch": {"version": "2.5.1+cpu"}}}, "2.5.1+cpu"),
    ],
)
def test_screen_of_services(service, text):
    assert text in last.screen({"h1": {**OK, "services": [{**WEB, **service}]}}, [], RUN)


def test_what_was_waited_for_stands_below_the_table():
    rows = [{**WEB, "drain": "waited 12 s for 1 operation"}, {**WEB, "service": "job", "drain": ""}]
    screen = last.screen({"h1": {**OK, "services": rows}}, [], RUN)
    assert "\n\nweb (h1): waited 12 s for 1 operation.\n\n" in screen
    assert "job (h1)" not in screen


def test_what_differs_of_a_kept_service_is_said_with_the_command_that_brings_it():
    rows = [WEB, {**WEB, "service": "db", "action": "keep", "why": "kept: image 16 -> 17; configuration"}]
    screen = last.screen({"h1": {**OK, "services": rows}}, [], RUN)
    assert (
        "\ndb (h1) is kept, and not as the release has it: image 16 -> 17; configuration. To bring it: ansible-playbook rollout.yml -e "
        "sha=bbbbbbb -e replace=db\n"
    ) in screen
    assert "web (h1) is kept" not in screen


def test_what_is_not_proven_is_said_with_the_command_that_makes_it_anew():
    rows = [{**WEB, "action": "keep", "why": "kept: not proven: ports"}]
    screen = last.screen({"h1": {**OK, "services": rows}}, [], RUN)
    assert (
        "\nweb (h1) ran before, and is not proven to be what its files say (ports). To recreate it: ansible-playbook rollout.yml -e "
        "sha=bbbbbbb -e replace=web\n"
    ) in screen
    assert "is kept" not in screen


def test_what_was_taken_over_is_said_with_the_command_that_brings_it_back():
    mine = {**OK, "adopted": "adopted-2026-12-01"}
    screen = last.screen({"h1": mine, "h2": mine, "h3": OK}, [], RUN)
    assert (
        "\nWhat ran before on h1, h2 is recorded as adopted-2026-12-01. To bring exactly that back: ansible-playbook rollback.yml -e "
        "tag=adopted-2026-12-01\n"
    ) in screen


def test_the_same_release_with_another_configuration():
    result = {**OK, "stable": "sha-bbbbbbb", "services": [{**WEB, "why": "configuration"}]}
    screen = last.screen({"h1": result}, [], RUN)
    assert "restarted (configuration)" in screen
    assert "To go back" not in screen


def test_table_groups_and_leaves_empty_columns_out():
    rows = [["h1", "web", "", "x"], ["h1", "database", "", "y"], ["h2", "web", "", "z"]]
    assert table(["HOST", "SERVICE", "NONE", "VALUE"], rows) == (
        "  SERVICE   VALUE\nh1\n  web       x\n  database  y\nh2\n  web       z"
    )


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ({"verdict": "pass", "torch": {"version": "2.5"}}, "2.5"),
        ({"verdict": "pass", "torch": None}, "absent"),
        ({"verdict": "unknown", "reason": "no_answer"}, "unknown: no_answer"),
        ({}, "None: None"),
    ],
)
def test_torch_column(verdict, text):
    assert torch_verdict.torch_column(verdict) == text


LOST = {**OK, "fault": fault("lost"), "lost": True, "out": True}


@pytest.mark.parametrize(
    ("result", "runs"),
    [
        ({**REVERTED, "switched": True}, "sha-aaaaaaa"),
        ({**LOST, "switched": True}, "?"),
        (LOST, "sha-aaaaaaa"),
        ({**LOST, "switched": True, "stable": "sha-bbbbbbb"}, "sha-bbbbbbb"),
        ({**LOST, "switched": True, "stable": None}, "?"),
        ({**REVERTED, "revert_fault": fault("revert"), "switched": True}, "?"),
        ({"fault": fault("plan")}, "nothing"),
        ({**OK, "fault": fault("switch", fenced="guard"), "switched": True}, "sha-aaaaaaa"),
    ],
)
def test_runs_now(result, runs):
    assert verdict.runs_now({"h1": result}, "sha-bbbbbbb") == {"h1": runs}


@pytest.mark.parametrize(
    ("results", "told"),
    [({"h1": REVERTED, "h2": REVERTED}, False), ({"h1": REVERTED, "h2": {**REVERTED, "stable": "sha-0"}}, True)],
)
def test_what_runs_where_is_told_where_it_differs(results, told):
    assert ("What runs where:" in last.screen(results, [], RUN)) is told


def test_once_another_run_is_in_charge_nothing_is_said_of_what_runs():
    fenced = {**OK, "switched": True, "fault": fault("switch", fenced="run")}
    assert verdict.taken({"h1": OK, "h2": fenced})
    assert not verdict.taken({"h1": OK, "h2": {**OK, "fault": fault("switch", fenced="guard")}})
    assert "What runs where" not in last.screen({"h1": LOST, "h2": fenced}, [], RUN)


@pytest.mark.parametrize(
    ("releases", "text"),
    [
        ({"core": "sha-a"}, "sha-a (core)"),
        ({"core": "sha-a", "b": "sha-b", "gpu": "sha-a"}, "sha-a (core, gpu) with sha-b (b)"),
        ({"core": "sha-a", "gpu": "?"}, "sha-a (core) with an unknown one (gpu)"),
        ({}, ""),
    ],
)
def test_pairs(releases, text):
    assert pairs(releases) == text


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"event": "armed"}, "after its guard was armed, before anything was switched"),
        ({"event": "switching", "service": "web"}, "switching web"),
        ({"event": "reverting", "service": "web"}, "taking web away"),
        ({"event": "switched", "stack": "core"}, "after stack core was switched, before the release was confirmed"),
        ({"event": "switching"}, "switching its services"),
        ({"event": "other"}, "other"),
    ],
)
def test_interrupted(event, what):
    assert interrupted({"run": "r9", "release": "sha-b", **event}) == (f"Interrupted {what}, by run r9 on its way to sha-b.")


@pytest.mark.parametrize(("release", "typed"), [("sha-abc1234", "sha=abc1234"), ("v1", "tag=v1")])
def test_choice(release, typed):
    assert reference.choice(release) == typed


def at_the_start(**facts):
    return {"ledger": {"interrupted": None, "torn": False, "closed": None}, "keeper": "systemd", **facts}


@pytest.mark.parametrize(
    ("infos", "taken", "empty", "timeout", "notes"),
    [
        ({"h1": at_the_start()}, [], [], 900, []),
        ({}, ["Taken.", "Taken."], ["Empty."], 900, ["Found at the start:\n  Taken.", "Empty."]),
        (
            {"h1": at_the_start(keeper="process"), "h2": at_the_start(keeper="process"), "h3": at_the_start(keeper="nobody")},
            [],
            [],
            900,
            [
                "The guard of h1, h2 is a plain process: it does not survive a reboot. ansible-playbook playbooks/prepare.yml installs "
                "the systemd unit that does.",
                "h3 has no systemd: the guard is a plain process and does not survive a reboot.",
            ],
        ),
        ({"h1": at_the_start(keeper="nobody"), "h2": at_the_start(keeper="process")}, [], [], 0, []),
        (
            {"h1": at_the_start(ledger={"interrupted": {"event": "armed", "run": "r9"}, "torn": False})},
            [],
            [],
            900,
            [
                "Found at the start:\n  h1: Interrupted after its guard was armed, before anything was switched, by run r9 on its way "
                "to ?."
            ],
        ),
        # The lock is this run's own by then, and a guard waits for the run that this one replaces.
        (
            {"h1": at_the_start(lock={"run": "r1", "who": "x", "quiet": 1}, guard={"run": "r9", "alive": True, "fires_in": 5})},
            [],
            [],
            900,
            [],
        ),
    ],
)
def test_before(infos, taken, empty, timeout, notes):
    assert before(infos, taken, empty, timeout) == notes


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ({"changed": True, "released": "run r1 of a@b, since t"}, "h1: the lock of run r1 of a@b, since t, was removed."),
        ({"changed": False, "released": ""}, "h1: no lock."),
        ({"unreachable": True, "msg": "no route"}, "h1: not removed. no route"),
        ({"failed": True, "msg": "not writable."}, "h1: not removed. not writable."),
    ],
)
def test_unlock_screen(task, line):
    after = "What runs there: ansible-playbook status.yml"
    if task.get("released"):
        after = f"An armed guard stays armed. {after}. Then roll out or roll back again."
    assert last.unlock_screen({"h1": task}) == f"{line}\n\n{after}"


def test_what_went_wrong_on_several_hosts_is_told_once():
    twice = {host: {"fault": {**fault("plan", host), "gate": "health"}} for host in ("h1", "h2", "h1")}
    other = {"h3": {"fault": fault("plan", "h3"), "revert_fault": fault("revert", "h3")}}
    said = last.screen({**twice, **other}, [], {"action": "rollout", "run": "r1"})
    assert "On hosts h1, h2, gate health: it broke.\n\nOn host h3: it broke.\n\nThe revert failed on host h3: it broke." in said


@pytest.mark.parametrize(
    ("touched", "head"),
    [
        (False, "ROLLBACK REFUSED: nothing was touched, what ran before still runs."),
        (True, "ROLLBACK ENDED EARLY: what runs now, ansible-playbook status.yml says."),
    ],
)
def test_a_run_that_ends_before_its_verdict(touched, head):
    errors = {"h1": "It broke.", "h2": "No route.", "h3": "It broke."}
    assert last.ended_early("rollback", errors, touched) == f"{head}\n\nOn hosts h1, h3: It broke.\n\nOn host h2: No route."


def test_screen_of_a_run_that_lost_every_host():
    assert "ROLLOUT UNKNOWN" in last.screen({}, ["h1"], {"action": "rollout", "run": "r1"})


@pytest.mark.parametrize(
    ("results", "lost", "title", "body", "kind"),
    [
        (
            {"h1": OK},
            [],
            "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
            "Run r1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa",
            "success",
        ),
        (
            {"h1": {"fault": fault("plan")}, "nas": {"out": True, "behind": True}},
            [],
            "ROLLOUT REFUSED: nothing was touched, what ran before still runs.",
            "On host h1: it broke.\n\nRun r1.",
            "warning",
        ),
        (
            {
                "h1": {
                    **REVERTED,
                    "fault": fault("switch", gate="health", release="sha-bbbbbbb", log="a line that may say too much"),
                }
            },
            [],
            "ROLLOUT REVERTED: sha-bbbbbbb did not pass. sha-aaaaaaa runs again, and its gates hold.",
            "On host h1, gate health: it broke.\n\nRun r1. Fix the release and roll out again; nothing else is needed.",
            "failure",
        ),
        (
            {"h1": OK},
            ["h2"],
            "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
            "Lost: h2.\n\nRun r1. When it is back: ansible-playbook status.yml, then roll out again.",
            "failure",
        ),
    ],
)
def test_message(results, lost, title, body, kind):
    assert last.message(results, lost, RUN) == {"title": title, "body": body, "kind": kind}


def test_what_had_crashed_before_a_run_is_told():
    """The run may come back to it, and its gates may hold for once."""
    rows = [{"service": "web", "restarts": 4}, {"service": "job", "restarts": 1}, {"service": "db"}]
    assert crashed("h1", rows, "sha-aaaaaaa") == [
        "h1: on sha-aaaaaaa, the release before this run, services had crashed and were restarted: web 4 times, job once. Going back "
        "to it fixes nothing."
    ]
    assert crashed("h1", rows[2:], "sha-aaaaaaa") == crashed("h1", rows, "") == crashed("h1", [], "v1") == []


@pytest.mark.parametrize(
    ("older", "others", "said"),
    [
        (
            ["sha-aaaaaaa", "v1"],
            ["v1", "sha-aaaaaaa", "v0"],
            "Older stable releases: sha-aaaaaaa, v1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa",
        ),
        (["v2", "v1"], ["v1"], "Older stable releases: v1. To go back: ansible-playbook rollback.yml -e tag=v1"),
        (
            ["v1"],
            [],
            "No older stable release is there to go back to: find the cause in the log, or roll another release out.",
        ),
        ([], [], "No older stable release is there to go back to: find the cause in the log, or roll another release out."),
    ],
)
def test_a_stable_release_that_has_become_sick(older, others, said):
    """Nothing was switched, so nothing could be reverted, and no revert could fail."""
    sick = fault("settle", gate="health", service="web", stack="core", idle=True, log="no licence")
    stays = {"name": "sha-bbbbbbb", "stable": "sha-bbbbbbb", "changed": False, "services": []}
    hosts = {"h1": {**stays, "fault": sick, "older": older}, "h2": {**stays, "older": others}}
    screen = last.screen(hosts, [], RUN)
    assert screen.startswith(
        "ROLLOUT REFUSED: sha-bbbbbbb is the stable release already, and it is sick by itself. Nothing was switched."
    )
    assert screen.endswith(f"Run r1. {said}")
    assert "no licence" in screen
    assert last.message(hosts, [], RUN)["kind"] == "failure"


def test_a_long_message_is_cut():
    body = last.message({"h1": {"fault": {**fault("plan"), "msg": "x" * 9000}}}, [], RUN)["body"]
    assert (len(body), body[-1]) == (1500, "…")


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({}, []),
        ({"notification": {"skipped": True, "msg": "skipped"}, "metrics": {"skipped": True}}, []),
        ({"notification": {"sent": 1, "unsent": []}, "metrics": {"path": "/x"}}, []),
        ({"notification": {"sent": 0, "unsent": ["A.", "B."]}}, ["Not notified: A.", "Not notified: B."]),
        ({"notification": {"msg": "Unexpected: a defect."}}, ["Not notified: Unexpected: a defect."]),
        (
            {"metrics": {"msg": "No space."}},
            ["h1 has no metrics of this run: No space.", "h2 has no metrics of this run: No space."],
        ),
    ],
)
def test_aftermath(tasks, said):
    assert last.aftermath({"h1": tasks, "h2": tasks}) == said


def test_several_faults_of_a_host_stand_in_a_line_each():
    assert last._fault({"msg": "a is wrong.\nb is too."}, log=True) == ":\n  a is wrong.\n  b is too."
    assert last._fault({"msg": "a is wrong."}, log=True) == ": a is wrong."


JOB_FAILED = {
    **{"stable": "sha-aaaaaaa", "begun": "job", "quiet": [{"stack": "core", "service": "web"}]},
    "fault": fault("prepare", gate="job", service="migrate", log="boom", msg="Job migrate failed."),
}


@pytest.mark.parametrize(
    ("quiet", "now"), [(True, "sha-aaaaaaa runs again, and its gates hold"), (False, "sha-aaaaaaa still runs")]
)
def test_a_job_that_failed(quiet, now):
    result = JOB_FAILED if quiet else {**JOB_FAILED, "quiet": []}
    assert last.screen({"h1": result}, [], RUN) == (
        f"ROLLOUT JOB FAILED: sha-bbbbbbb was not switched to, because its job failed. {now}.\n\n"
        "On host h1, gate job: Job migrate failed.\nThe last lines of its log:\n    boom\n\n"
        "Run r1. Fix what the job needs and roll out again; nothing else is needed."
    )
    assert last.message({"h1": result}, [], RUN)["kind"] == "failure"


def test_jobs_that_ran_and_what_was_saved_before_them():
    job = {"stack": "core", "job": "migrate", "code": 0, "seconds": 2.25, "log": "done"}
    saved = {"backup": "db-1", "stack": "core", "service": "db", "bytes": 1_200_000_000}
    said = last.screen({"h1": {**OK, "ran": [job], "saved": [saved], "begun": "job"}}, [], RUN)
    assert "  migrate  ran, 2.2 s" in said
    assert "db (h1): backed up as db-1 (1.2 GB)." in said
