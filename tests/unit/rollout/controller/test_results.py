from __future__ import annotations

import copy

import pytest
from ansible.module_utils.rollout.controller import results
from hypothesis import given
from hypothesis import strategies as st

WEB = {"service": "web", "action": "recreate", "why": "image", "stack": "core"}
OK = {"name": "sha-bbbbbbb", "stable": "sha-aaaaaaa", "changed": True, "services": [WEB]}


def fault(phase, host="h1", **facts):
    return {"phase": phase, "host": host, "msg": "it broke.", **facts}


REVERTED = {**OK, "fault": fault("switch")}


@pytest.mark.parametrize(
    ("phase", "failed", "wanted"),
    [
        ("stage", {"msg": "no disk", "failed": True}, fault("stage") | {"msg": "no disk"}),
        ("lost", "it became unreachable", fault("lost") | {"msg": "it became unreachable"}),
        ("plan", {"failed": True}, fault("plan") | {"msg": "failed without a message"}),
        (
            "plan",
            {"msg": "Missing sudo password", "failed": True},
            fault("plan") | {"msg": "Missing sudo password. Sudo wants a password on this host: add --ask-become-pass."},
        ),
        (
            "switch",
            {
                "msg": "One or more items failed",
                "results": [
                    {"msg": "well"},
                    {
                        "failed": True,
                        "msg": "web: no",
                        "gate": "health",
                        "service": "web",
                        "stack": "core",
                        "log": "l",
                        "x": 1,
                    },
                ],
            },
            fault("switch", gate="health", service="web", stack="core", log="l") | {"msg": "web: no"},
        ),
        (
            "plan",
            {"msg": "Validation failed", "argument_errors": ["a is no int", "b"]},
            fault("plan") | {"msg": "a is no int; b. docs/inventory.md and docs/operations.md say what may be set."},
        ),
    ],
)
def test_with_fault(phase, failed, wanted):
    assert results.with_fault({"name": "n"}, phase, "h1", failed) == {"name": "n", "fault": wanted}


@pytest.mark.parametrize("failed", [None, {}, ""])
def test_a_host_that_failed_because_another_one_did_has_no_fault_of_its_own(failed):
    assert results.with_fault({"name": "n"}, "plan", "h1", failed) == {"name": "n"}


CUT = {"unreachable": True, "msg": "Connection refused"}
LOST = {"phase": "lost", "host": "h1", "msg": "it became unreachable"}
REFUSED = (
    "Host h1 cannot be reached: Connection refused. Advice: it is there, but no SSH server answers on that port: check ansible_port "
    "and sshd."
)


@pytest.mark.parametrize("failed", [CUT, {"msg": "All items completed", "results": [{"changed": True}, CUT]}])
@pytest.mark.parametrize(
    ("phase", "noted"), [("plan", "plan"), ("stage", "stage"), ("switch", "lost"), ("settle", "lost"), ("revert", "lost")]
)
def test_a_host_that_cannot_be_reached_is_out(failed, phase, noted):
    assert results.with_fault({"name": "n"}, phase, "h1", failed) == {
        "name": "n",
        "fault": {"phase": noted, "host": "h1", "msg": REFUSED},
        "out": True,
        "lost": True,
    }


def test_a_host_whose_engine_went_away_first_is_called_lost():
    first = {"fault": {"phase": "switch", "host": "h1", "msg": "Listing containers failed: EOF."}}
    found = results.with_fault(first, "revert", "h1", CUT)
    assert found == {
        "fault": {"phase": "lost", "host": "h1", "msg": f"{REFUSED} Before that it said: Listing containers failed: EOF."},
        "out": True,
        "lost": True,
    }
    assert results.with_fault(found, "revert", "h1", CUT) == found


def test_a_host_that_was_lost_behind_a_gate_that_failed_there_is_called_lost_too():
    first = {"fault": fault("switch", gate="health")}
    found = results.with_fault(first, "revert", "h1", CUT)
    assert found == {**first, "gone": {"phase": "lost", "host": "h1", "msg": REFUSED}, "out": True, "lost": True}


@pytest.mark.parametrize("phase", ["switch", "settle", "revert"])
def test_a_guard_that_proved_nothing_is_a_way_back_that_failed(phase):
    task = {"failed": True, "msg": "it broke.", "fenced": "guard", "unproven": "Service web does not pass."}
    found = results.with_fault({}, phase, "h1", task)
    assert found["fault"] == fault(phase, fenced="guard")
    assert found["revert_fault"] == {"phase": "revert", "host": "h1", "msg": "Service web does not pass."}
    assert found["out"]


