from __future__ import annotations

import json
import re

import pytest
from ansible.module_utils.rollout import contract, gates, gpu, net, observe, phases, settle, stage, torch_verdict
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.gates import Gates
from ansible.module_utils.rollout.health import Answer
from ansible.module_utils.rollout.switch import Switch
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
    # When what was done has tests of its own, below.
    return str(error.value), {k: v for k, v in error.value.facts.items() if k not in ("phases", "clock")}


def test_the_first_switch_creates_all_the_database_first(host):
    name = staged(host, "a")
    host.engine.calls = []
    result = host.switch(name).switch(False)
    assert result["changed"]
    assert host.engine.touched == ["up db create", "up web job create"]
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


def test_what_is_removed_may_take_its_grace_period(host, monkeypatch):
    host.rollout("a")
    for found in host.engine.made:
        found["Config"]["StopTimeout"] = 300
    run, limits = host.engine.run, []

    def counted(arguments, *rest, timeout=None, **options):
        if arguments[0] == "stop":
            limits.append(timeout)
        return run(arguments, *rest, timeout=timeout, **options)

    monkeypatch.setattr(host.engine, "run", counted)
    host.switch(staged(host, "b", text=text_of("sha-bbbbbbb", ("web",)))).switch(False)
    assert limits == [420]


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


@pytest.fixture
def said_meanwhile(monkeypatch):
    """What a host says of itself, all of it."""
    found = []
    monkeypatch.setattr(Store, "tell", lambda self, **facts: found.append(facts))
    return found


def test_a_gate_tells_what_it_waits_for(host, answers, said_meanwhile):
    answers[:] = [Answer(URL, 503, None, "starting"), Answer(URL, 200, "sha-aaaaaaa")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), False, health=[URL], deadline=60, successes=2))
    said_meanwhile.clear()
    host.switch(name).switch(False)
    waited = {"step": "gate", "what": "web", "deadline": 60.0}
    assert said_meanwhile == [
        {**waited, "waiting_for": f"{URL}: HTTP 503 starting", "elapsed": 0.0},
        {**waited, "waiting_for": "2 good answers in a row", "elapsed": 0.0},
    ]


def test_of_gates_that_wait_together_one_is_told_of(host, answers, said_meanwhile):
    # Told of each in turn, whoever writes it down would write it anew each time.
    answers[:] = [Answer(URL, 503, None, "starting")] * 6 + [Answer(URL, 200, "sha-aaaaaaa")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web", "job"), False, health=[URL], deadline=60))
    said_meanwhile.clear()
    host.switch(name).switch(False)
    assert [facts["what"] for facts in said_meanwhile] == ["web"] * 3


def test_what_holds_at_once_has_nothing_to_tell(host, said_meanwhile):
    name = staged(host, "a", text=text_of("sha-aaaaaaa", database=False))
    said_meanwhile.clear()
    host.switch(name).switch(False)
    assert said_meanwhile == []


def test_what_a_gate_tells_has_no_secrets(host, answers, said_meanwhile):
    answers[:] = [Answer(URL, 503, None, "no access: postgresql://app:canary-a@db"), Answer(URL, 200, "sha-aaaaaaa")]
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), False, health=[URL], deadline=60))
    host.switch(name).switch(False)
    assert said_meanwhile[-1]["waiting_for"] == f"{URL}: HTTP 503 no access: postgresql://app:********@db"


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
    assert clock.time < 10


def test_one_after_another_what_comes_after_a_failure_is_left_as_it_was(host):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    name = staged(host, "a")
    one_by_one = Switch(host.store, host.engine, "app", "core", name, "run", together=False)
    sentence, _facts = failure(one_by_one.switch, False)
    assert "it ended with exit status 3" in sentence
    assert host.engine.touched[-2:] == ["up db create", "up web create"]


def test_a_service_that_cannot_be_started(host):
    host.engine.fail = {"up web": "driver failed: port is already allocated"}
    name = staged(host, "a")
    sentence, facts = failure(host.switch(name).switch, False)
    assert sentence == (
        "Service web (stack core) does not pass on sha-aaaaaaa: Starting web and job failed: driver failed: port is already allocated."
    )
    assert facts == {"service": "web", "stack": "core", "gate": "start", "log": ""}
    assert host.events()[-2:] == [("switching", "web"), ("switching", "job")]


