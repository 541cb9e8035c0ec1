from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import torch_check
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import stage, switch
from fake_engine import digest
from story import OLD, URL, WEB, actions, done_when, failure, held, on_gpu, order
from story import stack as text_of


def test_the_first_switch_creates_all_the_database_first(host):
    name = host.staged("a")
    host.engine.calls = []
    result = host.bring(name)
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
    result = host.bring("sha-aaaaaaa")
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


def with_database(letter, image="postgres:17", **spec):
    document = json.loads(text_of(f"sha-{letter * 7}"))
    document["services"]["db"].update(image=image, **spec)
    return json.dumps(document)


DIFFERENT = [({"image": "postgres:18"}, "image 17 -> 18"), ({"user": "1"}, "configuration")]


@pytest.mark.parametrize(("spec", "why"), DIFFERENT)
def test_what_differs_of_a_kept_service_is_told_and_not_brought(host, spec, why):
    host.rollout("a")
    before = host.engine.running()["db"]
    name = host.staged("b", text=with_database("b", **spec))
    assert {s["service"]: (s["action"], s["why"]) for s in host.look(name)["services"]}["db"] == ("keep", f"kept: {why}")
    done = host.bring(name, "run-b")
    assert {s["service"]: (s["action"], s["why"]) for s in done["services"]} == {
        "db": ("keep", f"kept: {why}"),
        "web": ("recreate", "image"),
        "job": ("recreate", "image"),
    }
    assert host.engine.running()["db"] == before
    assert host.look(name)["changed"] is False


@pytest.mark.parametrize("replaced", [("db",), ("*",), ("db", "web")])
@pytest.mark.parametrize(("spec", "why"), DIFFERENT)
def test_it_is_restarted_where_that_is_asked_for_before_the_others_and_comes_back_on_the_way_back(host, spec, why, replaced):
    host.rollout("a")
    before = host.engine.running()["db"]
    name = host.staged("b", text=with_database("b", **spec))
    done = host.bring(name, "run-b", replace=replaced)
    assert actions(done) == {"db": "recreate", "web": "recreate", "job": "recreate"}
    assert done["services"][0]["service"] == "db"
    assert host.engine.running()["db"] != before
    assert host.bring(name, "run-b", replace=replaced)["changed"] is False
    back = host.bring_back("sha-aaaaaaa", "run-b")
    assert actions(back)["db"] == "recreate"
    one = next(c for c in host.engine.made if c["Id"] == host.engine.running()["db"])
    assert one["Config"]["Image"] == f"postgres:17@{digest('d')}"
    assert not host.bring_back("sha-aaaaaaa", "run-b")["changed"]


def test_on_the_way_back_it_stays_where_no_run_has_begun_to_restart_it(host):
    host.rollout("a")
    name = host.staged("b", text=with_database("b", user="1"))
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 1}}
    failure(host.bring, name, "run-b")
    host.engine.broken, before = {}, host.engine.running()["db"]
    assert actions(host.bring_back("sha-aaaaaaa", "run-b"))["db"] == "keep"
    assert host.engine.running()["db"] == before


def test_a_replace_of_a_kept_service_that_does_not_differ_restarts_nothing(host):
    host.rollout("a")
    name = host.staged("b")
    assert actions(host.bring(name, "run-b", replace=("*",)))["db"] == "keep"


def test_a_kept_service_that_was_stopped_is_started_as_it_was(host):
    host.rollout("a")
    before = host.engine.running()["db"]
    host.edit("db", State={"Status": "exited"})
    name = host.staged("b", text=with_database("b", "postgres:18"))
    host.engine.calls = []
    done = host.bring(name, "run-b")
    assert {s["service"]: (s["action"], s["why"]) for s in done["services"]}["db"] == ("create", "exited")
    assert host.engine.running()["db"] == before, "it was started, and is no other container"