def test_what_the_guard_did_is_told_beside_what_the_run_saw_first():
    first = {"fault": fault("switch", gate="health")}
    found = results.with_fault(first, "revert", "h1", {"failed": True, "msg": "The guard acted.", "fenced": "guard"})
    assert found == {**first, "guarded": {"phase": "revert", "host": "h1", "msg": "The guard acted."}, "out": True}
    assert results.with_fault(first, "revert", "h1", {"failed": True, "msg": "x", "fenced": "run"}) == {**first, "out": True}


@pytest.mark.parametrize("fenced", ["run", "guard"])
@pytest.mark.parametrize("phase", ["switch", "settle", "revert"])
def test_a_host_that_is_fenced_is_out_and_its_revert_did_not_fail(phase, fenced):
    found = results.with_fault({}, phase, "h1", {"failed": True, "msg": "it broke.", "fenced": fenced})
    assert found == {"fault": fault(phase, fenced=fenced), "out": True}


@pytest.mark.parametrize(
    ("task", "failed"),
    [
        ({}, False),
        ({"skipped": True}, False),
        ({"changed": True, "results": [{"changed": True}]}, False),
        ({"failed": True}, True),
        ({"unreachable": True}, True),
        ({"results": [{}, {"failed": True}]}, True),
        ({"results": [{"unreachable": True}]}, True),
    ],
)
def test_failed_and_noted(task, failed):
    assert results.failed(task) is failed
    before = {"name": "n"}
    found = results.noted(before, "switch", "h1", task)
    assert ("fault" in found) is failed
    assert before == {"name": "n"}


def test_what_a_delegated_task_met_says_nothing_of_the_host_that_asked():
    assert results.noted({}, "switch", "h1", CUT, True) == {
        "fault": {"phase": "lost", "host": "h1", "msg": REFUSED},
        "out": False,
        "lost": False,
    }
    assert results.noted({"out": True}, "plan", "h1", {"failed": True, "msg": "held"}, True)["out"]


@pytest.mark.parametrize(
    ("task", "optional", "wanted"),
    [
        ({}, [], {}),
        ({"skipped": True}, ["h1"], {}),
        (CUT, ["h1"], {"out": True, "behind": True}),
        ({"failed": True, "msg": "held"}, ["h1"], {"fault": {"phase": "plan", "host": "h1", "msg": "held"}}),
        (
            CUT,
            ["h2"],
            {
                "fault": {
                    "phase": "plan",
                    "host": "h1",
                    "msg": REFUSED + """ To roll out without it: -e '{"rollout_optional_hosts": ["h1"]}'.""",
                },
                "out": True,
                "lost": True,
            },
        ),
    ],
)
def test_present(task, optional, wanted):
    assert results.present({}, "h1", task, optional) == wanted


def test_the_first_fault_stays_and_a_revert_does_not_hide_it():
    first = results.with_fault({}, "switch", "h1", "one")
    assert results.with_fault(first, "switch", "h1", "two")["fault"]["msg"] == "one"
    both = results.with_fault(first, "revert", "h1", "three")
    assert (both["fault"]["msg"], both["revert_fault"]["msg"]) == ("one", "three")


@pytest.mark.parametrize(
    ("stable", "changed"),
    [(None, True), ({"name": "n.2", "release": "n"}, True), ({"name": "n", "release": "n"}, False)],
)
def test_with_staged(stable, changed):
    found = results.with_staged(
        {"x": 1}, {"name": "n", "changed": True}, {"ledger": {"stable": stable}}, "h1", {"preview": {"settled": True}}
    )
    assert found == {
        "x": 1,
        "name": "n",
        "staged": True,
        "settled": True,
        "to_pull": 0,
        "stable": stable and "n",
        "changed": changed,
        "services": [],
    }


def test_the_older_stable_releases_of_a_host():
    known = [{"name": name, "release": name.partition(".")[0]} for name in ("a", "b", "c", "b.2")]
    ledger = {"stable": known[2], "known": known}
    assert results.with_staged({}, {"name": "c"}, {"ledger": ledger}, "h1", {})["older"] == ["b", "a"]


