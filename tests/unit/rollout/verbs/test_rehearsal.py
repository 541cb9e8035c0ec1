"""Rehearsals on a fake engine: what is tried beside what runs, what is refused, and that nothing of it stays."""

from __future__ import annotations

import json
import socket

import pytest
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import http, masking
from ansible.module_utils.rollout.verbs import rehearsal, stage
from ansible.module_utils.rollout.verbs.jobs import Asked
from story import done_when, failure, order

URL = "http://127.0.0.1:8000/health"
GOOD, SICK = Answer(URL, 200, release="sha-bbbbbbb"), Answer(URL, 503)


def text_of(letter, gate=(), job=(), **spec):
    """A stack with a service that is rehearsed, behind a database."""
    release = "sha-" + letter * 7
    web = {"image": f"r/web:{release}", "ports": [{"published": "8000", "target": 80}], "depends_on": {"db": {}}, **spec}
    services = {"web": web, "db": {"image": "postgres:17"}}
    keys = {"web": {"successes": 1, "window": 0, "deadline": 5, "health": [URL], "rehearse": True, **dict(gate)}}
    if job:
        services["migrate"] = {"image": f"r/job:{release}"}
        keys["migrate"] = dict(job)
    return json.dumps({"services": services, "x-rollout": keys})


@pytest.fixture
def asked(monkeypatch):
    """What was asked where: URL and addresses; ``says`` is the answer of what is tried."""
    found = []

    def ask(url, **how):
        found.append((url, how.get("addresses", ())))
        return found.says if how.get("addresses") else Answer(url, 200)

    class Asked(list):
        says = GOOD

    found = Asked()
    monkeypatch.setattr(http, "ask", ask)
    return found


@pytest.fixture
def running(host, asked):
    """A host on which the first release runs, stable."""
    host.engine.said["/networks"] = [{"Name": "app-core_default"}]
    host.rollout("a", text=text_of("a"))
    host.engine.calls = []
    del asked[:]
    return host


def put(host, text, letter="b", check=False):
    return stage.stage(host.store, host.engine, order(letter, text, jobs=Asked()), check)


def notes(host, text):
    return [note for note in put(host, text, check=True)["preview"]["notes"] if "rehears" in note]


def test_a_service_that_will_be_replaced_is_tried_beside_the_one_that_runs(running, asked):
    before = [c["Id"] for c in running.engine.made]
    done = put(running, text_of("b"))
    assert [(one["stack"], one["service"]) for one in done["rehearsed"]] == [("core", "web")]
    assert answers.taken("release staged", done)["rehearsed"] == done["rehearsed"]
    assert ("rehearse", "web", True) in done_when(done)
    # At its own address, on the port of the container.
    assert set(asked) == {("http://127.0.0.1:80/health", ("10.0.0.3",))}
    (tried,) = running.engine.tried
    assert tried["services"]["web"]["environment"]["REHEARSAL"] == "1"
    assert "ports" not in tried["services"]["web"]
    assert [c["Id"] for c in running.engine.made] == before
    assert running.events()[-1] == ("staged", "sha-bbbbbbb")


def test_its_certificate_is_judged_as_that_of_the_service(running, monkeypatch):
    found = []
    monkeypatch.setattr(http, "ask", lambda url, **how: found.append((url, how)) or GOOD)
    put(running, text_of("b", {"health": ["https://web:8443/"], "insecure": True}))
    assert found[0] == ("https://web:8443/", {"addresses": ("10.0.0.3",), "insecure": True})


def test_its_command_runs_in_the_container_that_is_tried(running, asked):
    put(running, text_of("b", {"health": [], "exec": ["app", "check"]}))
    assert "exec c3 app check" in running.engine.calls
    assert not asked


def test_of_several_containers_one_is_tried(running, asked):
    asked.says = Answer(URL, 200)
    gate = {"health": ["http://web:80/"]}
    running.rollout("a", text=text_of("a", gate, ports=[], scale=2))
    running.engine.tried.clear()
    put(running, text_of("b", gate, ports=[], scale=2))
    (tried,) = running.engine.tried
    assert "scale" not in tried["services"]["web"]


def test_a_release_whose_health_is_wrong_is_refused_and_nothing_was_touched(running, asked, passing):
    asked.says = SICK
    before = [c["Id"] for c in running.engine.made]
    said, facts = failure(put, running, text_of("b"))
    assert said == (
        "Service web (stack core) does not pass its rehearsal on sha-bbbbbbb: after 5 s (its deadline is 5 s) it still waits for "
        "http://127.0.0.1:8000/health: HTTP 503. It was tried beside what runs, which was not touched."
    )
    assert facts == {
        "service": "web",
        "stack": "core",
        "gate": "health",
        "log": "the last line",
        "release": "sha-bbbbbbb",
    }
    assert [c["Id"] for c in running.engine.made] == before
    assert not {"stop", "up"} & {call.split()[0] for call in running.engine.touched}
    assert ("staged", "sha-bbbbbbb") not in running.events()


def test_a_release_that_does_not_start_is_refused(running):
    running.engine.fail["run web"] = 'exec: "serv": executable file not found in $PATH'
    said, facts = failure(put, running, text_of("b"))
    assert "does not pass its rehearsal on sha-bbbbbbb: Starting web failed: exec" in said
    assert facts["gate"] == "start"
    assert len(running.engine.made) == 2


def test_a_release_that_ends_is_refused_at_once(running, asked):
    running.engine.broken["run web"] = {"Status": "exited", "ExitCode": 3}
    said, facts = failure(put, running, text_of("b"))
    assert "it ended with exit status 3 (exited). It was tried beside what runs" in said
    assert facts["gate"] == "container"
    assert not asked
    assert len(running.engine.made) == 2