def test_only_what_changed_is_recreated(host):
    host.rollout("a")
    before = host.engine.running()
    document = json.loads(text_of("sha-aaaaaaa"))
    document["services"]["job"]["environment"] = {"NEW": "1"}
    name = host.staged("a", text=json.dumps(document))
    result = host.bring(name)
    assert name == "sha-aaaaaaa.2"
    assert actions(result) == {"db": "keep", "web": "keep", "job": "recreate"}
    assert host.engine.running()["web"] == before["web"]


def test_what_is_no_longer_in_the_file_is_stopped_and_removed(host):
    host.rollout("a")
    orphan = host.engine.running()["job"]
    name = host.staged("b", text=text_of("sha-bbbbbbb", ("web",)))
    host.engine.calls = []
    result = host.bring(name)
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
    host.bring(host.staged("b", text=text_of("sha-bbbbbbb", ("web",))))
    assert limits == [420]


def test_a_stack_that_the_release_does_not_have_goes_whole(host):
    host.rollout("a")
    manifest = host.store.directory("sha-aaaaaaa") / "release.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "stacks": []}))
    assert set(actions(host.bring("sha-aaaaaaa")).values()) == {"remove"}
    assert host.engine.running() == {}


@pytest.mark.parametrize("present", [False, True])
def test_check_mode_writes_nothing(host, present):
    if present:
        host.rollout("a")
    name = host.staged("b", text=text_of("sha-bbbbbbb", ("web",)))
    before, events, host.engine.calls = host.engine.running(), host.events(), []
    result = host.look(name)
    assert result["changed"]
    assert (host.engine.running(), host.events(), host.engine.touched) == (before, events, [])


def test_one_after_another_what_comes_after_a_failure_is_left_as_it_was(host):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    name = host.staged("a")
    sentence, _facts = failure(lambda: host.bring(name, together=False))
    assert "it ended with exit status 3" in sentence
    assert host.engine.touched[-2:] == ["up db create", "up web create"]


def test_a_service_that_cannot_be_started(host):
    host.engine.fail = {"up web": "driver failed: port is already allocated"}
    name = host.staged("a")
    sentence, facts = failure(host.bring, name)
    assert sentence == (
        "Service web (stack core) does not start on sha-aaaaaaa: Starting web and job failed: driver failed: port is already allocated."
    )
    assert facts == {"service": "web", "stack": "core", "gate": "start", "log": ""}
    assert host.events()[-2:] == [("switching", "web"), ("switching", "job")]


@pytest.mark.parametrize(
    ("said", "service"),
    [
        ("driver failed programming external connectivity on endpoint app-core-job-1 (0a1b)", "job"),
        (f"No such image: r/job:sha-bbbbbbb@{digest('b')}", "job"),
        ("Container app-core-web-1 is unhealthy; Container app-core-job-1 is unhealthy", "web"),
        ("no space left on device", "web"),
    ],
)
def test_what_cannot_be_replaced_is_the_service_that_compose_names_and_still_the_old_release(host, said, service):
    host.rollout("a")
    name = host.staged("b")
    host.engine.fail = {"up web": said}
    sentence, facts = failure(host.bring, name)
    assert sentence == (
        f"Service {service} (stack core), which still runs sha-aaaaaaa, was not replaced: Starting web and job failed: {said}."
    )
    assert facts == {"service": service, "stack": "core", "gate": "start", "release": "sha-aaaaaaa", "log": ""}


def test_an_engine_that_goes_away_hides_no_failure(host):
    name = host.staged("a")
    gone = "no space left on device"
    host.engine.fail = {"up web": gone}
    ask = host.engine.containers

    def containers(project):
        if "up web job create" in host.engine.calls:
            raise RolloutError(f"Listing containers failed: {gone}.")
        return ask(project)

    host.engine.containers = containers
    sentence, _facts = failure(host.bring, name)
    assert sentence == f"Service web (stack core) does not start on sha-aaaaaaa: Starting web and job failed: {gone}."