def test_a_restore_changes_something_although_the_release_stays():
    ledger = {"stable": {"release": "r", "name": "n"}, "interrupted": None}
    row = {"backup": "db-1", "stack": "core", "service": "db"}
    seen = {"preview": {"release": "r", "restore": [row]}}
    found = results.with_staged({}, {"name": "n"}, {"ledger": ledger}, "h1", seen)
    assert (found["changed"], found["restore"]) == (True, [row])
    assert results.with_staged({}, {"name": "n"}, {"ledger": ledger}, "h1", {})["changed"] is False


def test_an_interrupted_run_is_closed_even_where_its_release_is_the_stable_one():
    ledger = {"stable": {"name": "n", "release": "n"}, "interrupted": {"event": "switching"}}
    assert results.with_staged({}, {"name": "n"}, {"ledger": ledger}, "h1", {})["changed"] is True


def test_a_host_that_was_lost_while_staging():
    assert results.with_staged({"x": 1}, CUT, {}, "h1", {}) == {
        "x": 1,
        "fault": {"phase": "stage", "host": "h1", "msg": REFUSED},
        "out": True,
        "lost": True,
    }


def test_with_settled():
    switched = {"services": [WEB]}
    seen = {"services": [{"service": "web", "action": "keep", "stack": "core"}]}
    assert results.with_settled(switched, "h1", seen) == switched, "the last look does not hide what was done"
    assert results.with_settled({"services": []}, "h1", seen) == seen
    assert results.with_settled({}, "h1", {"failed": True, "msg": "no"})["fault"]["phase"] == "settle"
    seen["services"][0]["restarts"] = 3
    assert results.with_settled(switched, "h1", seen)["services"] == [{**WEB, "restarts": 3}], "but says how often it crashed"


def test_with_switched():
    result = {"changed": False, "services": []}
    job = {"service": "job", "action": "create", "stack": "workers"}
    found = results.with_switched(result, {"changed": True, "services": [job], "earlier": [WEB]}, "h1")
    assert found == {"changed": True, "services": [WEB, job], "switched": True}
    kept = {**job, "action": "keep"}
    assert not results.with_switched(result, {"changed": False, "services": [kept], "earlier": []}, "h1")["changed"]
    # What an earlier wave changed stays changed.
    assert results.with_switched(result, {"changed": False, "services": [kept], "earlier": [WEB]}, "h1")["changed"]
    assert results.with_switched(result, {"skipped": True}, "h1") == result


def test_a_host_that_was_lost_while_switching_keeps_what_was_done_before():
    found = results.with_switched({"changed": False, "services": []}, {**CUT, "earlier": [WEB]}, "h1")
    assert (found["changed"], found["switched"], found["lost"], found["fault"]["phase"]) == (True, True, True, "lost")
    assert found["services"] == [WEB]


@pytest.mark.parametrize(
    ("found", "must"),
    [
        ([], False),
        ([OK], False),
        ([{"fault": fault("stage")}], False),
        ([OK, REVERTED], True),
        ([{"fault": fault("lost")}], True),
        ([{"fault": fault("switch", fenced="guard")}], True),
        ([{"fault": fault("switch", fenced="run")}], False),
        ([{"fault": fault("switch", fenced="run")}, REVERTED], False),
        # Before the switch: only once something was begun, on any host.
        ([{"fault": fault("prepare")}, {}], False),
        ([{"fault": fault("prepare"), "begun": "quiet"}], True),
        ([{"fault": fault("prepare")}, {"begun": "job"}], True),
        ([{"fault": fault("prepare", fenced="run"), "begun": "job"}], False),
        # The stable release is sick, and no host was switched.
        ([{"fault": fault("settle", idle=True)}, {}], False),
        ([{"fault": fault("settle", idle=True)}, OK], True),
        ([{"fault": fault("settle", idle=True)}, {"fault": fault("settle")}], True),
        ([{"fault": fault("settle", idle=True)}, {"fault": fault("lost"), "lost": True}], True),
    ],
)
def test_must_revert(found, must):
    assert results.must_revert(found) is must


def test_hosts_that_were_lost_without_a_word_are_a_reason_to_go_back():
    assert results.must_revert([OK], ["h2"])
    assert results.must_revert([{"fault": fault("settle", idle=True)}], ["h2"])
    assert not results.must_revert([OK, {"fault": fault("switch", fenced="run")}], ["h2"])


