from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout import net, sdk, stage
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.health import Answer
from story import Host, held, order
from story import stack as text_of

URL = "http://127.0.0.1:8000/health"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "state")


@pytest.fixture
def answers(monkeypatch):
    """What the health URL says, one after the other; the last one for ever."""
    given = []
    monkeypatch.setattr(net, "ask", lambda url: given.pop(0) if len(given) > 1 else given[0])
    return given


def staged(host, letter, **facts):
    asked = order(letter, **facts)
    return stage.stage(host.store, host.engine, asked, False)["name"]


def actions(result):
    return {s["service"]: s["action"] for s in result["services"]}


def failure(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value), error.value.facts


def test_the_first_switch_creates_all_the_database_first(host):
    name = staged(host, "a")
    host.engine.calls = []
    result = host.switch(name).switch(False)
    assert result["changed"]
    assert host.engine.touched == ["up db create", "up web create", "up job create"]
    assert actions(result) == {"db": "create", "web": "create", "job": "create"}
    assert host.events() == [
        ("staged", name),
        ("switching", "db"),
        ("switching", "web"),
        ("switching", "job"),
        ("switched", name),
    ]


def test_a_second_switch_restarts_nothing(host):
    host.rollout("a")
    before, events, host.engine.calls = host.engine.running(), host.events(), []
    result = host.switch("sha-aaaaaaa").switch(False)
    assert not result["changed"]
    assert set(actions(result).values()) == {"keep"}
    assert (host.engine.running(), host.events(), host.engine.touched) == (before, events, [])


def test_the_database_is_never_recreated(host):
    host.rollout("a")
    before = host.engine.running()
    document = json.loads(text_of("sha-bbbbbbb"))
    document["services"]["db"].update(image="postgres:18", environment={"NEW": "1"})
    host.rollout("b", text=json.dumps(document))
    after = host.engine.running()
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    assert after["job"] != before["job"]
    assert "up db recreate" not in host.engine.calls


def test_only_what_changed_is_recreated(host):
    host.rollout("a")
    before = host.engine.running()
    document = json.loads(text_of("sha-aaaaaaa"))
    document["services"]["job"]["environment"] = {"NEW": "1"}
    name = staged(host, "a", text=json.dumps(document))
    result = host.switch(name).switch(False)
    assert name == "sha-aaaaaaa.2"
    assert actions(result) == {"db": "keep", "web": "keep", "job": "recreate"}
    assert host.engine.running()["web"] == before["web"]


def test_what_is_no_longer_in_the_file_is_stopped_and_removed(host):
    host.rollout("a")
    orphan = host.engine.running()["job"]
    name = staged(host, "b", text=text_of("sha-bbbbbbb", ("web",)))
    host.engine.calls = []
    result = host.switch(name).switch(False)
    assert actions(result) == {"db": "keep", "web": "recreate", "job": "remove"}
    assert [c for c in host.engine.touched if orphan in c] == [f"stop {orphan}", f"rm {orphan}"]
    assert set(host.engine.running()) == {"db", "web"}


def test_a_stack_that_the_release_does_not_have_goes_whole(host):
    host.rollout("a")
    manifest = host.store.directory("sha-aaaaaaa") / "release.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "stacks": []}))
    assert set(actions(host.switch("sha-aaaaaaa").switch(False)).values()) == {"remove"}
    assert host.engine.running() == {}


@pytest.mark.parametrize("present", [False, True])
def test_check_mode_writes_nothing(host, present):
    if present:
        host.rollout("a")
    name = staged(host, "b", text=text_of("sha-bbbbbbb", ("web",)))
    before, events, host.engine.calls = host.engine.running(), host.events(), []
    result = host.switch(name).switch(True)
    assert result["changed"]
    assert (host.engine.running(), host.events(), host.engine.touched) == (before, events, [])


