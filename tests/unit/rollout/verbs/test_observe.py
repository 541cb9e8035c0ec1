from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io import http, machine, masking, torch_check
from ansible.module_utils.rollout.verbs import observe, settle, stage
from fake_engine import digest
from story import FILE, held, order
from story import stack as text_of

URL = "http://127.0.0.1:8000/health"


def rows(host, stacks=("core",), **options):
    host.engine.calls = []
    found = observe.services(host.store, host.engine, "app", list(stacks), **options)
    assert host.engine.touched == []
    return {row["service"]: row for row in found}


def edit(host, service, **facts):
    host.edit(service, **facts)


def test_host(host):
    for letter in "ab":
        host.rollout(letter)
    host.store.append("switching", "r9", name="sha-ccccccc", service="web")
    found = observe.host(host.store, host.engine, "app")
    assert found["engine"]["engine"] == "24.0.7"
    assert found["ledger"]["stable"]["release"] == "sha-bbbbbbb"
    assert found["ledger"]["previous"] == {
        "name": "sha-aaaaaaa",
        "release": "sha-aaaaaaa",
        "run": "run-a",
        "seq": 6,
        "at": found["ledger"]["previous"]["at"],
        "action": "rollout",
    }
    assert found["ledger"]["confirmed"] == found["ledger"]["history"]
    assert [s["name"] for s in found["ledger"]["history"]] == [s["name"] for s in found["ledger"]["known"]]
    assert found["ledger"]["interrupted"]["service"] == "web"
    assert not found["ledger"]["torn"]
    json.dumps(found)


def test_who_is_at_work_and_which_guard_is_armed(host, monkeypatch):
    host.rollout("a")
    monkeypatch.setattr(machine, "keeper", lambda application: application + "'s")
    held(host.store, "r9", seconds_ago=60, user="alice", host="laptop", machine="m1", process="7:1")
    host.store.append("armed", "r9", name="sha-aaaaaaa", timeout=900, keeper="process", **machine.clock().mark())
    found = observe.host(host.store, host.engine, "app")
    assert (found["lock"]["run"], found["lock"]["who"]) == ("r9", "run r9 of alice@laptop, since 2026-01-01T00:00:00Z")
    assert (found["lock"]["machine"], found["lock"]["process"]) == ("m1", "7:1")
    assert 60 <= found["lock"]["quiet"] < 120
    assert 780 < found["lock"]["expires_in"] <= 840
    assert (found["guard"]["run"], found["guard"]["alive"], found["guard"]["keeper"]) == ("r9", False, "process")
    assert 800 < found["guard"]["fires_in"] <= 900
    assert found["keeper"] == "app's"
    assert found["ledger"]["interrupted"]["event"] == "armed"
    with host.store.mutex(".guard", 0):
        assert observe.host(host.store, host.engine, "app")["guard"]["alive"]
    json.dumps(found)


def test_how_the_last_run_ended(host):
    host.rollout("a")
    host.store.append("confirmed", "r2", name="sha-aaaaaaa", release="sha-aaaaaaa", behind=["h2"])
    ledger = observe.host(host.store, host.engine, "app")["ledger"]
    assert (ledger["closed"]["run"], ledger["behind"]) == ("r2", ["h2"])
    assert observe.host(host.store, host.engine, "app")["lock"] is None


def test_stable_releases_that_lost_an_image_or_their_files(host):
    for letter in "abcd":
        host.rollout(letter)
    assert observe.gone(host.store, host.engine) == []
    del host.engine.images[f"r/job@{digest('b')}"]
    host.spoil("sha-ccccccc", "torn")
    host.engine.calls = []
    assert observe.gone(host.store, host.engine) == ["sha-bbbbbbb", "sha-ccccccc"]
    assert host.engine.touched == []


def test_a_new_host(host):
    found = observe.host(host.store, host.engine, "app")["ledger"]
    assert (found["stable"], found["previous"], found["history"], found["interrupted"]) == (
        None,
        None,
        [],
        None,
    )
    never = (
        f"no release was ever confirmed here, and nothing runs: {host.store.root} has no ledger that says otherwise (rollout_dir "
        "names it)"
    )
    assert [(r["service"], r["drift"]) for r in rows(host).values()] == [("-", [never])]


def test_all_as_released(host):
    host.rollout("a")
    found = rows(host)
    assert {n: r["drift"] for n, r in found.items()} == {"db": [], "web": [], "job": []}
    assert found["web"] == {
        "stack": "core",
        "service": "web",
        "release": "sha-aaaaaaa",
        "digest": digest("a"),
        "health": "healthy",
        "since": "2026-01-01T00:00:00Z",
        "torch": "-",
        "verdict": None,
        "restarts": 0,
        "log": "",
        "drift": [],
    }
    assert found["db"]["release"] == "-"