BEGUN = {"rollout_run": "r1", "rollout_first": "h1", "rollout_optional": ["h3"]}
STABLE = {"name": "old", "release": "old"}
HELD = {"taken_over": "", "host": {"ledger": {"stable": STABLE}, "engine": {"id": "E"}}}
PREVIEW = {"name": "new", "changed": True, "ready": False, "preview": {"settled": False}}
STAGED = {"name": "new", "changed": True, "to_pull": 7}
SKIPPED = {"changed": False, "skipped": True}
BROKE = {"failed": True, "msg": "it broke."}
# What each step of a good rollout registers on a host that is not the first one.
GOOD = {
    "lock_fleet": HELD,
    "lock_own": HELD,
    "rollout_target": {"release": "new"},
    "rollout_preview": PREVIEW,
    "rollout_staged": STAGED,
    "lock_renewed": {"changed": True},
    "switch_done": {"changed": True, "services": [WEB], "earlier": []},
    "settle_gates": {"changed": False, "services": [{**WEB, "action": "keep"}]},
    "settle_confirmed": {"changed": True, "removed": []},
}
NEW = {"name": "new", "staged": True, "settled": False, "to_pull": 7, "stable": "old", "changed": True, "services": []}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({}, {}),
        ({"lock_fleet": HELD, "lock_own": HELD, "rollout_target": {"release": "new"}}, {}),
        # Until staging has ended nothing is known of it.
        ({"rollout_preview": PREVIEW}, {}),
        ({k: GOOD[k] for k in list(GOOD)[:5]}, NEW),
        (GOOD, {**NEW, "services": [WEB], "switched": True}),
        # It was there before: nothing to stage.
        (
            {
                "lock_own": HELD,
                "rollout_preview": {**PREVIEW, "name": "old", "changed": False, "ready": True},
                "rollout_staged": SKIPPED,
            },
            {**NEW, "name": "old", "staged": False, "to_pull": 0, "changed": False},
        ),
        # The same where it was there on every host: then nobody was asked to stage.
        (
            {"lock_own": HELD, "rollout_preview": {**PREVIEW, "name": "old", "changed": False, "ready": True}},
            {**NEW, "name": "old", "staged": False, "to_pull": 0, "changed": False},
        ),
        ({"rollout_preview": {**BROKE, "ready": True}}, {"fault": fault("stage", "h2")}),
        # A check says what would be staged.
        ({"lock_own": HELD, "rollout_preview": {**PREVIEW, "to_pull": 5}, "rollout_staged": SKIPPED}, {**NEW, "to_pull": 5}),
        ({"rollout_preview": PREVIEW, "rollout_staged": BROKE}, {"fault": fault("stage", "h2")}),
        ({"lock_fleet": BROKE, "lock_own": SKIPPED}, {"fault": fault("plan"), "out": False, "lost": False}),
        # What cannot begin, nobody was asked.
        ({"rollout_problem": "it broke.", "lock_fleet": SKIPPED, "lock_own": SKIPPED}, {"fault": fault("plan", "h2")}),
        ({**GOOD, "rollout_problem": ""}, {**NEW, "services": [WEB], "switched": True}),
        # A run's only host is proven and confirmed by one step.
        (
            {**GOOD, "settle_gates": {**GOOD["settle_gates"], **GOOD["settle_confirmed"]}, "settle_confirmed": {}},
            {**NEW, "services": [WEB], "switched": True},
        ),
        ({**GOOD, "rollout_result": {"fault": fault("revert")}}, {"fault": fault("revert")}),
    ],
)
def test_what_a_host_has_come_to(said, wanted):
    assert results.of_host("h2", {**BEGUN, **said}) == wanted


@pytest.mark.parametrize(
    ("step", "phase", "host"),
    [
        ("lock_fleet", "plan", "h1"),
        ("lock_own", "plan", "h2"),
        ("rollout_target", "plan", "h1"),
        ("rollout_preview", "stage", "h2"),
        ("rollout_staged", "stage", "h2"),
        ("lock_renewed", "switch", "h1"),
        ("switch_done", "switch", "h2"),
        ("settle_gates", "settle", "h2"),
        ("settle_confirmed", "settle", "h2"),
    ],
)
def test_each_step_that_fails_is_the_fault_of_its_phase(step, phase, host):
    before = {name: GOOD[name] for name in list(GOOD)[: list(GOOD).index(step)]}
    found = results.of_host("h2", {**BEGUN, **before, step: BROKE})
    assert found["fault"] == fault(phase, host)
    lost = results.of_host("h2", {**BEGUN, **before, step: CUT})
    assert lost["fault"]["phase"] == (phase if phase in results.BEFORE_SWITCH else "lost")
    # Only a host that was asked itself is out.
    assert lost["out"] is (host == "h2")


