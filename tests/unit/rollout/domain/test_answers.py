"""The answers that a host may give. The fixtures of the steps' and modules' own tests hold that real ones are believed as they are."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.steps import STEPS
from hypothesis import given
from hypothesis import strategies as st
from run_documents import RECORDED, judged, recorded
from story import KEPT

LOCKED = {"changed": True, "taken_over": ""}
# Ansible acts on these, whatever a task is; the screens believe the others.
ACTED_ON = (
    "add_host",
    "add_group",
    "ansible_facts",
    "_ansible_no_log",
    "unreachable",
    "skipped",
    "results",
    "diff",
    "invocation",
)


@pytest.mark.parametrize("flavour", ["absent", "cpu", "cuda"])
@pytest.mark.parametrize("probe", sorted(file.stem for file in RECORDED.glob("*.json")))
def test_every_verdict_on_a_real_probe_is_believed_as_it_is(probe, flavour):
    verdict = json.loads(json.dumps(judged(flavour, recorded(probe))))
    answer = {"changed": True, "services": [{**KEPT, "torch": verdict}]}
    assert answers.taken("stack present", answer) == answer


def test_every_state_of_every_step_has_its_answer():
    known = {f"{step} {state}" for step, of in STEPS.items() for state in of.arguments["state"]["choices"]}
    assert {*known, "lock observed", "release previewed"} == {name for name in answers.ANSWERS if " " in name}


@pytest.mark.parametrize("more", [{key: {"x": 1}} for key in ACTED_ON])
@pytest.mark.parametrize("answer", [LOCKED, {"failed": True, "msg": "no"}])
def test_what_is_not_declared_is_dropped(answer, more):
    assert answers.taken("lock held", {**answer, **more}) == answer


def test_a_failure_has_its_facts_and_no_others():
    facts = {"failed": True, "msg": "no", "service": "web", "gate": "health", "log": "a\nb", "fenced": "guard"}
    assert answers.taken("stack present", {**facts, "services": [KEPT], "changed": True}) == facts


@pytest.mark.parametrize(
    ("step", "answer", "sentence"),
    [
        ("lock held", {"taken_over": ""}, "its answer.changed is missing"),
        ("lock held", {**LOCKED, "changed": "yes"}, "its answer.changed is 'yes', expected true or false"),
        ("lock observed", {**LOCKED, "host": []}, "its answer.host is [], expected a mapping"),
        (
            "stack present",
            {"changed": True, "services": [{**KEPT, "action": "\x1b[2J"}]},
            "its answer.services[0].action is '\\x1b[2J', expected one of keep, create, recreate, replace, scale, remove",
        ),
        (
            "stack present",
            {"changed": True, "services": [{**KEPT, "service": "$(id)"}]},
            "its answer.services[0].service is '$(id)', expected a name of letters, digits, '_', '.' and '-'",
        ),
        ("stack present", {"changed": True, "services": [KEPT] * 1025}, "expected a list of at most 1024"),
        ("lock held", {**LOCKED, "taken_over": "x" * 4097}, "expected a text of at most 4096 characters"),
        ("stack present", {"changed": True, "services": [{**KEPT, "gap": True}]}, "gap is True, expected a number"),
        ("stack present", {"changed": True, "services": [], "clock": 2**64}, "clock is 18446744073709551616, expected a number"),
        ("release staged", {"changed": True, "name": "../../x", "to_pull": 0, "ready": True}, "its answer.name is '../../x', "),
        ("lock held", {"failed": True, "msg": 7}, "its failure.msg is 7, expected a text"),
        ("lock held", {"failed": True, "msg": "", "fenced": "me"}, "its failure.fenced is 'me', expected one of run, guard"),
    ],
)
def test_what_is_not_as_declared_is_a_failure_that_says_where(step, answer, sentence):
    said = answers.taken(step, answer)
    assert said["failed"] is True
    assert said["msg"].startswith(f"The host's answer to {step.partition(' ')[0]} was not used: ")
    assert sentence in said["msg"]


@pytest.mark.parametrize("step", ["job saved", "backup taken"])
def test_a_backup_is_known_by_what_a_copy_needs_and_its_file_is_no_path(step):
    record = {"backup": "db-1", "stack": "core", "service": "db", "bytes": 1, "file": "db-1.dump", "sha256": "a" * 64}
    assert answers.taken(step, {"changed": True, "backups": [record]})["backups"] == [record]
    answer = answers.taken(step, {"changed": True, "backups": [{**record, "file": "../../cron.d/x"}]})
    assert answer["failed"]
    assert "backups[0].file is '../../cron.d/x'" in answer["msg"]


def test_a_foreign_value_is_shown_short():
    said = answers.taken("lock held", {**LOCKED, "changed": "x" * 10_000})
    assert len(said["msg"]) < 250


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert answers.taken("lock held", {**LOCKED, "taken_over": "a\ud800b"})["taken_over"] == "a?b"


def test_what_an_image_says_of_itself_is_not_the_hosts_fault():
    verdict = {
        **{"verdict": "pass", "reason": "ok", "observed": "torch", "fault": None, "on_gpu": False, "remedy": "", "expected": ""},
        "torch": {"version": ["x"]},
        "devices": "none",
        "checks": [],
    }
    said = answers.taken("stack present", {"changed": True, "services": [{**KEPT, "torch": verdict}]})
    assert said["services"][0]["torch"] == {**verdict, "torch": {"version": None}, "devices": None}


# The line of the answer.


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["Welcome", '{"a": 1}', "Bye"], {"a": 1}),
        (['{"a": 1}', '{"b": 2}'], {"b": 2}),
        (['{"a": 1}', '{"b": '], {"a": 1}),
        (['{"a": ' * 100_000 + "1" + "}" * 100_000], None),
        (['{"a": NaN, "b": -Infinity}'], {"a": None, "b": None}),
        (['{"a": ' + "9" * 10_000 + "}"], None),
        (["[1]", "2", "null", ""], None),
    ],
)
def test_the_answer_is_the_last_object(said, answer):
    assert answers.read(said) == answer


PROGRESS = {"run": "r1", "step": "gate", "what": "web", "waiting_for": "x", "elapsed": 1, "deadline": 2.5}


def test_progress_is_taken_as_declared():
    assert answers.progress(json.dumps({**PROGRESS, "host": "another"})) == PROGRESS
    assert answers.progress("") == {}


@pytest.mark.parametrize("said", ["[]", "5", '{"run": "r1"}', json.dumps({**PROGRESS, "elapsed": "1"}), "{" * 10_000])
def test_progress_that_is_none_is_refused(said):
    with pytest.raises(answers.WrongError):
        answers.progress(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ACTED_ON, "changed", "services", "host", "ledger", "preview", "name", "msg"]), inner)
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(answers.ANSWERS)), st.dictionaries(st.sampled_from([*ACTED_ON, "failed", "changed", "msg"]), JSON))
def test_whatever_comes_is_declared_or_dropped(step, answer):
    said = answers.taken(step, answer)
    assert not {*ACTED_ON} - {"diff"} & set(said)
    json.dumps(said).encode("utf-8")
