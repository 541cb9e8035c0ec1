from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from ansible.module_utils.rollout.controller import playbooks, waves
from ansible.module_utils.rollout.controller.report import document as run_document
from ansible.module_utils.rollout.controller.report import page
from ansible.module_utils.rollout.verbs.phases import Phases

OLD, NEW = "sha-aaaaaaa", "sha-bbbbbbb"
RUN = {
    "action": "rollout",
    "run": "r1",
    "release": NEW,
    "check": False,
    "who": "ada@desk",
    "notes": ["The guard is a plain process."],
    "images": {
        "r/web": {
            "digest": "sha256:b",
            "platforms": {"linux/amd64": [{"diff_id": "1", "size": 5}, {"diff_id": "1", "size": 5}, {"diff_id": "2", "size": 2}]},
        },
        "r/old": {"digest": "sha256:c", "platforms": {}},
        # Its tag has moved on; what runs stays.
        "r/behind": {"digest": "sha256:d"},
    },
}
TORCH = {"verdict": "pass", "reason": "ok"}
ROW = {"stack": "core", "service": "web", "action": "recreate", "why": "image", "old": "sha256:a", "new": "sha256:b", "gap": 2.5}
KEPT = {**ROW, "service": "db", "action": "keep", "why": "", "old": None, "new": None, "gap": None}
PREVIEW = {
    "preview": {"services": [ROW, KEPT], "to_pull": 7, "free": 90},
    "diff": [{"before_header": "a", "after_header": "b", "before": "1", "after": "2", "more": "x"}],
}
DONE = [
    {"stack": "core", "service": "web", "action": "recreate", "why": "image", "seconds": 3.9, "gap": 3.1, "torch": TORCH},
    {"stack": "core", "service": "db", "action": "keep", "why": "", "seconds": 0.0, "gap": None, "torch": None},
]
WELL = {"stable": OLD, "changed": True, "switched": True, "services": DONE}
FAULT = {"phase": "switch", "host": "h1", "gate": "health", "service": "web", "msg": "bad", "log": "l", "fenced": "run"}


@pytest.fixture(scope="module")
def schema(request):
    return json.loads((request.config.rootpath / "docs" / "report.schema.json").read_text())


def made(results, lost=(), previews=None, **run):
    return run_document.document(results, list(lost), {**RUN, **run}, {"h1": PREVIEW} if previews is None else previews)


def whole(document):
    return {**document, "started": "2026-01-01T00:00:00Z", "seconds": 9.5, "waves": [], "events": []}


def test_a_run_that_succeeded():
    found = made({"h1": WELL})
    assert (found["verdict"], found["good"], found["head"]) == (
        "succeeded",
        True,
        f"ROLLOUT SUCCEEDED: {NEW} runs on 1 host, every gate held.",
    )
    assert found["back"] == "ansible-playbook rollback.yml -e sha=aaaaaaa"
    assert found["images"] == [
        {"repository": "r/web", "digest": "sha256:b", "bytes": 7},
        {"repository": "r/old", "digest": "sha256:c", "bytes": None},
    ]
    (host,) = found["hosts"]
    assert {k: host[k] for k in ("old", "new", "state", "to_pull", "free")} == {
        "old": OLD,
        "new": NEW,
        "state": f"on {NEW}",
        "to_pull": 7,
        "free": 90,
    }
    assert [(s["service"], s["action"], s["gap"], s["torch"]) for s in host["services"]] == [
        ("web", "recreate", 3.1, TORCH),
        ("db", "keep", None, None),
    ]
    assert host["diff"] == [{"before_header": "a", "after_header": "b", "before": "1", "after": "2"}]


def test_in_check_mode_the_gap_is_the_expected_one():
    (host,) = made({"h1": {**WELL, "services": [{**DONE[0], "gap": None}]}}, check=True)["hosts"]
    assert (host["services"][0]["gap"], host["state"]) == (2.5, f"would be on {NEW}")


@pytest.mark.parametrize(
    ("result", "state", "new"),
    [
        ({"fault": FAULT, "stable": OLD, "switched": True}, f"on {OLD}", OLD),
        ({"fault": FAULT, "stable": None, "switched": True}, "on nothing", None),
        ({"fault": FAULT, "revert_fault": FAULT, "stable": OLD, "switched": True}, "not known", None),
        ({"fault": {**FAULT, "phase": "lost"}, "lost": True, "stable": OLD, "switched": True}, "lost", None),
        ({"behind": True, "out": True, "stable": OLD}, "left out", None),
    ],
)
def test_what_a_host_is_on(result, state, new):
    (host,) = made({"h1": result})["hosts"]
    assert (host["state"], host["new"]) == (state, new)