KIND = "argument 'rollout_keep' is of type str and we were unable to convert to int: <class 'str'> cannot be converted to an int"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"msg": "No such file."}, "No such file."),
        ({}, "failed without a message"),
        ({"msg": None}, "failed without a message"),
        (
            {
                "msg": "Validation of arguments failed:\n…",
                "argument_errors": [KIND, "missing required arguments: rollout_stacks"],
            },
            "rollout_keep is not of the type int; missing required arguments: rollout_stacks. docs/inventory.md and "
            "docs/operations.md say what may be set.",
        ),
        (
            {
                "msg": "Task failed: Finalization of task args for 'release' failed: Error while resolving value for 'sources': The "
                "lookup plugin 'stack_source' failed: Stack a (/x): one.\nStack b (/y): two."
            },
            "Stack a (/x): one.\nStack b (/y): two.",
        ),
        (
            {"msg": "Task failed: 'ktrdr_host' is undefined"},
            "'ktrdr_host' is undefined: define it in the inventory or with -e, or correct what refers to it.",
        ),
        # What only ends like it.
        (
            {"msg": "Service web: its log says that 'x' is undefined here."},
            "Service web: its log says that 'x' is undefined here.",
        ),
        (
            {"msg": "sudo: a password is required"},
            "sudo: a password is required. Sudo wants a password on this host: add --ask-become-pass.",
        ),
    ],
)
def test_a_failed_task_as_a_sentence(task, said):
    assert results.sentence(task) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("many", "rollout_keep is 'many': not of the type int"),
        (True, "rollout_keep is True: not of the type int"),
        # It may hold more than its name says.
        ({"password": "p"}, "rollout_keep is not of the type int"),
    ],
)
def test_a_value_of_another_type_is_told(value, said):
    refused = {"msg": "Validation of arguments failed", "argument_errors": [KIND]}
    assert results.sentence(refused, {"rollout_keep": value}).startswith(said + ". docs/")


@pytest.mark.parametrize("name", ["rollout_stacks", "rollout_registry_password", "rollout_notify_urls"])
@pytest.mark.parametrize("what", ["argument", "Elements value for option"])
def test_a_value_that_may_be_secret_is_not_told(name, what):
    error = f"{what} '{name}' is of type <class 'str'> and we were unable to convert to dict: 'canary' is not one"
    refused = {"msg": "Validation of arguments failed", "argument_errors": [error]}
    assert results.sentence(refused, {name: "canary"}).startswith(f"{name} is not of the type dict. docs/")


def test_variables_are_asked_for_where_arguments_were_refused():
    class Play:
        """As Ansible has it."""

        def get_variable_manager(self):
            return self

        def get_vars(self, play, host):
            assert play is self
            return {"host": host}

    assert results.variables(Play(), "h1", {"argument_errors": [KIND]}) == {"host": "h1"}
    assert results.variables(Play(), "h1", {"msg": "no"}) == {}
    assert results.variables(None, "h1", {"argument_errors": [KIND]}) == {}


def test_an_optional_host_that_is_down_is_behind_and_nothing_more():
    said = {"lock_fleet": HELD, "lock_own": CUT, "rollout_target": {"release": "new"}, "rollout_preview": SKIPPED}
    assert results.of_host("h3", {**BEGUN, **said, "rollout_staged": SKIPPED, "switch_done": SKIPPED}) == {
        "out": True,
        "behind": True,
    }


@given(st.lists(st.sampled_from(list(GOOD)), unique=True), st.sampled_from([BROKE, CUT, SKIPPED]), st.integers(0, len(GOOD)))
def test_whatever_was_said_the_first_fault_is_told_and_nothing_is_changed(absent, last, count):
    names = [name for name in GOOD if name not in absent][:count]
    said = {**BEGUN, **{name: GOOD[name] for name in names[:-1]}, **{name: last for name in names[-1:]}}
    before = copy.deepcopy(said)
    found = results.of_host("h2", said)
    assert said == before
    assert bool(found.get("fault")) is (bool(names) and last != SKIPPED)
    assert results.of_host("h2", {**said, "rollout_result": found}) == found