def test_another_image_than_the_released_one_fails(host, monkeypatch):
    name = staged(host, "a")
    switch = host.switch(name)
    monkeypatch.setattr(stage, "image_ids", lambda *_given: {})
    switch.image_ids["r/web"] = "sha256:" + "f" * 64
    sentence, _facts = failure(switch.switch, False)
    assert "it runs image sha256:1aaaaaaaaaaa, not the released sha256:ffffffffffff" in sentence


def other_store(host):
    """The engine keeps its images another way now, and knows each by another id."""
    known = {old: old.replace("sha256:1", "sha256:2") for old in host.engine.images.values()}
    host.engine.images = {reference: known[old] for reference, old in host.engine.images.items()}
    for made in host.engine.made:
        made["Image"] = known[made["Image"]]


def test_the_same_image_by_another_id_is_the_same(host):
    host.rollout("a")
    host.rollout("b")
    other_store(host)
    assert not host.switch("sha-bbbbbbb").switch(False)["changed"]
    assert settle.prove(host.store, host.engine, "app", "sha-bbbbbbb", "run", 60)["changed"] is False
    assert [row["drift"] for row in observe.services(host.store, host.engine, "app", ["core"])] == [[], [], []]
    back = stage.restage(host.store, host.engine, "sha-bbbbbbb", True)["preview"]
    assert {row["action"] for row in back["services"]} == {"keep"}
    host.switch("sha-aaaaaaa").switch(False)
    assert {c["Image"][:10] for c in host.engine.made if "r/" in c["Config"]["Image"]} == {"sha256:2aa"}


def test_an_image_that_is_not_here_by_its_digest_is_known_by_its_id(host):
    host.rollout("a")
    host.engine.images = {}
    assert not host.switch("sha-aaaaaaa").switch(False)["changed"]


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


class Torch:
    """What the contract says: of images always a pass, of containers ``reason``. ``seen``: the containers asked."""

    def __init__(self, monkeypatch):
        self.reason, self.seen = "ok", []
        monkeypatch.setattr(contract, "in_image", lambda engine, service, expected, *_: self.judged("ok", expected))
        monkeypatch.setattr(contract, "in_container", self.in_container)

    @staticmethod
    def judged(reason, expected):
        verdict, fault, remedy = torch_verdict.REASONS[reason]
        found = {"verdict": verdict, "reason": reason, "fault": fault, "remedy": remedy}
        return {**found, "expected": str(expected), "observed": "nothing", "torch": None}

    def in_container(self, engine, container, expected, limit_s, host=None):
        self.seen.append(container)
        return self.judged(self.reason, expected)


@pytest.fixture
def torch(monkeypatch):
    return Torch(monkeypatch)