@pytest.mark.parametrize("back", [{"stable": OLD}, {"stable": None}, {"stable": OLD, "revert_fault": FAULT}])
def test_a_service_names_the_release_that_was_tried(back):
    (host,) = made({"h1": {"fault": FAULT, "switched": True, "services": DONE, **back}})["hosts"]
    web, db = host["services"]
    assert (web["old"], web["new"], web["digest"]) == (back["stable"], NEW, "sha256:b")
    assert (db["old"], db["new"]) == (None, None)


def test_faults_are_told_once_and_only_what_the_schema_knows():
    found = made({"h1": {"fault": FAULT}, "h2": {"fault": FAULT}})["faults"]
    assert found == [{"phase": "switch", "host": "h1", "gate": "health", "service": "web", "msg": "bad", "log": "l"}]


@pytest.mark.parametrize(
    "document",
    [
        made({"h1": WELL}),
        made({"h1": WELL}, check=True),
        made({"h1": {"fault": {**FAULT, "phase": "plan"}}}, previews={}, release="", images={}),
        made({"h1": {"fault": FAULT, "stable": OLD}}),
        made({"h1": WELL}, lost=["h2"]),
        made({}, lost=["h1"], previews={}),
        run_document.ended_early("r1", "rollback", True, {"h1": "no"}, "ada@desk"),
        run_document.interrupted("r1", "rollout", False, NEW, "ROLLOUT INTERRUPTED: it was.", "ada@desk"),
    ],
)
def test_each_document_fits_the_schema_and_makes_a_page(schema, document):
    jsonschema.Draft202012Validator(schema).validate(whole(document))
    assert "<html" in page.page(whole(document))


@pytest.mark.parametrize(
    ("play", "wave"),
    [
        ("Stage on every host", "stage"),
        ("Switch the GPU workers", "gpu_workers"),
        ("Switch wave web", "web"),
        ("Switch nothing", None),
        ("Know the inventory", None),
        ("Settle", "settle"),
        ("Revert", "revert"),
        ("Report", None),
    ],
)
def test_waves(play, wave):
    assert run_document.wave_of(play) == wave


def test_every_play_of_the_flow_is_known(root):
    text = (root / "playbooks" / "flow.yml").read_text() + (root / "playbooks" / "revert.yml").read_text()
    names = [line.removeprefix("- name: ") for line in text.splitlines() if line.startswith("- name: ")]
    switch = [f"Switch wave {n}" for n in range(1, waves.MOST + 1)]
    assert [n for n in names if n not in run_document.WAVES] == [*switch, "Report"]
    assert set(run_document.WAVES) <= set(names)
    for verb, name in zip(("rollout", "rollback"), run_document.FIRST, strict=True):
        know, first, _flow = yaml.safe_load((root / f"playbooks/{verb}.yml").read_text())
        assert (know["name"], first["name"]) == (playbooks.KNOW, name)


PHASE = {"phase": "start", "service": "web", "detail": "", "from": 1.0, "to": 3.0, "good": True}


@pytest.mark.parametrize(
    ("wave", "clock", "now", "phase", "start", "end"),
    [
        ("backend", 4.0, 14.0, "start", 11.0, 13.0),
        ("revert", 4.0, 14.0, "revert", 11.0, 13.0),
        # Clocks that do not fit: never before the run's start.
        ("backend", 9.0, 2.0, "start", 0.0, 0.0),
    ],
)
def test_phases_on_the_runs_own_clock(wave, clock, now, phase, start, end):
    (found,) = run_document.events("h1", wave, {"phases": [PHASE], "clock": clock}, now)
    assert (found["phase"], found["from"], found["to"], found["service"]) == (phase, start, end, "web")


def test_a_step_of_a_host_as_a_whole():
    (found,) = run_document.events("h1", "stage", {"phases": [{**PHASE, "service": ""}], "clock": 3.0}, 3.0)
    assert found["service"] is None
    assert run_document.events("h1", "stage", {}, 3.0) == []


def test_phases():
    phases = Phases()
    with phases.phase("pull", detail="r/web"):
        pass
    with pytest.raises(KeyError), phases.phase("start", "web"):
        raise KeyError
    facts = phases.facts()
    assert [(p["phase"], p["service"], p["detail"], p["good"]) for p in facts["phases"]] == [
        ("pull", "", "r/web", True),
        ("start", "web", "", False),
    ]
    assert 0 <= facts["phases"][0]["from"] <= facts["phases"][0]["to"] <= facts["clock"]