def test_a_service_that_ran_before_and_does_not_pass_now_is_blamed_on_its_own_release(host, answers):
    """A service that the new release shares with the one before is not started again."""
    answers[:] = [Answer(URL, 200, None)]
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL]))
    asked = replace(order("b", text_of("sha-aaaaaaa", ("web",), health=[URL])), images=order("a").images)
    name = stage.stage(host.store, host.engine, asked, False)["name"]
    answers[:] = [Answer(URL, 503, None, "no database")]
    sentence, facts = failure(host.bring, name)
    assert sentence.startswith("Service web (stack core) does not pass on sha-aaaaaaa: ")
    assert facts["release"] == "sha-aaaaaaa"


def test_without_waiting_no_gate_is_held(host):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    result = host.bring_back(host.staged("a"))
    assert result["changed"]
    assert host.events()[-1][0] == "switched"


@pytest.mark.parametrize("reason", ["ok", "hang", "no_answer", "out_of_memory"])
def test_the_torch_contract_of_the_running_container(host, torch, reason):
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    torch.reason = reason
    if reason == "ok":
        result = host.bring(name)
        assert next(s["torch"] for s in result["services"] if s["service"] == "web")["verdict"] == "pass"
        assert torch.seen == [host.engine.running()["web"]]
    else:
        sentence, facts = failure(host.bring, name)
        assert f"torch contract broken: expected torch for cpu, found nothing ({reason})." in sentence
        assert facts["gate"] == "torch"


def test_the_old_container_leaves_the_card_before_the_new_one_starts(host, card, clock):
    host.rollout("a", text=on_gpu("a"))
    name = host.staged("b", text=on_gpu("b"))
    card.holders, card.full, host.engine.calls = [[OLD], [OLD], []], ["full", "full", ""], []
    host.bring(name)
    assert host.engine.touched == ["stop web", "up web recreate"]
    assert card.holders == [[]], "looked until it was free"


def test_the_card_and_torch_are_told(host, card, told):
    host.rollout("a", text=on_gpu("a"))
    name = host.staged("b", text=on_gpu("b"))
    told.clear()
    host.bring(name)
    assert told == [{"step": "card", "what": "web"}, {"step": "torch", "what": "web"}]


def test_a_card_that_is_still_held_is_said_with_its_holders(host, card, clock):
    host.rollout("a", text=on_gpu("a"))
    name = host.staged("b", text=on_gpu("b"))
    card.holders, card.full = [[OLD]], ["RTX 3090 has 100 MiB free of the 1024 needed"]
    sentence, facts = failure(host.bring, name)
    assert sentence == (
        "Service web (stack core) does not start on sha-bbbbbbb: the card was not free 60 s after the old container was stopped "
        "(RTX 3090 has 100 MiB free of the 1024 needed): it is held by pid 4711 (python3, 9000 MiB). End that process, or raise "
        "rollout_gpu_release_timeout."
    )
    assert (facts["gate"], facts["log"]) == ("start", ""), "the old container's log tells nothing of it"
    host.bring_back("sha-aaaaaaa")
    assert host.engine.calls[-1] == "up web recreate", "on the way back it is tried all the same"


def test_a_driver_that_was_upgraded_meanwhile_leaves_the_service_alone(host, card):
    host.rollout("a", text=on_gpu("a"))
    name = host.staged("b", text=on_gpu("b"))
    before, host.engine.calls = host.engine.running(), []
    card.facts["driver"]["installed"] = "590.44.01"
    sentence, facts = failure(host.bring, name)
    assert "(driver_mismatch). The fault is the host's. Rolling back will not help: " in sentence
    assert facts["gate"] == "gpu"
    assert (host.engine.running(), host.engine.touched) == (before, [])
    host.bring("sha-aaaaaaa")


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
    monkeypatch.setattr(torch_check, "in_container", judged)
    result = host.bring("sha-aaaaaaa")
    assert [(s["action"], s["why"]) for s in result["services"] if s["service"] == "web"] == [change]
    assert host.engine.touched == (["stop web", "up web recreate"] if change[0] == "recreate" else [])