def test_check_mode_holds_the_gates_of_what_stays(host, answers):
    answers[:] = [Answer(URL, 200, "sha-aaaaaaa")]
    text = text_of("sha-aaaaaaa", ("web",), health=[URL])
    host.rollout("a", text=text)
    assert not host.switch("sha-aaaaaaa").switch(True)["changed"]
    answers[:] = [Answer(URL, 503, None, "no database")]
    sentence, facts = failure(host.switch("sha-aaaaaaa").switch, True)
    assert f"{URL}: HTTP 503 no database" in sentence
    assert facts["gate"] == "health"


def test_a_gate_that_does_not_hold(host, answers, clock):
    answers[:] = [Answer(URL, None, None, "connection refused")] * 3 + [Answer(URL, 200, "sha-0000000")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=9))
    sentence, facts = failure(host.switch(name).switch, False)
    assert sentence == (
        "Service web (stack core) does not pass on sha-aaaaaaa: after 9 s (its deadline is 9 s) it still waits for "
        f"{URL} to name sha-aaaaaaa (it names sha-0000000)."
    )
    assert facts == {"service": "web", "stack": "core", "gate": "health", "log": "the last line"}
    assert host.events()[-1] == ("switching", "web"), "not switched: the run is still open"
    assert host.store.ledger().interrupted["service"] == "web"


def test_a_gate_waits_for_a_slow_start(host, answers):
    answers[:] = [Answer(URL, None, None, "connection refused")] * 30 + [Answer(URL, 200, "sha-aaaaaaa")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=60, successes=3, window=1))
    result = host.switch(name).switch(False)
    seconds = {s["service"]: s["seconds"] for s in result["services"]}
    assert 1 < seconds["web"] < 60


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({"Status": "exited", "ExitCode": 3}, "it ended with exit status 3 (exited)"),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "it was killed: out of memory"),
        ({"Status": "restarting", "ExitCode": 1}, "it ended with exit status 1 (restarting)"),
        ({"restarts": 4}, "it crashed and was restarted 4 times"),
    ],
)
def test_a_crash_fails_at_once(host, clock, state, what):
    host.engine.broken = {"web": state}
    name = staged(host, "a", text=text_of("sha-aaaaaaa", deadline=9999))
    sentence, facts = failure(host.switch(name).switch, False)
    assert sentence == f"Service web (stack core) does not pass on sha-aaaaaaa: {what}."
    assert facts["gate"] == "container"
    assert facts["log"] == "the last line"
    assert "up job create" not in host.engine.calls, "what comes after is left as it was"
    assert clock.time < 10


def test_a_service_that_cannot_be_started(host):
    host.engine.fail = {"up web": "driver failed: port is already allocated"}
    name = staged(host, "a")
    sentence, facts = failure(host.switch(name).switch, False)
    assert sentence == (
        "Service web (stack core) does not pass on sha-aaaaaaa: Starting web failed: driver failed: port is already allocated."
    )
    assert facts == {"service": "web", "stack": "core", "gate": "start", "log": ""}
    assert host.events()[-1] == ("switching", "web")


def test_another_image_than_the_released_one_fails(host):
    name = staged(host, "a")
    switch = host.switch(name)
    switch.image_ids["r/web"] = "sha256:" + "f" * 64
    sentence, _facts = failure(switch.switch, False)
    assert "it runs image sha256:1aaaaaaaaaaa, not the released sha256:ffffffffffff" in sentence


def test_without_waiting_no_gate_is_held(host):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    result = host.switch(staged(host, "a")).switch(False, wait=False)
    assert result["changed"]
    assert host.events()[-1][0] == "switched"


def test_an_old_crash_of_a_container_that_stays_does_not_matter_but_one_of_this_run_does(host):
    host.rollout("a")
    next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])["RestartCount"] = 2
    host.switch("sha-aaaaaaa", "later").switch(True)
    host.store.append("switching", "later", name="sha-aaaaaaa", release="sha-aaaaaaa", stack="core", service="web")
    sentence, _facts = failure(host.switch("sha-aaaaaaa", "later").switch, True)
    assert "it crashed and was restarted 2 times" in sentence