def drift_of(host, service="web"):
    return rows(host)[service]["drift"]


def test_drift(host):
    host.rollout("a")
    edit(host, "web", Image="sha256:" + "f" * 64)
    assert drift_of(host) == ["runs another image than the release's"]
    assert rows(host)["web"]["digest"] == "sha256:" + "f" * 64, "never the released digest for another image"


def test_what_another_release_runs_is_told_as_what_it_is(host, monkeypatch):
    monkeypatch.setattr(http, "ask", lambda url: Answer(URL, 200, "sha-aaaaaaa"))
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL]))
    name = stage.stage(host.store, host.engine, order("b", text_of("sha-bbbbbbb", ("web",), health=[URL])), False)["name"]
    monkeypatch.setattr(http, "ask", lambda url: Answer(URL, 200, "sha-bbbbbbb"))
    # Interrupted before it was confirmed.
    host.bring(name)
    row = rows(host)["web"]
    assert (row["release"], row["digest"], row["health"]) == ("sha-bbbbbbb", digest("b"), "healthy")
    assert row["drift"] == ["runs sha-bbbbbbb; sha-aaaaaaa is stable"]


@pytest.mark.parametrize(
    ("facts", "drift"),
    [
        ({"State": {"Status": "exited"}}, ["is exited", "not healthy: exited"]),
        ({"State": {"Health": {"Status": "unhealthy"}}}, ["not healthy: unhealthy"]),
        (
            {
                "Config": {
                    "Image": "x",
                    "Labels": {"com.docker.compose.project": "app-core", "com.docker.compose.service": "web"},
                }
            },
            ["runs with another configuration than the release's"],
        ),
    ],
)
def test_drift_of_one_service(host, facts, drift):
    host.rollout("a")
    edit(host, "web", **facts)
    assert drift_of(host) == drift
    assert drift_of(host, "job") == []


def test_a_crash_since_it_was_started_is_drift_between_two_crashes_too(host):
    host.rollout("a")
    run = host.engine.run
    host.engine.run = lambda words, **more: (0, "no access with canary-a\n", "") if words[0] == "logs" else run(words, **more)
    masking.learn_releases(host.store)
    edit(host, "web", RestartCount=3)
    row = rows(host)["web"]
    assert (row["health"], row["restarts"], row["log"]) == ("healthy", 3, "no access with ********")
    assert row["drift"] == [
        "crashed, and the engine restarted it, 3 times since it was started. Its last line: no access with ********"
    ]
    edit(host, "web", RestartCount=1)
    host.engine.run = lambda words, **more: (0, "\n", "") if words[0] == "logs" else run(words, **more)
    assert drift_of(host) == ["crashed, and the engine restarted it, once since it was started"]
    # As after `docker restart`, a reboot or a restart of the engine: these begin a new count.
    edit(host, "web", RestartCount=0)
    edit(host, "db", RestartCount=7)
    assert [row["drift"] for row in rows(host).values()] == [[], [], []], "nobody released the database"


def test_its_last_line_is_of_the_life_that_ended(host):
    host.rollout("a")
    run, until = host.engine.run, ["--until", "2026-01-01T00:00:00Z"]
    lives = {True: "serving\nFATAL: no licence\n", False: "serving\nFATAL: no licence\nserving\n"}
    host.engine.run = lambda words, **more: (0, lives[words[3:5] == until], "") if words[0] == "logs" else run(words, **more)
    edit(host, "web", RestartCount=1)
    assert rows(host)["web"]["log"] == "FATAL: no licence"
    # Before its next start the last line of all is the one.
    edit(host, "web", State={"Status": "restarting"})
    lives[False] = "serving\nFATAL: no licence\nserving\nFATAL: again\n"
    assert rows(host)["web"]["log"] == "FATAL: again"
    # It may have written nothing before, or too much since.
    edit(host, "web", State={"Status": "running"})
    lives[True] = ""
    assert rows(host)["web"]["log"] == "FATAL: again"


def test_of_a_chatty_service_that_crashed_a_line_is_shown_and_no_more(host):
    host.rollout("a")
    run = host.engine.run
    host.engine.run = lambda words, **more: (0, "x" * 4000, "") if words[0] == "logs" else run(words, **more)
    edit(host, "web", RestartCount=3)
    assert rows(host)["web"]["log"] == "x" * observe.LAST_LINE


def test_no_container(host):
    host.rollout("a")
    host.engine.made = [c for c in host.engine.made if c["Id"] != host.engine.running()["web"]]
    row = rows(host)["web"]
    assert (row["health"], row["drift"]) == ("absent", ["has no container", "not healthy: absent"])


def test_what_is_not_part_of_the_release(host):
    host.rollout("a")
    host.engine.add("app-core", "stray", {"image": f"r/web@{digest('a')}"})
    assert rows(host)["stray"]["drift"] == ["is not part of the release"]