@pytest.mark.parametrize("reason", ["ok", "hang", "no_answer", "out_of_memory"])
def test_the_torch_contract_of_the_running_container(host, torch, reason):
    name = staged(host, "a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    torch.reason = reason
    if reason == "ok":
        result = host.switch(name).switch(False)
        assert next(s["torch"] for s in result["services"] if s["service"] == "web")["verdict"] == "pass"
        assert torch.seen == [host.engine.running()["web"]]
    else:
        sentence, facts = failure(host.switch(name).switch, False)
        assert f"torch contract broken: expected torch for cpu, found nothing ({reason})." in sentence
        assert facts["gate"] == "torch"


class Card:
    """A host with one card, as nvidia-smi would tell: who holds it, what is free, look by look; the last for ever."""

    def __init__(self, monkeypatch):
        self.facts = {"driver": {"loaded": "580.65.06", "installed": "580.65.06"}, "runtimes": ["nvidia"]}
        self.holders, self.full = [[]], [""]
        monkeypatch.setattr(gpu, "facts", lambda engine: self.facts)
        monkeypatch.setattr(gpu, "processes", lambda: self.take(self.holders))
        monkeypatch.setattr(gpu, "too_full", lambda need_mib, only: self.take(self.full))

    @staticmethod
    def take(given):
        return given.pop(0) if len(given) > 1 else given[0]


@pytest.fixture
def card(monkeypatch, torch):
    return Card(monkeypatch)


def on_gpu(letter):
    return text_of("sha-" + letter * 7, ("web",), torch="cuda")


OLD = {"pid": 4711, "name": "python3", "memory_mib": 9000}


def test_the_old_container_leaves_the_card_before_the_new_one_starts(host, card, clock):
    host.rollout("a", text=on_gpu("a"))
    name = staged(host, "b", text=on_gpu("b"))
    card.holders, card.full, host.engine.calls = [[OLD], [OLD], []], ["full", "full", ""], []
    host.switch(name).switch(False)
    assert host.engine.touched == ["stop web", "up web recreate"]
    assert card.holders == [[]], "looked until it was free"


def test_the_card_and_torch_are_told(host, card, said_meanwhile):
    host.rollout("a", text=on_gpu("a"))
    name = staged(host, "b", text=on_gpu("b"))
    said_meanwhile.clear()
    host.switch(name).switch(False)
    assert said_meanwhile == [{"step": "card", "what": "web"}, {"step": "torch", "what": "web"}]


def test_a_card_that_is_still_held_is_said_with_its_holders(host, card, clock):
    host.rollout("a", text=on_gpu("a"))
    name = staged(host, "b", text=on_gpu("b"))
    card.holders, card.full = [[OLD]], ["RTX 3090 has 100 MiB free of the 1024 needed"]
    sentence, facts = failure(host.switch(name).switch, False)
    assert sentence == (
        "Service web (stack core) does not pass on sha-bbbbbbb: the card was not free 60 s after the old container was stopped "
        "(RTX 3090 has 100 MiB free of the 1024 needed): it is held by pid 4711 (python3, 9000 MiB). End that process, or raise "
        "rollout_gpu_release_timeout."
    )
    assert (facts["gate"], facts["log"]) == ("start", ""), "the old container's log tells nothing of it"
    host.switch("sha-aaaaaaa").switch(False, wait=False)
    assert host.engine.calls[-1] == "up web recreate", "on the way back it is tried all the same"


def test_a_driver_that_was_upgraded_meanwhile_leaves_the_service_alone(host, card):
    host.rollout("a", text=on_gpu("a"))
    name = staged(host, "b", text=on_gpu("b"))
    before, host.engine.calls = host.engine.running(), []
    card.facts["driver"]["installed"] = "590.44.01"
    sentence, facts = failure(host.switch(name).switch, False)
    assert "(driver_mismatch). The fault is the host's. Rolling back will not help: " in sentence
    assert facts["gate"] == "gpu"
    assert (host.engine.running(), host.engine.touched) == (before, [])
    host.switch("sha-aaaaaaa").switch(False)


@pytest.mark.parametrize(
    ("reason", "holds"), [("ok", True), ("out_of_memory", True), ("gpu_busy", True), ("gpu_lost", False), ("no_answer", False)]
)
def test_settling_proves_the_gpu_again_in_the_same_container(host, card, torch, reason, holds):
    host.rollout("a", text=on_gpu("a"))
    torch.seen.clear()
    torch.reason = reason
    host.switch("sha-aaaaaaa").switch(True)
    assert torch.seen == [], "only settling asks"
    if holds:
        assert not host.switch("sha-aaaaaaa").switch(True, settle=True)["changed"]
    else:
        sentence, facts = failure(lambda: host.switch("sha-aaaaaaa").switch(True, settle=True))
        assert f"({reason})" in sentence
        assert facts["gate"] == "torch"
    assert torch.seen == [host.engine.running()["web"]]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("ok", ("keep", "")),
        ("gpu_busy", ("keep", "")),
        ("gpu_lost", ("recreate", "torch: gpu_lost")),
        ("no_answer", ("recreate", "torch: no_answer")),
    ],
)
def test_a_container_that_lost_its_card_is_recreated(host, card, torch, monkeypatch, reason, change):
    host.rollout("a", text=on_gpu("a"))
    old, host.engine.calls = host.engine.running()["web"], []
    judged = lambda engine, container, expected, *_: torch.judged(reason if container == old else "ok", expected)  # noqa: E731
    monkeypatch.setattr(contract, "in_container", judged)
    result = host.switch("sha-aaaaaaa").switch(False)
    assert [(s["action"], s["why"]) for s in result["services"] if s["service"] == "web"] == [change]
    assert host.engine.touched == (["stop web", "up web recreate"] if change[0] == "recreate" else [])


def test_settling_does_not_prove_cpu_torch_again(host, torch):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    torch.seen.clear()
    host.switch("sha-aaaaaaa").switch(True, settle=True)
    assert torch.seen == []


STOP = "http://127.0.0.1:8000/workers/web/drain"


