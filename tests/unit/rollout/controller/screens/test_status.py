from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.controller.screens import status
from ansible.module_utils.rollout.verbs import refusals


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, {"info": None, "fault": "it could not be reached"}),
        ({"status_host": {"msg": "x"}, "status_fault": "no docker"}, {"info": None, "fault": "no docker"}),
        (
            {"status_host": {"unreachable": True, "msg": "ssh: connect: Connection refused"}, "inventory_hostname": "h1"},
            {
                "info": None,
                "fault": "Host h1 cannot be reached: ssh: connect: Connection refused. Advice: it is there, but no SSH server "
                "answers on that port: check ansible_port and sshd.",
            },
        ),
        ({"status_host": {"ledger": {}}}, {"info": {"ledger": {}}, "fault": "it could not be reached"}),
    ],
)
def test_seen(variables, wanted):
    assert status.seen(variables) == wanted


def info(drift=(), health="healthy", facts=None, **ledger):
    row = {
        "stack": "core",
        "service": "web",
        "release": "sha-aaaaaaa",
        "digest": "sha256:0123456789",
        "health": health,
        "since": "1970-01-01T00:00:00.5Z",
        "torch": "absent",
        "drift": list(drift),
    }
    return {
        "info": {
            "services": [row],
            "ledger": {"stable": {"release": "sha-aaaaaaa"}, "interrupted": None, "torn": False, **ledger},
            **(facts or {}),
        },
        "fault": "-",
    }


def test_status_of_a_fleet_that_is_well():
    screen = status.screen({"h1": info()}, 7200)
    assert screen.endswith("Everything runs as it was released.")
    assert "web      sha-aaaaaaa  0123456  healthy  2 h    absent  -" in screen


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (info(["runs another image"]), "h1, web: runs another image."),
        (info(["torch: no device. Recreate it."]), "\nh1, web: torch: no device. Recreate it."),
        (info(health="http://x: HTTP 503 no database"), "unhealthy"),
        (info(health="10 of 12 healthy"), "10 of 12 healthy"),
        (
            info(interrupted={"run": "r9", "event": "switching", "service": "web", "release": "sha-b"}),
            "h1: Interrupted switching web, by run r9 on its way to sha-b. Roll out or roll back again.",
        ),
        (
            info(interrupted={"run": "r9", "event": "switched", "stack": "core"}),
            "Interrupted after stack core was switched, before the release was confirmed, by run r9 on its way to ?.",
        ),
        (
            info(torn=True, lost=3),
            "h1: the ledger is damaged: entry 3 is gone. Restore it from a backup, or move it away.",
        ),
        (info(torn=True), "h1: the ledger has a torn line (a power loss?); it was passed over."),
        ({"info": None, "fault": "no docker"}, "h1: no docker"),
        (
            info(facts={"guard": {"run": "r9", "alive": True, "fires_in": 600}}),
            "h1: a guard is armed by run r9 and fires in 10 min unless that run is confirmed.",
        ),
        (
            info(facts={"guard": {"run": "r9", "alive": True, "fires_in": -5, "waits_for": "run r8 of a@b", "waits_s": 720}}),
            "h1: a guard is armed by run r9 and waits for run r8 of a@b, for 12 min at most, unless that run is confirmed.",
        ),
        (
            info(facts={"guard": {"run": "r9", "alive": True, "fires_in": -5, "stuck": "Starting web failed: no room"}}),
            "h1: a guard is armed by run r9 and is firing unless that run is confirmed. It has tried, and tries again: Starting web "
            "failed: no room",
        ),
        (
            info(facts={"guard": {"run": "r9", "alive": False, "fires_in": -5}}),
            "h1: a guard is armed by run r9 and is firing unless that run is confirmed. But it is not alive: run rollout.yml or "
            "rollback.yml.",
        ),
        (
            info(closed={"run": "r9", "by": "guard", "name": "sha-a", "fault": ""}),
            "h1: run r9 was never confirmed, so the guard brought sha-a back.",
        ),
        (
            info(closed={"run": "r9", "by": "guard", "name": "", "fault": "web: no."}),
            "h1: run r9 was never confirmed, so the guard took the release away: there was no stable one to bring back. But: web: no.",
        ),
        (info(behind=["nas"]), "nas was left out of the last run and is behind: the next run with it catches up."),
    ],
)
def test_status_says_what_is_off(found, note):
    screen = status.screen({"h1": found}, 0)
    assert note in screen
    assert ".." not in screen


