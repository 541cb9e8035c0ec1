"""Services with several containers on a fake engine."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import http, torch_check
from ansible.module_utils.rollout.verbs import observe, settle, stage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from story import OLD, URL, Host, actions, failure, order
from story import stack as text_of


def several(letter, number=3, **gate):
    document = json.loads(text_of("sha-" + letter * 7, ("web",), False, **gate))
    document["services"]["web"].update(scale=number)
    return json.dumps(document)


class World:
    """A host with a service of several containers. ``sick`` are the ids of those that do not answer."""

    def __init__(self, host):
        self.host, self.engine, self.store = host, host.engine, host.store
        self.sick_releases = set()
        # Where the process is killed: the number of the change at which it happens.
        self.dies_at = None
        self.least, self.most, self.watching = 99, 0, False
        run = self.engine.run

        def counted(arguments, *rest, **options):
            before = len(self.engine.touched)
            done = run(arguments, *rest, **options)
            if self.watching:
                self.least, self.most = min(self.least, len(self.up())), max(self.most, len(self.mine()))
            if self.dies_at is not None and len(self.engine.touched) > before:
                self.dies_at -= 1
                if self.dies_at < 0:
                    raise KeyboardInterrupt
            return done

        self.engine.run = counted

    def mine(self):
        return [c for c in self.engine.made if c["Name"].startswith("/app-core-web")]

    def up(self):
        return [c for c in self.mine() if c["State"]["Status"] == "running"]

    def releases(self):
        return sorted(c["Config"]["Labels"]["rollout.release"][-1] for c in self.up())

    def staged(self, letter, number=3, **how):
        name = stage.stage(self.store, self.engine, order(letter, text=several(letter, number, **how)), False)["name"]
        self.engine.calls = []
        return name

    def rollout(self, letter, number=3, **how):
        name = self.staged(letter, number, **how)
        result = self.host.bring(name, "run-" + letter)
        settle.confirm(self.store, self.engine, name, "run-" + letter, "rollout", 5, False)
        return result

    def row(self):
        rows = observe.services(self.store, self.engine, "app", ["core"])
        return next(row for row in rows if row["service"] == "web")


@pytest.fixture
def world(host):
    return World(host)


def row(result):
    return next(s for s in result["services"] if s["service"] == "web")


def test_the_first_ones_are_started_at_once(world):
    result = world.rollout("a")
    assert world.engine.touched == ["up web beside 0, 3 more"]
    assert (row(result)["action"], world.releases()) == ("create", ["a", "a", "a"])
    assert [(p["phase"], p["good"]) for p in result["phases"]] == [("start", True)] + [("health", True)] * 3


def test_one_goes_after_the_other(world):
    world.rollout("a")
    world.watching = True
    result = world.rollout("b")
    assert world.engine.touched == [
        *("stop c3", "rm c3", "up web beside 2"),
        *("stop c2", "rm c2", "up web beside 2"),
        *("stop c1", "rm c1", "up web beside 2"),
    ]
    assert (row(result)["action"], row(result)["why"], row(result)["gap"]) == ("replace", "image", 0.0)
    assert (world.releases(), world.least, world.most) == (["b", "b", "b"], 2, 3)
    assert [p["phase"] for p in result["phases"]] == ["stop", "start", "health"] * 3
    assert not world.host.bring("sha-bbbbbbb")["changed"]
    assert world.row()["health"] == "healthy"
    assert world.row()["drift"] == []


def test_the_gate_of_the_very_container_holds_before_the_next_is_touched(world):
    world.rollout("a")
    name, run = world.staged("b"), world.engine.run

    def crashes(arguments, *rest, **options):
        done = run(arguments, *rest, **options)
        for found in world.mine():
            if found["Id"] == "c5":
                found["State"].update(Status="exited", ExitCode=3)
        return done

    world.engine.run = crashes
    sentence, facts = failure(world.host.bring, name)
    assert sentence == (
        "Service web (stack core) does not pass on sha-bbbbbbb: container app-core-web-5: it ended with exit status 3 (exited)."
    )
    assert facts["gate"] == "container"
    assert world.releases() == ["a", "b"], "of three, one is away"
    world.engine.run = run
    world.engine.calls = []
    result = world.host.bring_back("sha-aaaaaaa")
    assert world.engine.touched == ["stop c5", "rm c5", "up web beside 2", "stop c4", "rm c4", "up web beside 2"]
    assert actions(result) == {"web": "replace"}
    assert world.releases() == ["a", "a", "a"]
    assert "c1" in {c["Id"] for c in world.up()}, "it was never touched"


def test_urls_are_asked_for_each(world, monkeypatch):
    asked = []
    monkeypatch.setattr(http, "ask", lambda url: asked.append(url) or Answer(url, 200, None))
    world.rollout("a", health=[URL])
    assert len(asked) == 3
    world.host.look("sha-aaaaaaa")
    assert len(asked) == 6


def test_a_urls_own_name_means_each_container(world, monkeypatch):
    asked = []
    monkeypatch.setattr(http, "ask", lambda url, addresses=(): asked.append(addresses) or Answer(url, 200, None))
    world.rollout("a", health=["http://web:80/health"])
    assert sorted(asked) == [("10.0.0.1",), ("10.0.0.2",), ("10.0.0.3",)]
    asked.clear()
    assert world.row()["health"] == "healthy"
    assert len(set(asked)) == 3


@pytest.mark.parametrize(("number", "calls"), [(4, ["up web beside 3"]), (5, ["up web beside 3, 2 more"])])
def test_more_of_the_same(world, number, calls):
    world.rollout("a")
    before = {c["Id"] for c in world.mine()}
    name = world.staged("a", number)
    result = world.host.bring(name)
    assert (row(result)["action"], row(result)["why"]) == ("scale", f"3 containers instead of {number}")
    assert world.engine.touched == calls
    assert before < {c["Id"] for c in world.up()}


@pytest.mark.parametrize(("number", "gone"), [(2, 1), (1, 2), (0, 3)])
def test_fewer_of_the_same(world, number, gone):
    world.rollout("a")
    result = world.host.bring(world.staged("a", number))
    assert row(result)["action"] == "scale"
    assert [call.split()[0] for call in world.engine.touched] == ["stop", "rm"] * gone
    assert len(world.up()) == number
    assert not world.host.bring("sha-aaaaaaa.2")["changed"]


def test_none_at_all_is_said(world):
    world.rollout("a")
    world.host.bring(world.staged("a", 0))
    settle.confirm(world.store, world.engine, "sha-aaaaaaa.2", "run-a", "rollout", 5, False)
    assert (world.row()["health"], world.row()["drift"]) == ("none wanted", [])


def test_from_one_to_several_and_back(world):
    world.rollout("a", 1)
    world.watching = True
    world.rollout("b", 3)
    assert world.engine.touched == ["up web beside 1, 2 more", "stop c1", "rm c1", "up web beside 2"]
    assert world.least == 1
    result = world.host.bring_back("sha-aaaaaaa")
    assert row(result)["action"] == "recreate"
    assert world.engine.touched[4:] == ["stop c4", "rm c4", "stop c3", "rm c3", "up web recreate"]
    assert world.releases() == ["a"]


def test_status_counts_them(world):
    world.rollout("a")
    world.mine()[0]["State"].update(Status="exited", ExitCode=1)
    assert world.row()["health"] == "2 of 3 healthy"
    assert world.row()["drift"] == ["is exited", "not healthy: 2 of 3 healthy (exited)"]
    world.engine.made.pop(0)
    assert world.row()["health"] == "2 of 3 healthy"
    assert world.row()["drift"] == ["has 2 containers instead of 3", "not healthy: 2 of 3 healthy"]
    world.mine()[0]["RestartCount"] = 2
    world.mine()[1]["RestartCount"] = 1
    assert world.row()["restarts"] == 3


def test_what_stopped_is_started_anew_and_nothing_else(world):
    world.rollout("a")
    world.mine()[1]["State"].update(Status="exited", ExitCode=1)
    world.engine.calls = []
    assert row(world.host.bring("sha-aaaaaaa"))["why"] == "exited"
    assert world.engine.touched == ["stop c2", "rm c2", "up web beside 2"]


def test_where_all_have_stopped_all_are_started_at_once(world):
    world.rollout("a")
    for one in world.mine():
        one["State"].update(Status="exited", ExitCode=1)
    result = world.rollout("b")
    assert world.engine.touched[-1] == "up web beside 0, 3 more"
    assert row(result)["action"] == "recreate"
    assert row(result)["gap"] is not None


def test_one_that_does_not_start(world):
    world.rollout("a")
    name = world.staged("b")
    world.engine.fail = {"up web": "all ports are allocated"}
    sentence, facts = failure(world.host.bring, name)
    assert sentence == ("Service web (stack core) does not start on sha-bbbbbbb: Starting web failed: all ports are allocated.")
    assert facts["gate"] == "start"
    assert world.releases() == ["a", "a"]


def test_a_sick_one_among_those_that_are_right_keeps_the_others_from_being_touched(world, answers):
    answers[:] = [Answer(URL, 200, None)]
    world.rollout("a", health=[URL])
    world.engine.made.pop()
    name = world.staged("b", health=[URL])
    world.dies_at = 1
    with pytest.raises(KeyboardInterrupt):
        world.host.bring(name)
    world.dies_at = None
    answers[:] = [Answer(URL, 503, None, "no database")]
    world.engine.calls = []
    sentence, _facts = failure(world.host.bring, name)
    assert "HTTP 503 no database" in sentence
    assert "c2" in {c["Id"] for c in world.up()}, "it waits until the one beside it answers"


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("step", range(10))
def test_killed_anywhere_one_is_away_at_most_and_the_next_run_goes_on(world, passing, step, back):
    world.rollout("a")
    name = world.staged("b")
    world.watching, world.dies_at = True, step
    try:
        world.host.bring(name, "run-b")
    except KeyboardInterrupt:
        pass
    world.dies_at = None
    if back:
        world.host.bring_back("sha-aaaaaaa", "run-b")
    else:
        world.host.bring(name, "run-c")
    assert world.releases() == ["a" if back else "b"] * 3
    assert (world.least, world.most) == (2, 3)
    kept = {c["Id"] for c in world.mine()}
    world.host.bring("sha-aaaaaaa" if back else name)
    assert kept == {c["Id"] for c in world.mine()}


def test_killed_again_and_again_it_still_gets_there(world, passing):
    world.rollout("a")
    name = world.staged("b")
    world.watching = True
    for _again in range(30):
        world.dies_at = 2
        try:
            world.host.bring(name, "run-b")
            break
        except KeyboardInterrupt:
            continue
    world.dies_at = None
    assert (world.releases(), world.least, world.most) == (["b", "b", "b"], 2, 3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 4), st.integers(1, 4), st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), max_size=6))
def test_however_it_is_interrupted_and_wherever_it_goes_next_never_more_than_one_is_away(
    tmp_path_factory, passing, before, after, deaths
):
    world = World(Host(tmp_path_factory.mktemp("host") / "state"))
    world.rollout("a", before)
    numbers = {"a": before, "b": after, "c": 3}
    names = {"a": "sha-aaaaaaa", **{letter: world.staged(letter, numbers[letter]) for letter in "bc"}}
    world.watching, smallest = True, before
    for dies_at, letter in [*deaths, (None, "b")]:
        smallest, world.dies_at = min(smallest, numbers[letter]), dies_at
        with contextlib.suppress(KeyboardInterrupt):
            world.host.bring(names[letter], "run")
    # Of one alone it is the one that is away.
    assert world.least >= smallest - 1
    assert world.most <= max(before, after, 3)
    assert world.releases() == ["b"] * after


def test_each_holds_a_card_which_is_free_before_the_next_is_started(world, card, torch, passing):
    keys = {"torch": "cuda", "deadline": 600}
    world.rollout("a", 2, **keys)
    assert len(torch.seen) == 2
    name = world.staged("b", 2, **keys)
    card.holders[:] = [[OLD], [], [OLD], []]
    torch.seen.clear()
    world.host.bring(name)
    assert world.engine.touched == [*("stop c2", "rm c2", "up web beside 1"), *("stop c1", "rm c1", "up web beside 1")]
    assert torch.seen == ["c3", "c4"]


def test_one_that_lost_its_card_is_replaced_alone(world, card, torch, monkeypatch):
    world.rollout("a", 2, torch="cuda")

    def in_container(engine, container, expected, limit_s, host=None):
        return torch.judged("hang" if container == "c1" else "ok", expected)

    monkeypatch.setattr(torch_check, "in_container", in_container)
    world.engine.calls = []
    result = world.host.bring("sha-aaaaaaa")
    assert world.engine.touched == ["stop c1", "rm c1", "up web beside 1"]
    assert (row(result)["action"], row(result)["why"]) == ("replace", "torch: hang")


def test_settling_holds_them_all(world):
    world.rollout("a")
    result = world.host.prove("sha-aaaaaaa")
    assert row(result)["restarts"] == 0
    world.mine()[2]["RestartCount"] = 2
    assert row(world.host.prove("sha-aaaaaaa"))["restarts"] == 2
    with pytest.raises(RolloutError, match="it crashed and was restarted 2 times since it was started"):
        world.host.prove("sha-aaaaaaa", calm=True)
    world.engine.made.pop()
    with pytest.raises(RolloutError, match="is no longer what was switched: 2 containers instead of 3"):
        world.host.prove("sha-aaaaaaa")


def test_they_go_together_where_there_was_no_stable_release(world):
    name = world.staged("a")
    world.host.bring(name, "run-a")
    result = world.host.remove(name, "run-a")
    assert actions(result) == {"web": "remove"}
    assert len(result["services"]) == 1
    assert world.mine() == []


def test_of_a_kept_one_what_is_missing_is_started_and_no_more(world):
    document = json.loads(several("a", 1))
    document["services"]["db"] = {"image": "postgres:17", "scale": 2}
    asked = order("a", text=json.dumps(document))
    world.host.bring(stage.stage(world.store, world.engine, asked, False)["name"])
    mine = [c for c in world.engine.made if c["Name"].startswith("/app-core-db")]
    assert len(mine) == 2
    mine[0]["State"].update(Status="exited")
    world.engine.calls = []
    result = world.host.bring("sha-aaaaaaa")
    assert actions(result)["db"] == "create"
    assert world.engine.touched == ["up db beside 2"]
    assert {c["Id"] for c in mine} == {c["Id"] for c in world.engine.made if c["Name"].startswith("/app-core-db")}
    assert mine[0]["State"]["Status"] == "running"


@pytest.mark.parametrize(
    ("number", "after"), [(3, "which has several, begin with"), (1, "volumes without a name are carried over")]
)
def test_what_becomes_of_volumes_without_a_name_is_said(world, number, after):
    world.rollout("a", number)
    inspect = world.engine.inspect

    def with_volume(kind, names):
        found = inspect(kind, names)
        return (
            [{**one, "Config": {**one.get("Config", {}), "Volumes": {"/data": {}}}} for one in found]
            if kind == "image"
            else found
        )

    world.engine.inspect = with_volume
    asked = order("b", text=several("b", number))
    notes = stage.stage(world.store, world.engine, asked, True)["preview"]["notes"]
    assert [note for note in notes if "/data" in note and after in note]