def test_back_to_the_release_before(host):
    host.rollout("a")
    host.engine.broken = {"job": {"Status": "exited", "ExitCode": 1}}
    name = host.staged("b")
    failure(host.bring, name, "run-b")
    host.engine.broken = {}
    host.bring("sha-aaaaaaa", "run-b")
    assert {c["Config"]["Image"][-6:] for c in host.engine.made} == {"aaaaaa", "dddddd"}
    assert not host.look("sha-aaaaaaa", "run-b")["changed"]


def test_what_crashes_again_and_again_is_not_started_anew_by_the_same_release(host):
    """It would crash later, and the run would have called it healthy."""
    host.rollout("a")
    host.edit("web", RestartCount=9, State={"Status": "restarting"})
    host.engine.calls = []
    sentence, facts = failure(host.bring, "sha-aaaaaaa")
    assert "it crashed and was restarted 9 times since it was started" in sentence
    assert facts["idle"]
    assert host.engine.touched == []
    # What comes in its place may be the cure; on the way back there is nothing better.
    assert host.bring_back("sha-aaaaaaa")["changed"]
    host.edit("web", RestartCount=9, State={"Status": "restarting"})
    assert host.bring(host.staged("b"), "run-b")["changed"]


def before(host, back):
    """A host on release a with b to come, or ``back`` on its way from b to a; the name of the release that is to come."""
    host.rollout("a")
    name = host.staged("b")
    if back:
        host.bring(name, "run-b")
    return "sha-aaaaaaa" if back else name


@pytest.mark.parametrize("back", [True, False])
def test_an_image_that_is_gone_is_pulled_before_anything_is_stopped(host, back):
    name = before(host, back)
    letter = name[-1]
    for image in [i for i in host.engine.images if i.startswith(WEB) and letter * 7 in i]:
        del host.engine.images[image]
    host.engine.calls = []
    (host.bring_back if back else host.bring)(name, "run-b")
    pulled = f"pull {WEB}@{digest(letter)}"
    assert host.engine.touched[:2] == [pulled, f"tag {WEB}@{digest(letter)} {WEB}:{name}"]
    assert not host.look(name)["changed"]


@pytest.mark.parametrize("back", [True, False])
def test_where_an_image_is_nowhere_what_runs_goes_on(host, back):
    name = before(host, back)
    runs = host.engine.running()
    host.engine.images.pop(f"{WEB}@{digest(name[-1])}")
    host.engine.fail = {"pull": "manifest unknown"}
    sentence, facts = failure((host.bring_back if back else host.bring), name, "run-b")
    assert sentence.startswith(f"Release {name} cannot run here: image {WEB}:{name} is no longer on this host, and: ")
    assert "gate" not in facts, "it is nobody's release that is to blame"
    assert host.engine.running() == runs


@pytest.mark.parametrize("check", [True, False])
def test_remove_takes_the_released_services_and_leaves_the_data(host, check):
    name = host.staged("a")
    host.bring(name)
    result = host.remove(name, check=check)
    assert result["changed"]
    assert set(actions(result)) == {"web", "job"}
    assert set(host.engine.running()) == ({"db", "web", "job"} if check else {"db"})
    if not check:
        assert not host.remove(name)["changed"]


def test_remove_leaves_what_no_run_has_begun_to_switch(host):
    """The ledger was moved away, or what ran before the first rollout has the same names."""
    host.rollout("a")
    host.store.path.unlink()
    before = host.engine.running()
    name = host.staged("b")
    assert not host.remove(name, "run-b")["changed"]
    assert host.engine.running() == before
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 1}}
    host.store.append("switching", "run-b", name=name, release=name, stack="core", service="web")
    host.store.append("switching", "run-b", name=name, release=name, stack="other", service="job")
    assert set(actions(host.remove(name, "run-b"))) == {"web"}
    assert set(host.engine.running()) == {"db", "job"}