DEAD = "h1: run r9 of a@b, since t, is dead, but holds the lock: the next run takes it over."
AT_WORK = {"run": "r9", "who": "run r9 of a@b, since t", "quiet": 300, "expires_in": 600}


@pytest.mark.parametrize(
    ("lock", "interrupted", "notes"),
    [
        (AT_WORK, None, ["h1: run r9 of a@b, since t, is at work (last sign of life 5 min ago)."]),
        ({**AT_WORK, "dead": True}, None, [DEAD]),
        (
            {**AT_WORK, "expires_in": 0},
            None,
            ["h1: run r9 of a@b, since t, has given no sign of life for 5 min: the next run takes its lock over."],
        ),
        (AT_WORK, "r9", ["h1: run r9 of a@b, since t, is at work (last sign of life 5 min ago)."]),
        (
            {**AT_WORK, "dead": True},
            "r9",
            [
                DEAD,
                "h1: Interrupted switching web, by run r9 on its way to ?. Roll out or roll back again.",
            ],
        ),
        (
            AT_WORK,
            "r8",
            [
                "h1: run r9 of a@b, since t, is at work (last sign of life 5 min ago).",
                "h1: Interrupted switching web, by run r8 on its way to ?. Roll out or roll back again.",
            ],
        ),
    ],
)
def test_status_of_a_run_that_is_at_work_or_dead(lock, interrupted, notes):
    last = interrupted and {"run": interrupted, "event": "switching", "service": "web"}
    screen = status.screen({"h1": info(["x"], facts={"lock": lock}, interrupted=last)}, 0)
    assert screen.splitlines()[-len(notes) :] == notes, "and nothing was changed by hand"


def test_what_one_run_did_on_several_hosts_is_said_once():
    last = {"run": "r9", "event": "switching", "service": "web"}
    guard = {"run": "r9", "alive": True}
    hosts = {
        host: info(
            facts={"lock": {**AT_WORK, "dead": True, "quiet": n}, "guard": {**guard, "fires_in": 600 + n}}, interrupted=last
        )
        for n, host in enumerate(["h1", "h2"])
    }
    assert status.screen(hosts, 0).splitlines()[-3:] == [
        "h1, h2: run r9 of a@b, since t, is dead, but holds the lock: the next run takes it over.",
        "h1, h2: Interrupted switching web, by run r9 on its way to ?. Roll out or roll back again.",
        "h1, h2: a guard is armed by run r9 and fires in 10 min unless that run is confirmed.",
    ]
    hosts["h2"]["info"]["guard"]["alive"] = False
    assert "\nh1: a guard is armed" in status.screen(hosts, 0)


@pytest.mark.parametrize(
    ("stables", "note"),
    [
        (
            {"core": "sha-bbbbbbb", "gpu": "sha-aaaaaaa", "b": "sha-bbbbbbb"},
            "Different releases run together: sha-bbbbbbb (core, b) with sha-aaaaaaa (gpu). Behind: gpu. To catch up: ansible-playbook "
            "rollout.yml -e sha=bbbbbbb",
        ),
        (
            {"core": "v2", "gpu": None},
            "Different releases run together: v2 (core) with nothing (gpu). Behind: gpu. To catch up: ansible-playbook rollout.yml -e "
            "tag=v2",
        ),
        (
            {"core": None, "gpu": "v2"},
            "Different releases run together: nothing (core) with v2 (gpu). Behind: gpu. To catch up: ansible-playbook rollout.yml",
        ),
    ],
)
def test_status_says_which_releases_run_together(stables, note):
    hosts = {host: info(stable=release and {"release": release}) for host, release in stables.items()}
    assert note in status.screen(hosts, 0).splitlines()


def test_a_host_that_was_left_out_and_is_here_again_is_not_said_to_be():
    assert "left out" not in status.screen({"core": info(behind=["nas"]), "nas": info()}, 0)


def test_what_is_no_drift_leaves_all_well():
    screen = status.screen({"h1": info(torn=True)}, 0)
    assert screen.endswith("it was passed over.\n\nEverything runs as it was released.")


def test_status_of_an_unreachable_host_is_never_well():
    assert "Everything runs" not in status.screen({"h1": info(), "h2": {"info": None, "fault": "lost"}}, 0)