@pytest.mark.parametrize(("verdict", "passes"), [("pass", True), ("fail", False), ("unknown", False)])
def test_the_torch_contract_of_the_running_container(host, monkeypatch, verdict, passes):
    seen = []

    def check(target, expected, **options):
        seen.append((target, options["image"]))
        good = options["image"] or passes
        return {
            "verdict": "pass" if good else verdict,
            "reason": "ok" if good else "hang",
            "expected": expected,
            "fault": "host",
            "observed": "nothing",
            "remedy": "Reboot.",
        }

    monkeypatch.setattr(sdk, "check", check)
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    if passes:
        result = host.switch(name).switch(False)
        assert next(s["torch"] for s in result["services"] if s["service"] == "web")["verdict"] == "pass"
        assert seen[-1] == (host.engine.running()["web"], False)
    else:
        sentence, facts = failure(host.switch(name).switch, False)
        assert "torch contract broken: expected torch for cpu, found nothing (hang). The fault is the host's. Reboot." in sentence
        assert facts["gate"] == "torch"


def test_back_to_the_release_before(host):
    host.rollout("a")
    host.engine.broken = {"job": {"Status": "exited", "ExitCode": 1}}
    name = staged(host, "b")
    failure(host.switch(name, "run-b").switch, False)
    host.engine.broken = {}
    host.switch("sha-aaaaaaa", "run-b").switch(False)
    assert {c["Config"]["Image"][-6:] for c in host.engine.made} == {"aaaaaa", "res:17"}
    assert not host.switch("sha-aaaaaaa", "run-b").switch(True)["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_remove_takes_the_released_services_and_leaves_the_data(host, check):
    name = staged(host, "a")
    host.switch(name).switch(False)
    result = host.switch(name).remove(check)
    assert result["changed"]
    assert set(actions(result)) == {"web", "job"}
    assert set(host.engine.running()) == ({"db", "web", "job"} if check else {"db"})
    if not check:
        assert not host.switch(name).remove(False)["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_armed_once_before_the_first_change_and_never_without_one(host, check):
    host.rollout("a")
    armed = []
    for name, times in (("sha-aaaaaaa", 0), (staged(host, "b"), 0 if check else 1)):
        armed.clear()
        events = host.events()
        switch = host.switch(name, "run-b")
        switch.arm = lambda events=events: armed.append(host.events() == events)
        switch.switch(check)
        assert armed == [True] * times


def test_a_gate_ends_when_the_run_loses_the_lock(host, answers):
    answers[:] = [Answer(URL, None, None, "connection refused")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=9999))
    held(host.store, "run-a")
    switch, other = host.switch(name, "run-a"), Store(str(host.store.root))
    real = host.engine.inspect

    def inspect(kind, names):
        if "up web create" in host.engine.calls:
            held(other, "run-x", user="eve", host="desk")
        return real(kind, names)

    host.engine.inspect = inspect
    with host.store.step("run-a"):
        sentence, facts = failure(switch.switch, False)
    assert sentence.startswith("Run run-a no longer holds the lock of this host: run run-x of eve@desk, since ")
    assert facts == {"fenced": "run"}
    assert host.events()[-1] == ("switching", "web")


@pytest.mark.parametrize("prove", [True, False])
def test_the_guard_proves_no_torch(host, monkeypatch, prove):
    asked = []
    monkeypatch.setattr(sdk, "check", lambda target, *_, image, **__: asked.append(image) or {"verdict": "pass", "torch": None})
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    switch = host.switch(name)
    switch.prove_torch = prove
    switch.switch(False)
    assert asked == [True] + [False] * prove


def test_a_release_that_is_not_there(host):
    with pytest.raises(RolloutError, match="Release sha-zzzzzzz is incomplete"):
        host.switch("sha-zzzzzzz")