def test_another_release_that_answers_is_refused(running, asked, passing):
    asked.says = Answer(URL, 200, release="sha-aaaaaaa")
    said, _facts = failure(put, running, text_of("b"))
    assert "it names sha-aaaaaaa" in said


def test_a_release_that_was_refused_is_tried_again(running, asked, passing):
    asked.says = SICK
    failure(put, running, text_of("b"))
    asked.says = GOOD
    assert put(running, text_of("b"))["rehearsed"]


def test_a_release_that_was_stable_once_is_not(running, asked):
    running.rollout("b", text=text_of("b"))
    running.engine.tried.clear()
    assert not notes(running, text_of("b"))
    put(running, text_of("b"))
    assert running.engine.tried == []


def test_a_check_tries_nothing_and_says_what_will_be(running):
    assert notes(running, text_of("b")) == [
        "web is rehearsed: its new container is tried beside what runs, and removed, before anything is switched"
    ]
    assert running.engine.tried == []


def test_what_stays_is_not_tried(running):
    # Of another image of the release alone.
    text = json.loads(text_of("b"))
    text["services"]["web"]["image"] = "r/web:sha-aaaaaaa"
    asked = order("b", json.dumps(text))
    asked.images["r/web:sha-aaaaaaa"] = order("a", text_of("a")).images["r/web:sha-aaaaaaa"]
    stage.stage(running.store, running.engine, asked, False)
    assert running.engine.tried == []


def test_it_is_off_by_default(running):
    put(running, text_of("b", {"rehearse": False}))
    assert running.engine.tried == []


def test_a_job_that_is_not_compatible_keeps_the_new_code_from_the_old_schema(running):
    text = text_of("b", job={"job": "before"})
    assert notes(running, text) == [
        "web is not rehearsed: job migrate runs before the switch, and the new code does not fit the data as it is until then"
    ]
    put(running, text)
    assert running.engine.tried == []


def test_nothing_is_known_of_a_job_that_another_host_runs(running):
    text = text_of("b", job={"job": "before", "run_on": "first"})
    assert "job migrate runs before the switch" in notes(running, text)[0]


def test_a_compatible_job_is_named_where_the_new_code_fails_without_it(running, asked, passing):
    asked.says = SICK
    said, _facts = failure(put, running, text_of("b", job={"job": "before", "compatible": True}))
    assert "HTTP 503 (job migrate, which runs before the switch, has not run yet). It was tried" in said


def test_what_it_depends_on_must_run(running):
    running.edit("db", State={"Status": "exited"})
    assert notes(running, text_of("b")) == ["web is not rehearsed: db, on which it depends, does not run yet"]


def test_a_network_that_comes_with_the_release_is_not_made_for_it(running):
    assert notes(running, text_of("b", networks={"back": None})) == [
        "web is not rehearsed: its network app-core_back is not there yet"
    ]


def test_an_engine_whose_containers_are_not_reached_tries_none(running):
    running.engine.said["/info"] = {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    assert "rootless" in notes(running, text_of("b"))[0]


def test_a_socket_is_a_way_to_act(running, tmp_path):
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))
        mount = {"type": "bind", "source": str(place), "target": "/var/run/docker.sock"}
        (said,) = notes(running, text_of("b", volumes=[mount]))
    assert said == f"web is not rehearsed: it mounts the socket {place}, through which it could act"


def test_paths_and_volumes_that_are_not_there_are_not_made(running, tmp_path):
    mounts = [
        {"type": "bind", "source": str(tmp_path / "none"), "target": "/none", "bind": {"create_host_path": True}},
        {"type": "bind", "source": str(tmp_path), "target": "/there", "bind": {"create_host_path": True}},
        {"type": "volume", "source": "data", "target": "/data"},
    ]
    put(running, text_of("b", volumes=mounts))
    (tried,) = running.engine.tried
    assert tried["services"]["web"]["volumes"] == [
        {"type": "volume", "target": "/none"},
        {**mounts[1], "read_only": True},
        {"type": "volume", "target": "/data"},
    ]
    assert not (tmp_path / "none").exists()


def test_what_a_killed_rehearsal_left_goes_with_the_next_one(running):
    for owner in (str(running.store.root), "/of/another"):
        running.engine.add("left", "web", {"image": "r/web:sha-aaaaaaa", "labels": {"rollout.rehearsal": owner}})
    put(running, text_of("b", {"rehearse": False}))
    left = [c["Config"]["Labels"].get("rollout.rehearsal") for c in running.engine.made]
    assert left == [None, None, "/of/another"]


def test_it_is_removed_whatever_comes(running, monkeypatch):
    def killed(url, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(http, "ask", killed)
    with pytest.raises(KeyboardInterrupt):
        put(running, text_of("b"))
    assert len(running.engine.made) == 2


def test_an_engine_that_is_away_says_nothing_of_a_release(running):
    running.engine.fail["run web"] = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
    with pytest.raises(RolloutError) as error:
        put(running, text_of("b"))
    assert error.value.facts.get("away")
    assert "rehearsal" not in str(error.value)


def test_secrets_stay_out_of_what_is_said(running, asked, passing, monkeypatch):
    monkeypatch.setattr(type(running.engine), "logs", lambda *_: "password canary-b")
    masking.learn("canary-b")
    asked.says = SICK
    _said, facts = failure(put, running, text_of("b"))
    assert facts["log"].startswith("password")
    assert "canary" not in facts["log"]


def test_sweeping_where_there_is_nothing_touches_nothing(running):
    rehearsal.sweep(running.store, running.engine)
    assert running.engine.touched == []