NEVER = refusals.NEVER_RELEASED.text(path="/srv/app")
ANOTHER = refusals.OF_ANOTHER.text(path="/srv/app", owner="other", application="app")
KEPT = refusals.KEPT_DIFFERS.text(what="image 16 -> 17", service="db", choice="sha=aaaaaaa")
FINDINGS = [
    # What is found, whether that is drift.
    (info(), False),
    (info(["runs another image"]), True),
    (info(["torch: found no torch. Build it."]), True),
    (info([NEVER], stable=None), True),
    (info([ANOTHER]), True),
    (info([KEPT]), True),
    ({"info": None, "fault": "no docker"}, True),
    (info(interrupted={"run": "r9", "event": "switching", "service": "web"}), True),
    (info(behind=["nas"]), True),
    (info(torn=True), False),
    (info(facts={"guard": {"run": "r9", "alive": True, "fires_in": 600}}), False),
    (info(closed={"run": "r9", "by": "guard", "name": "sha-a", "fault": ""}), False),
    (info(facts={"lock": AT_WORK}), False),
    (info(facts={"lock": AT_WORK}, interrupted={"run": "r9", "event": "switching", "service": "web"}), False),
]


@pytest.mark.parametrize(("found", "drift"), FINDINGS)
def test_what_is_drift(found, drift):
    assert status.as_released({"h1": found}) is not drift
    document = status.document({"h1": found}, 0)
    assert (document["as_released"], bool(document["drift"])) == (not drift, drift)
    said = [*document["drift"], *document["notes"]]
    assert sorted(sentence for _drift, sentence in status.findings({"h1": found})) == sorted(said)
    for sentence in [*said, *document["advice"]]:
        assert sentence in status.screen({"h1": found}, 0)


@pytest.mark.parametrize(
    ("sentence", "stable", "said", "advice"),
    [
        (
            NEVER,
            None,
            "h1, web: no release was ever confirmed here, and nothing runs: /srv/app has no ledger that says otherwise (rollout_dir "
            "names it).",
            ["No release is stable here yet: ansible-playbook rollout.yml"],
        ),
        (
            ANOTHER,
            {"release": "v9"},
            "h1, web: /srv/app (rollout_dir) holds the state of application other, not of app: nothing is known of app here.",
            # What another application released is not rolled out again.
            [],
        ),
        (
            KEPT,
            {"release": "sha-aaaaaaa"},
            "h1, web: kept, and not as the release has it: image 16 -> 17. To bring it: ansible-playbook rollout.yml -e sha=aaaaaaa -e "
            "replace=db.",
            [],
        ),
    ],
)
def test_what_is_said_of_what_is_not_as_it_was_released(sentence, stable, said, advice):
    hosts = {"h1": info([sentence], stable=stable)}
    assert said in status.screen(hosts, 0).splitlines()
    assert status.advice(hosts) == advice


def test_hosts_on_different_releases_are_drift():
    hosts = {"h1": info(), "h2": info(stable={"release": "v2"}), "h3": info(behind=["h9"])}
    assert not status.as_released(hosts)
    assert status.behind(hosts) == ["h2"]
    assert status.behind({"h3": hosts["h3"], **hosts}) == ["h2", "h9"]
    assert status.behind({}) == []


@pytest.mark.parametrize(
    ("drift", "stable", "facts", "said"),
    [
        ([], "sha-abc1234", {}, []),
        (
            ["has no container", "is exited"],
            "sha-abc1234",
            {},
            ["What was changed by hand stays until you roll out again: ansible-playbook rollout.yml -e sha=abc1234"],
        ),
        (["x"], None, {}, ["No release is stable here yet: ansible-playbook rollout.yml"]),
        # Its own sentence says what to do.
        (["torch: found no torch. Build it."], "v1", {}, []),
        (
            ["not healthy: HTTP 503"],
            "v1",
            {},
            ["Why a service is not healthy is in its log: docker logs --tail 50 CONTAINER, on its host."],
        ),
        (["x"], "v1", {"lock": AT_WORK}, []),
    ],
)
def test_advice(drift, stable, facts, said):
    assert status.advice({"h1": info(drift, facts=facts, stable=stable and {"release": stable})}) == said


