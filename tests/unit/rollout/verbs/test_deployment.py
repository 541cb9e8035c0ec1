from __future__ import annotations

import json

import pytest
import story
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import observe, restage
from story import actions, failure


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
    assert not host.bring("sha-bbbbbbb")["changed"]
    assert host.prove("sha-bbbbbbb")["changed"] is False
    assert [row["drift"] for row in observe.services(host.store, host.engine, "app", ["core"])] == [[], [], []]
    back = restage.restage(host.store, host.engine, "sha-bbbbbbb", True)["preview"]
    assert {row["action"] for row in back["services"]} == {"keep"}
    host.bring("sha-aaaaaaa")
    assert {c["Image"][:10] for c in host.engine.made if "r/" in c["Config"]["Image"]} == {"sha256:2aa"}


def test_an_image_that_is_not_here_by_its_digest_is_known_by_its_id(host):
    host.rollout("a")
    host.engine.images = {}
    assert not host.bring("sha-aaaaaaa")["changed"]


def test_a_release_that_is_not_there(host):
    with pytest.raises(RolloutError, match="Release sha-zzzzzzz is incomplete"):
        host.bring("sha-zzzzzzz")


def test_what_a_service_says_is_told_without_the_secrets(host, monkeypatch):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "no access: postgresql://app:canary-a@db")
    _sentence, facts = failure(host.bring, host.staged("a"))
    assert facts["log"] == "no access: postgresql://app:********@db"


def test_of_a_secret_that_holds_another_one_nothing_is_left(host, monkeypatch):
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "no access: hunter2-and-more, hunter2, abc")
    name = host.staged("a", secrets={"A": "hunter2", "B": "hunter2-and-more", "C": "abc"}, allow_short_secrets=True)
    _sentence, facts = failure(host.bring, name)
    assert facts["log"] == "no access: ********, ********, abc"


def test_where_it_is_not_known_what_is_secret_nothing_is_told(host, monkeypatch):
    name = host.staged("a")
    (host.store.directory(name) / "core/.env").write_text("edited by hand\n")
    host.engine.broken = {"web": {"Status": "exited", "ExitCode": 3}}
    monkeypatch.setattr(host.engine, "logs", lambda container: "canary-a")
    sentence, facts = failure(host.bring, name)
    assert "canary" not in sentence + facts["log"]


class KilledError(BaseException):
    """The agent, at this moment."""


def killed_while_stopping(host, monkeypatch, **facts):
    """A switch to the next release that dies once the engine was told to stop a container, which answers still."""
    host.rollout("a")
    name, run = host.staged("b", **facts), host.engine.run

    def dying(arguments, *rest, **options):
        if "up" in arguments or "stop" in arguments:
            raise KilledError
        return run(arguments, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(host.engine, "run", dying)
        with pytest.raises(KilledError):
            host.bring(name, "run-b")
    host.engine.calls = []
    return name


def stops(host, service):
    """The engine ends a container at last."""

    def end():
        for found in host.engine.made:
            if found["Config"]["Labels"]["com.docker.compose.service"] == service:
                found["State"].update(Status="exited", ExitCode=0)

    return end


@pytest.mark.parametrize(
    "verb",
    [
        lambda host: host.bring_back("sha-aaaaaaa", "run-c"),
        lambda host: host.bring("sha-aaaaaaa", "run-c"),
    ],
    ids=["back", "forward"],
)
def test_what_a_killed_run_has_told_the_engine_to_stop_is_waited_for(host, passing, told, monkeypatch, verb):
    killed_while_stopping(host, monkeypatch)
    before = host.engine.running()["web"]
    passing.append(stops(host, "web"))
    result = verb(host)
    assert actions(result)["web"] == "recreate"
    assert host.engine.running()["web"] != before
    assert {"step": "stop", "what": "web"} in told
    assert all(c["State"]["Status"] == "running" for c in host.engine.made)


@pytest.mark.parametrize("verb", ["prove", "look"])
def test_no_gate_passes_on_what_is_being_stopped(host, passing, monkeypatch, verb):
    killed_while_stopping(host, monkeypatch)
    passing.append(stops(host, "web"))
    if verb == "look":
        assert {s["service"]: s["why"] for s in host.look("sha-aaaaaaa")["services"]}["web"] == "exited"
    else:
        sentence, _facts = failure(host.prove, "sha-aaaaaaa")
        assert "web" in sentence
        assert "exited" in sentence


def test_what_runs_behind_its_time_was_not_told_to_stop_and_stays(host, passing, monkeypatch):
    killed_while_stopping(host, monkeypatch)
    before = host.engine.running()
    assert set(actions(host.bring_back("sha-aaaaaaa", "run-c")).values()) == {"keep"}
    assert host.engine.running() == before


def test_a_stop_is_recorded_before_the_engine_is_told_with_what_it_may_take(host, monkeypatch):
    killed_while_stopping(host, monkeypatch)
    entry = [json.loads(line) for line in host.store.path.read_text().splitlines()][-1]
    assert {k: entry[k] for k in ("event", "run", "stack", "seconds")} == {
        "event": "stopping",
        "run": "run-b",
        "stack": "core",
        "seconds": 15.0,
    }
    ids = host.engine.running()
    assert entry["containers"] == [ids["web"], ids["job"]]


def test_what_is_removed_is_recorded_too(host, passing, monkeypatch):
    killed_while_stopping(host, monkeypatch, text=story.stack("sha-bbbbbbb", ("web",)))
    passing.append(stops(host, "job"))
    result = host.bring_back("sha-aaaaaaa", "run-c")
    assert actions(result)["job"] == "recreate"