class Work:
    """A service that can be drained: what is told to it is in ``told``, with the engine's calls up to then in ``after``; it
    answers with ``at_hand``, look by look, the last for ever."""

    def __init__(self, monkeypatch, engine):
        self.told, self.after, self.at_hand = [], [], [()]
        self.engine = engine
        monkeypatch.setattr(net, "tell", self.tell)

    def tell(self, url, document):
        assert url == STOP
        self.told.append(document["draining"])
        self.after.append(list(self.engine.touched))
        given = self.at_hand
        said = given.pop(0) if document["draining"] and len(given) > 1 else given[0]
        return said if isinstance(said, Answer) else Answer(STOP, 200, operations=said)


@pytest.fixture
def work(host, monkeypatch):
    return Work(monkeypatch, host.engine)


def draining(letter, **keys):
    return text_of("sha-" + letter * 7, ("web",), drain={"stop": STOP, **keys})


def from_a_to_b(host, how="checkpoint", seconds=300.0, back=False, **keys):
    """Switch from release a to b; what the service's row tells of the drain."""
    host.rollout("a", text=draining("a", **keys))
    name = staged(host, "b", text=draining("b", **keys))
    switch, host.engine.calls = host.switch(name, "run-b"), []
    switch.drain_mode, switch.drain_s = how, seconds
    result = switch.switch(False, wait=not back)
    return next(s["drain"] for s in result["services"] if s["service"] == "web")


def test_waiting_until_a_service_is_idle(host, work, clock):
    work.at_hand = [("op-1",)] * 5 + [()]
    said = from_a_to_b(host, "wait")
    assert re.fullmatch(r"waited \d s for 1 operation", said)
    assert work.told == [True] * 6
    assert work.after == [[]] * 6, "it was not stopped before"
    assert host.engine.touched == ["stop web", "up web recreate"]


def test_what_a_drain_tells_has_no_secrets(host, work, clock, said_meanwhile):
    work.at_hand = [("as-canary-b",)] * 3 + [()]
    from_a_to_b(host, "wait")
    told = [facts["waiting_for"] for facts in said_meanwhile if facts["step"] == "drain"]
    assert told
    assert all("as-********" in one and "canary" not in one for one in told)


def test_a_service_that_stays_busy_is_left_alone(host, work, clock):
    work.at_hand = [("op-1",)]
    sentence, facts = failure(from_a_to_b, host, "wait", 12.0)
    assert sentence == (
        "Service web (stack core) does not pass on sha-bbbbbbb: 12 s after it was told to take no more work it still does "
        "1 operation (op-1). Raise rollout_drain_timeout, or let its work be checkpointed: -e rollout_drain=checkpoint. It was "
        "left running and takes work again."
    )
    assert (facts["gate"], facts["service"]) == ("drain", "web")
    assert work.told[-2:] == [True, False]
    assert host.engine.touched == []
    # The way back finds it as it was, and makes sure.
    back = host.switch("sha-aaaaaaa", "run-b").switch(False, wait=False)
    assert not back["changed"]
    assert work.told[-1] is False


def test_a_service_that_cannot_be_asked(host, work, clock):
    work.at_hand = [Answer(STOP, None, reason="connection refused")]
    sentence, facts = failure(from_a_to_b, host, "wait")
    assert f"it is not known what it still does: {STOP} does not answer (connection refused)." in sentence
    assert sentence.endswith(f"It could not be told to take work again: {STOP} does not answer (connection refused). Restart it.")
    assert facts["gate"] == "drain"
    assert 5 <= clock.time < 7, "not its whole timeout"


@pytest.mark.parametrize(
    ("at_hand", "said"),
    [
        ((), ""),
        (("op-1",), "waited 0 s for 1 operation to end or be checkpointed"),
        (
            Answer(STOP, 404, reason="unknown"),
            f"was not told to take no more work: {STOP} answers HTTP 404 unknown. It was stopped all the same",
        ),
    ],
)
def test_a_checkpoint_stops_the_intake_and_then_the_container(host, work, at_hand, said):
    work.at_hand = [at_hand]
    assert from_a_to_b(host) == said
    assert (work.told, work.after) == ([True], [[]])
    assert host.engine.touched == ["stop web", "up web recreate"]


def test_force_asks_nobody(host, work):
    assert from_a_to_b(host, "force") == "stopped by force"
    assert work.told == []
    assert host.engine.touched == ["stop web in 1 s", "up web recreate"]


@pytest.mark.parametrize("mode", ["wait", "force"])
def test_the_way_back_waits_for_nobody_and_forces_nobody(host, work, mode):
    work.at_hand = [("op-1",)]
    assert from_a_to_b(host, "checkpoint", mode=mode, back=True) == "waited 0 s for 1 operation to end or be checkpointed"