@pytest.mark.parametrize(
    ("previous", "said"),
    [
        (
            {"release": "sha-abc1233"},
            "A service that crashes was released so; to go back to the stable release before: "
            "ansible-playbook rollback.yml -e sha=abc1233",
        ),
        (
            None,
            "A service that crashes was released so, and there is no stable release before: roll out one that does not crash.",
        ),
    ],
)
def test_the_advice_on_a_crash_is_no_change_by_hand(previous, said):
    crash = "crashed, and the engine restarted it, 3 times since it was started. Its last line: lost licence server"
    hosts = {"h1": info([crash, "is restarting", "not healthy: restarting"], previous=previous), "h2": info()}
    hosts["h1"]["info"]["services"][0].update(restarts=3, log="lost licence server")
    assert status.advice(hosts) == [said]
    assert not status.as_released(hosts)
    screen = status.screen(hosts, 0)
    assert f"h1, web: {crash}." in screen
    assert screen.endswith(said)
    row = status.document(hosts, 0)["hosts"]["h1"]["services"][0]
    assert (row["restarts"], row["log"]) == (3, "lost licence server")


def confirmed(run, release, at, action="rollout"):
    return {"name": release, "release": release, "run": run, "seq": 1, "at": at, "action": action}


def test_history_is_one_entry_a_run_newest_first():
    first, second = confirmed("r1", "sha-a", "2026-01-01T10:00:00Z"), confirmed("r2", "sha-b", "2026-01-02T10:00:00Z")
    back = confirmed("r3", "sha-a", "2026-01-02T10:05:00Z", "rollback")
    hosts = {
        "h1": info(confirmed=[first, second, back], known=[back]),
        "h2": info(confirmed=[first]),
        "h3": {"info": None, "fault": "gone"},
    }
    assert [(e["run"], e["release"], e["action"], e["hosts"], e["kept"]) for e in status.history(hosts)] == [
        ("r3", "sha-a", "rollback", ["h1"], True),
        ("r2", "sha-b", "rollout", ["h1"], False),
        ("r1", "sha-a", "rollout", ["h1", "h2"], True),
    ]
    assert (
        "Stable releases, newest first:\n"
        "  SINCE (UTC)       RELEASE          BY        RUN  ONLY ON\n"
        "  2026-01-02 10:05  sha-a            rollback  r3   h1\n"
        "  2026-01-02 10:00  sha-b (removed)  rollout   r2   h1\n"
        "  2026-01-01 10:00  sha-a            rollout   r1\n"
    ) in status.screen(hosts, 0)


def test_a_release_whose_image_is_gone_on_a_host_is_not_kept():
    first, second = confirmed("r1", "sha-a", "2026-01-01T10:00:00Z"), confirmed("r2", "sha-b", "2026-01-02T10:00:00Z")
    here = {"confirmed": [first, second], "known": [first, second]}
    hosts = {"h1": info(**here), "h2": info(**here, gone=["sha-a"]), "h3": info(**here)}
    assert [(e["release"], e["kept"], e["gone"]) for e in status.history(hosts)] == [
        ("sha-b", True, []),
        ("sha-a", False, ["h2"]),
    ]
    assert "sha-a (image gone)  rollout" in status.screen(hosts, 0)


def test_a_long_history_is_cut_on_the_screen_alone():
    entries = [confirmed(f"r{n}", "v1", f"2026-01-{n:02}T00:00:00Z") for n in range(1, 10)]
    hosts = {"h1": info(confirmed=entries)}
    assert len(status.document(hosts, 0)["history"]) == 9
    assert "r5" in status.screen(hosts, 0)
    assert "r4" not in status.screen(hosts, 0)


def test_the_document_is_json_and_says_what_was_not_seen():
    row = {"verdict": {"verdict": "fail", "reason": "torch_missing", "checks": ["long"]}}
    hosts = {"h1": info(facts={"engine": {"engine": "24.0.7"}, "keeper": "systemd"}), "h2": {"info": None, "fault": "gone"}}
    hosts["h1"]["info"]["services"][0].update(row)
    document = json.loads(json.dumps(status.document(hosts, 3600)))
    assert (document["version"], document["at"]) == (1, "1970-01-01T01:00:00Z")
    assert document["hosts"]["h2"] == {"seen": False, "fault": "gone"}
    one = document["hosts"]["h1"]
    assert (one["seen"], one["fault"], one["engine"], one["guard"]) == (True, None, {"engine": "24.0.7"}, None)
    assert (one["services"][0]["verdict"], one["services"][0]["reason"]) == ("fail", "torch_missing")
    assert "confirmed" not in one["ledger"]