@pytest.mark.parametrize("verb", [switch.bring, switch.bring_back])
def test_armed_once_before_the_first_change_and_never_without_one(host, verb):
    host.rollout("a")
    armed = []
    for name, times in (("sha-aaaaaaa", 0), (host.staged("b"), 1)):
        armed.clear()
        events = host.events()
        verb(host.deployment(name, "run-b"), lambda events=events: armed.append(host.events() == events))
        assert armed == [True] * times


def test_it_says_what_was_done_when(host):
    name = host.staged("a")
    result = host.bring(name)
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
    again = host.bring(name, "another-run")
    assert again["phases"] == []
    assert {s["gap"] for s in again["services"]} == {None}
    assert done_when(host.prove(name)) == [("settle", "", True)]


def test_a_failure_says_it_too(host):
    name = host.staged("a")
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    with pytest.raises(RolloutError) as error:
        host.bring(name)
    assert done_when(error.value.facts)[-2:] == [("health", "web", False), ("health", "job", False)]


@pytest.mark.parametrize("wait", [True, False])
def test_a_wait_for_the_card_ends_when_the_run_loses_the_lock(host, card, wait):
    host.rollout("a", text=on_gpu("a"))
    name = host.staged("b", text=on_gpu("b"))
    held(host.store, "run-b")
    other = Store(str(host.store.root))
    card.full = ["full"]
    real, card.take = card.take, lambda given: held(other, "run-x", user="eve", host="desk") and real(given)
    host.engine.calls = []
    with host.store.step("run-b"):
        _sentence, facts = failure(host.bring if wait else host.bring_back, name, "run-b")
    assert facts == {"fenced": "run"}
    assert not any(call.startswith("up ") for call in host.engine.touched), "without the lock nothing is started"


def test_only_a_restart_behind_its_gate_tells_how_long_the_next_one_takes(host):
    host.rollout("a")
    assert host.store.ledger().took == {}, "they were only started"
    host.bring(host.staged("b"))
    took = host.store.ledger().took
    assert set(took) == {"web", "job"}
    host.bring_back("sha-aaaaaaa")
    assert host.store.ledger().took == took, "the way back holds no gate"


def left_by_compose(host, service="web"):
    """A container that a killed Compose had made, and not started yet."""
    own = next(c for c in host.engine.made if c["Config"]["Labels"]["com.docker.compose.service"] == service)
    rest = json.loads(json.dumps(own))
    rest.update(Id="rest", Name=f"/0123456789ab_{own['Name'][1:]}")
    rest["State"] = {"Status": "created"}
    host.engine.made.insert(0, rest)
    return own["Id"]


@pytest.mark.parametrize("verb", ["bring", "bring_back"])
def test_what_a_killed_compose_left_goes_and_the_services_own_container_stays(host, verb):
    host.rollout("a")
    own = left_by_compose(host)
    host.engine.calls = []
    result = getattr(host, verb)("sha-aaaaaaa")
    assert actions(result)["web"] == "keep"
    assert host.engine.running()["web"] == own
    assert host.engine.touched == ["rm rest"]


def test_it_is_not_in_the_way_of_the_next_release(host):
    host.rollout("a")
    left_by_compose(host)
    assert actions(host.bring(host.staged("b")))["web"] == "recreate"
    assert "rest" not in [c["Id"] for c in host.engine.made]


def test_a_preview_leaves_it_and_does_not_count_it(host):
    host.rollout("a")
    left_by_compose(host)
    host.engine.calls = []
    assert actions(host.look("sha-aaaaaaa"))["web"] == "keep"
    assert host.engine.touched == []