@pytest.mark.parametrize(
    ("host", "said", "wanted"),
    [
        ("h1", {"lock_fleet": HELD, "lock_own": SKIPPED}, HELD["host"]),
        ("h2", {"lock_fleet": {"host": {"engine": {"id": "F"}}}, "lock_own": HELD}, HELD["host"]),
        ("h2", {"lock_fleet": HELD, "lock_own": CUT}, {}),
        ("h2", {}, {}),
    ],
)
def test_what_a_host_was_at_first(host, said, wanted):
    assert results.at_first(host, {**BEGUN, **said}) == wanted


@pytest.mark.parametrize(
    ("before", "task", "after"),
    [
        ({"fault": LOST, "out": True, "lost": True}, {"changed": False}, {"fault": LOST, "again": True}),
        ({"fault": LOST, "out": True, "lost": True}, CUT, {"fault": LOST, "out": True, "lost": True}),
        (
            {"fault": LOST, "out": True, "lost": True},
            {"failed": True, "msg": "This run no longer holds the lock."},
            {"fault": LOST, "out": True, "lost": True},
        ),
        ({"fault": LOST, "out": True, "fenced": "run"}, {"skipped": True}, {"fault": LOST, "out": True, "fenced": "run"}),
        ({"name": "n"}, {"skipped": True}, {"name": "n"}),
    ],
    ids=["back", "still lost", "not the run's any more", "out for another reason", "never lost"],
)
def test_a_host_that_was_lost_takes_part_again_where_it_answers(before, task, after):
    assert results.back_again(before, task) == after


ADOPTED = {"name": "adopted-2026-12-01.2", "release": "adopted-2026-12-01", "run": "r", "seq": 2, "at": "", "action": "rollout"}
FIRST = {"host": {"boot": "b", "ledger": {"stable": None, "previous": None, "history": [], "known": []}}}


@pytest.mark.parametrize(
    ("said", "stable"),
    [
        ({"rollout_staged": {"name": "n", "adopted": ADOPTED}}, ADOPTED),
        # In a check nothing was staged.
        ({"rollout_preview": {"name": "n", "adopted": ADOPTED}}, ADOPTED),
        ({"rollout_staged": SKIPPED, "rollout_preview": {"name": "n", "adopted": ADOPTED}}, ADOPTED),
        ({"rollout_preview": {"name": "n", "adopted": None}}, None),
        ({"rollout_staged": {**BROKE, "adopted": ADOPTED}}, None),
        ({}, None),
    ],
)
def test_what_was_taken_over_is_what_a_host_goes_back_to(said, stable):
    found = results.at_first("h1", {**BEGUN, "lock_fleet": FIRST, **said})
    assert found["ledger"]["stable"] == stable
    assert found["ledger"]["known"] == ([stable] if stable else [])
    assert found["boot"] == "b"


def test_a_host_with_and_one_without_anything_to_take_over():
    said = {**BEGUN, "lock_fleet": FIRST, "lock_own": FIRST, "rollout_preview": {"name": "sha-b"}}
    mine = results.of_host("h1", {**said, "rollout_staged": {"name": "sha-b", "changed": True, "adopted": ADOPTED}})
    other = results.of_host("h2", {**said, "rollout_staged": {"name": "sha-b", "changed": True}})
    assert (mine["stable"], mine["adopted"]) == ("adopted-2026-12-01", "adopted-2026-12-01")
    assert other["stable"] is None
    assert "adopted" not in other


MIGRATE = {"stack": "core", "job": "migrate", "when": "before", "compatible": False}
RAN = {"stack": "core", "job": "migrate", "code": 0, "seconds": 1.0, "log": ""}