def test_files_edited_by_hand(host):
    host.rollout("a")
    path = host.store.directory("sha-aaaaaaa") / FILE
    path.write_text(path.read_text() + "\n")
    assert f"{FILE} was edited by hand" in drift_of(host)
    assert drift_of(host, "db") == []


@pytest.mark.parametrize(("spec", "why"), [({"image": "postgres:18"}, "image 17 -> 18"), ({"user": "1"}, "configuration")])
def test_a_kept_service_that_is_not_as_the_release_has_it_is_drift_with_the_command_that_brings_it(host, spec, why):
    host.rollout("a")
    document = json.loads(text_of("sha-bbbbbbb"))
    document["services"]["db"].update(spec)
    host.rollout("b", text=json.dumps(document))
    row = rows(host)["db"]
    assert row["drift"] == [
        f"kept, and not as the release has it: {why}. To bring it: ansible-playbook rollout.yml -e sha=bbbbbbb -e replace=db"
    ]
    assert (row["release"], row["health"]) == ("-", "healthy")
    name = host.store.ledger().stable.name
    host.bring(name, "run-c", replace=("db",))
    settle.confirm(host.store, host.engine, name, "run-c", "rollout", 5, False)
    assert drift_of(host, "db") == []


def test_files_edited_by_hand_are_those_of_the_stack(host):
    texts = {"core": text_of("v", ("web",)), "extra": text_of("v", ("job",), database=False)}
    name = stage.stage(host.store, host.engine, order("a", stacks=texts), False)["name"]
    for part in texts:
        host.bring(name, "run-a", part)
    settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
    (host.store.directory(name) / "extra/.env").write_text("A=1\n")
    found = {row["service"]: row["drift"] for row in observe.services(host.store, host.engine, "app", [*texts])}
    assert (found["web"], found["db"]) == ([], [])
    assert "extra/.env was edited by hand" in found["job"]


def test_without_a_stable_release_what_runs_is_drift(host):
    host.rollout("a")
    host.store.path.unlink()
    assert drift_of(host) == ["web runs, but the ledger knows no stable release"]


def test_a_release_that_is_gone_is_a_sentence(host):
    host.rollout("a")
    host.store.remove("sha-aaaaaaa")
    found = rows(host)
    assert found["-"]["drift"][0].startswith("Release sha-aaaaaaa is incomplete")
    # What runs is there to be seen all the same.
    assert (found["web"]["release"], found["web"]["health"], found["web"]["drift"]) == ("sha-aaaaaaa", "running", [])


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (Answer(URL, 200, "sha-aaaaaaa"), "healthy"),
        (Answer(URL, 503), f"{URL}: HTTP 503"),
        (Answer(URL, 200, "sha-0000000"), f"{URL} to name sha-aaaaaaa (it names sha-0000000)"),
    ],
)
def test_health_urls(host, monkeypatch, answer, health):
    monkeypatch.setattr(http, "ask", lambda url: Answer(URL, 200, "sha-aaaaaaa"))
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL]))
    monkeypatch.setattr(http, "ask", lambda url: answer)
    row = rows(host)["web"]
    assert row["health"] == health
    assert row["drift"] == ([] if health == "healthy" else [f"not healthy: {health}"])


@pytest.mark.parametrize(
    ("verdict", "column", "drift"),
    [
        ({"verdict": "pass", "reason": "ok", "torch": {"version": "2.5"}}, "2.5", []),
        (
            {"verdict": "fail", "reason": "hang", "observed": "no answer in time", "remedy": "Reboot."},
            "fail: hang",
            ["torch: no answer in time. Reboot."],
        ),
        (
            {"verdict": "unknown", "reason": "no_answer", "observed": "no answer", "remedy": "Again."},
            "unknown: no_answer",
            ["torch: no answer. Again."],
        ),
        # It has filled the card itself.
        ({"verdict": "unknown", "reason": "out_of_memory"}, "unknown: out_of_memory", []),
    ],
)
def test_torch(host, monkeypatch, verdict, column, drift):
    monkeypatch.setattr(torch_check, "in_image", lambda *a: {"verdict": "pass", "torch": None})
    monkeypatch.setattr(torch_check, "in_container", lambda *a: {"verdict": "pass", "torch": None})
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    monkeypatch.setattr(torch_check, "in_container", lambda *a: verdict)
    row = rows(host)["web"]
    assert (row["torch"], row["drift"], row["verdict"]) == (column, drift, verdict)
    assert rows(host, torch=False)["web"]["torch"] == "-"
    edit(host, "web", State={"Status": "exited"})
    stopped = rows(host)["web"]
    assert (stopped["torch"], stopped["verdict"]["reason"]) == ("-", "no_answer")
    assert stopped["verdict"]["observed"] == "its container does not run"