def test_what_a_gate_says_of_its_drain_wins(host, work, clock):
    work.at_hand = [("op-1",)]
    sentence, _facts = failure(lambda: from_a_to_b(host, "checkpoint", 1000.0, mode="wait", timeout=7))
    assert "7 s after it was told to take no more work" in sentence


def test_another_url_says_what_is_at_hand(host, work, answers):
    url = "http://127.0.0.1:8000/workers/web"
    answers[:] = [Answer(url, 200, operations=("op-1",)), Answer(url, 200, operations=())]
    assert from_a_to_b(host, "wait", busy=url).endswith("for 1 operation")
    assert work.told == [True, True]


@pytest.mark.parametrize("status", ["exited", "restarting", "paused"])
def test_what_does_not_run_is_not_drained(host, work, status):
    host.rollout("a", text=draining("a"))
    name = staged(host, "b", text=draining("b"))
    next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])["State"]["Status"] = status
    host.switch(name).switch(False)
    assert work.told == []


def test_neither_check_mode_nor_what_stays_drains(host, work):
    host.rollout("a", text=draining("a"))
    host.switch("sha-aaaaaaa", "later").switch(False)
    host.switch(staged(host, "b", text=draining("b"))).switch(True)
    assert work.told == []


def test_a_drain_comes_before_the_card_is_freed(host, card, work, clock):
    gate = {"torch": "cuda", "drain": {"stop": STOP}}
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), **gate))
    name = staged(host, "b", text=text_of("sha-bbbbbbb", ("web",), **gate))
    card.holders, host.engine.calls = [[OLD], []], []
    host.switch(name).switch(False)
    assert work.after == [[]]
    assert host.engine.touched == ["stop web", "up web recreate"]


@pytest.mark.parametrize("heard", [True, False])
def test_an_interrupted_run_that_left_a_service_draining_is_undone(host, work, heard):
    host.rollout("a", text=draining("a"))
    staged(host, "b", text=draining("b"))
    host.store.append("switching", "run-b", name="sha-bbbbbbb", release="sha-bbbbbbb", stack="core", service="web")
    work.at_hand = [() if heard else Answer(STOP, 503, reason="no database")]
    (row,) = [s for s in host.switch("sha-aaaaaaa", "run-c").switch(False)["services"] if s["service"] == "web"]
    assert work.told == [False]
    assert row["action"] == "keep"
    # Whether it heard it, settling finds out.
    assert row["drain"] == ""


def test_waiting_ends_when_the_run_loses_the_lock(host, work):
    host.rollout("a", text=draining("a"))
    name = staged(host, "b", text=draining("b"))
    held(host.store, "run-b")
    work.at_hand = [("op-1",)]
    switch, other = host.switch(name, "run-b"), Store(str(host.store.root))
    switch.drain_mode, tell = "wait", work.tell

    def tell_and_lose(url, document):
        held(other, "run-x", user="eve", host="desk")
        return tell(url, document)

    net.tell = tell_and_lose
    with host.store.step("run-b"):
        _sentence, facts = failure(switch.switch, False)
    assert facts == {"fenced": "run"}
    assert work.told == [True]
    assert "stop web" not in host.engine.touched


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


def test_remove_leaves_what_no_run_has_begun_to_switch(host):
    """The ledger was moved away, or what ran before the first rollout has the same names."""
    host.rollout("a")
    host.store.path.unlink()
    before = host.engine.running()
    name = staged(host, "b")
    assert not host.switch(name, "run-b").remove(False)["changed"]
    assert host.engine.running() == before
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 1}}
    host.store.append("switching", "run-b", name=name, release=name, stack="core", service="web")
    host.store.append("switching", "run-b", name=name, release=name, stack="other", service="job")
    assert set(actions(host.switch(name, "run-b").remove(False))) == {"web"}
    assert set(host.engine.running()) == {"db", "job"}


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


def test_a_release_that_is_not_there(host):
    with pytest.raises(RolloutError, match="Release sha-zzzzzzz is incomplete"):
        host.switch("sha-zzzzzzz")


def done_when(result):
    return [(p["phase"], p["service"], p["good"]) for p in result["phases"]]