def test_what_a_host_has_prepared():
    quiet = results.with_prepared({}, "prepare", "h1", {"quiet": [{"stack": "core", "service": "web"}]})
    assert quiet == {"begun": "quiet"}
    saved = results.with_prepared(quiet, "prepare", "h1", {"backups": [{"backup": "db-1"}]})
    assert saved == {"begun": "quiet", "saved": [{"backup": "db-1"}]}
    ran = results.with_prepared(saved, "prepare", "h1", {"jobs": [RAN]})
    assert ran == {"begun": "job", "saved": [{"backup": "db-1"}], "ran": [RAN]}
    # One that ran behind the switch; and what fails after a job does not hide that.
    assert results.with_prepared(ran, "switch", "h1", {"jobs": [RAN]})["ran"] == [RAN, RAN]
    failed = results.with_prepared(ran, "switch", "h1", {"failed": True, "msg": "no", "begun": "quiet", "gate": "job"})
    assert (failed["begun"], failed["fault"]) == ("job", {"phase": "switch", "host": "h1", "msg": "no", "gate": "job"})
    assert results.with_prepared({}, "prepare", "h1", {}) == {}


def test_a_host_that_was_lost_before_the_switch():
    assert results.with_prepared({}, "prepare", "h1", CUT)["fault"]["phase"] == "lost"


@pytest.mark.parametrize(
    ("preview", "before", "after"),
    [
        ({}, False, False),
        ({"jobs": []}, False, False),
        ({"jobs": [MIGRATE]}, True, False),
        ({"jobs": [{**MIGRATE, "when": "after"}]}, False, True),
        ({"quiet": [{"stack": "core", "service": "web"}]}, True, False),
        # What is saved with jobs alone waits for one, which another host may have.
        ({"backups": [{"when": "job"}], "settled": False}, False, False),
        ({"backups": [{"when": "always"}], "settled": False}, True, False),
        ({"backups": [{"when": "always"}], "settled": True}, False, False),
    ],
)
def test_whether_there_is_anything_to_prepare(preview, before, after):
    assert [results.prepares(preview, when) for when in ("before", "after")] == [before, after]


@pytest.mark.parametrize(
    ("found", "quiet", "backup", "jobs"),
    [
        ([{}, {}], False, False, []),
        ([{"jobs": [MIGRATE]}, {"backups": [{"when": "job"}]}], False, True, ["migrate"]),
        ([{"jobs": [{**MIGRATE, "when": "after"}], "backups": [{"when": "job"}]}], False, False, []),
        ([{"backups": [{"when": "always"}]}], False, True, []),
        ([{"backups": [{"when": "always"}], "settled": True}], False, False, []),
        ([{"jobs": [MIGRATE], "quiet": [1], "ran": [RAN]}, {}], True, False, ["migrate"]),
        ([{"jobs": [{**MIGRATE, "compatible": True}], "ran": [RAN]}], False, False, ["migrate"]),
    ],
)
def test_what_the_fleet_prepares(found, quiet, backup, jobs):
    state = results.state(found)
    assert (state["quiet"], state["backup"], state["jobs"]) == (quiet, backup, jobs)


BACK = {"backup": "db-1", "stack": "core", "service": "db", "at": "2026-12-01T14:02:00Z", "bytes": 1, "age": 1}


def test_data_that_is_brought_back_is_prepared_on_every_host():
    found = results.state([{**OK, "restore": [BACK]}, OK])
    assert (found["quiet"], found["restore"], found["crossing"]) == (True, True, True)
    found = results.state([OK, OK])
    assert (found["quiet"], found["restore"], found["crossing"]) == (False, False, False)


def test_a_fleet_of_one_need_not_be_told_of_its_own_job():
    job = {"stack": "core", "job": "migrate", "when": "before", "compatible": False}
    assert results.state([{**OK, "jobs": [job]}, OK])["crossing"]
    assert not results.state([{**OK, "jobs": [{**job, "compatible": True}]}, OK])["crossing"]
    assert not results.state([{**OK, "jobs": [job]}])["crossing"]


def test_what_the_data_forbids_on_one_host_no_host_does():
    barred = results.with_data_back(OK, "core", {"failed": True, "msg": "type one of two", "gate": "data"})
    assert barred["revert_fault"]["msg"] == "type one of two"
    assert results.state([barred, OK])["stays"]
    assert not results.state([{**OK, "revert_fault": {"gate": "health"}}, OK])["stays"]


def test_data_that_the_way_back_restored_is_told():
    assert results.with_data_back(OK, "core", {"restored": [BACK]})["brought_back"] == [BACK]
    assert "brought_back" not in results.with_data_back(OK, "core", {"restored": []})


def test_restored_data_is_data_that_changed():
    found = results.with_prepared(OK, "prepare", "core", {"restored": [BACK], "backups": [BACK]})
    assert (found["begun"], found["restored"], found["saved"]) == ("job", [BACK], [BACK])