def test_it_says_what_was_done_when(host, monkeypatch):
    # By one clock, that of the gates: this machine's own goes on where theirs stands still.
    monkeypatch.setattr(phases, "time", gates.time)
    name = staged(host, "a")
    result = host.switch(name).switch(False)
    assert done_when(result) == [
        ("start", "db", True),
        ("health", "db", True),
        ("start", "web", True),
        ("start", "job", True),
        ("health", "web", True),
        ("health", "job", True),
    ]
    assert all(0 <= p["from"] <= p["to"] <= result["clock"] for p in result["phases"])
    web = next(s for s in result["services"] if s["service"] == "web")
    assert 0 <= web["gap"] <= web["seconds"]
    again = host.switch(name).switch(False)
    assert again["phases"] == []
    assert {s["gap"] for s in again["services"]} == {None}
    assert done_when(host.switch(name).switch(True, settle=True)) == [("settle", "", True)]


def test_a_failure_says_it_too(host):
    name = staged(host, "a")
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    with pytest.raises(RolloutError) as error:
        host.switch(name).switch(False)
    assert done_when(error.value.facts)[-2:] == [("health", "web", False), ("health", "job", False)]


@pytest.mark.parametrize("wait", [True, False])
def test_a_wait_for_the_card_ends_when_the_run_loses_the_lock(host, card, wait):
    host.rollout("a", text=on_gpu("a"))
    name = staged(host, "b", text=on_gpu("b"))
    held(host.store, "run-b")
    other = Store(str(host.store.root))
    card.full = ["full"]
    real, card.take = card.take, lambda given: held(other, "run-x", user="eve", host="desk") and real(given)
    host.engine.calls = []
    with host.store.step("run-b"):
        _sentence, facts = failure(host.switch(name, "run-b").switch, False, wait)
    assert facts == {"fenced": "run"}
    assert not any(call.startswith("up ") for call in host.engine.touched), "without the lock nothing is started"


def test_what_a_service_says_is_told_without_the_secrets(host, monkeypatch):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "no access: postgresql://app:canary-a@db")
    _sentence, facts = failure(host.switch(staged(host, "a")).switch, False)
    assert facts["log"] == "no access: postgresql://app:********@db"


def test_of_a_secret_that_holds_another_one_nothing_is_left(host, monkeypatch):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "no access: hunter2-and-more, hunter2, abc")
    name = staged(host, "a", secrets={"A": "hunter2", "B": "hunter2-and-more", "C": "abc"})
    _sentence, facts = failure(host.switch(name).switch, False)
    assert facts["log"] == "no access: ********, ********, abc"


def test_where_it_is_not_known_what_is_secret_nothing_is_told(host, monkeypatch):
    name = staged(host, "a")
    (host.store.directory(name) / ".env").write_text("edited by hand\n")
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "canary-a")
    sentence, facts = failure(host.switch(name).switch, False)
    assert "canary" not in sentence + facts["log"]


def test_only_a_restart_behind_its_gate_tells_how_long_the_next_one_takes(host):
    host.rollout("a")
    assert host.store.ledger().took == {}, "they were only started"
    host.switch(staged(host, "b")).switch(False)
    took = host.store.ledger().took
    assert set(took) == {"web", "job"}
    host.switch("sha-aaaaaaa").switch(False, wait=False)
    assert host.store.ledger().took == took, "the way back holds no gate"


def test_what_is_proven_works_again_and_is_told_so_behind_its_gate(host, work, monkeypatch):
    host.rollout("a", text=draining("a"))
    name = staged(host, "b", text=draining("b"))
    host.switch(name, "run-b").switch(False)
    order_of = []
    hold = Gates.hold
    monkeypatch.setattr(Gates, "hold", lambda *a, **k: order_of.append("gate") or hold(*a, **k))
    tell = work.tell
    net.tell = lambda url, document: order_of.append(document["draining"]) or tell(url, document)
    host.switch(name, "run-b").switch(True, settle=True)
    assert order_of.index(False) > order_of.index("gate"), "before its gate nobody there may know it yet"
    # It has just started, and has to be registered first.
    answers = [Answer(STOP, 404, reason="not registered")] * 3 + [Answer(STOP, 200, operations=())]
    net.tell = lambda _url, _document: answers.pop(0)
    host.switch(name, "run-b").switch(True, settle=True)
    assert answers == []
    net.tell = work.tell
    work.at_hand = [Answer(STOP, 404, reason="not registered")]
    sentence, facts = failure(host.switch(name, "run-b").switch, True, True, True)
    assert facts["gate"] == "drain"
    assert "it could not be told to take work again" in sentence
