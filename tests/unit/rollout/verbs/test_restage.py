from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import sockets
from ansible.module_utils.rollout.verbs import restage, stage
from fake_engine import digest
from story import EXTRA, JOB, LOGIN, WEB, order, ports_of, shown, stack


def put(host, asked):
    return stage.stage(host.store, host.engine, asked, False)


def test_restage(host):
    host.rollout("a")
    host.engine.calls = []
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", False) == {
        "name": "sha-aaaaaaa",
        "changed": False,
        "ready": True,
        "to_pull": 0,
        "pulled": 0,
        "torch": {},
        "diff": [],
    }
    assert host.engine.touched == []


@pytest.mark.parametrize("check", [True, False])
def test_a_release_with_a_stack_more_than_the_inventory_is_refused(host, check):
    host.extended()
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", check, stacks=["core"])
    assert str(error.value) == (
        "Release sha-aaaaaaa has stack extra, which the inventory does not give to this host any more, so no wave would bring it back. "
        "Put it into rollout_stacks again (and the host into its group), or choose another release."
    )
    # A stack that the release does not have is taken away, and comes back with the next rollout.
    assert restage.restage(host.store, host.engine, "sha-bbbbbbb", check, stacks=["core", "extra"])["name"] == "sha-bbbbbbb"


def test_a_pull_that_brings_an_old_release_back_tells_its_bytes(host, told):
    host.rollout("a")
    del host.engine.images[f"{WEB}@{digest('a')}"]
    host.engine.shown = [shown("300B/1kB")]
    told.clear()
    restage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert told == [{"step": "pull", "what": f"{WEB}:sha-aaaaaaa", "done": 300, "total": None}]


@pytest.mark.parametrize("check", [False, True])
def test_restage_fetches_an_image_that_vanished(host, check):
    host.rollout("a")
    del host.engine.images[f"{WEB}@{digest('a')}"]
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", check)["changed"]
    assert (f"{WEB}@{digest('a')}" in host.engine.images) is not check


def test_restage_refuses_what_was_edited(host):
    host.rollout("a")
    (host.store.directory("sha-aaaaaaa") / "core/.env").write_text("")
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert str(error.value) == (
        f"Release sha-aaaaaaa was edited by hand (core/.env in {host.store.directory('sha-aaaaaaa')}), so it is not what was proven "
        "stable. Restore the files, or choose another release."
    )


def test_restage_refuses_what_is_nowhere(host):
    host.rollout("a")
    del host.engine.images[f"{JOB}@{digest('a')}"]
    host.engine.fail = {"pull": "not found"}
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert str(error.value) == (
        "Release sha-aaaaaaa cannot run here: image r/job:sha-aaaaaaa is no longer on this host, and: Image "
        f"r/job@{digest('a')} could not be pulled: not found"
    )


def test_restage_refuses_what_is_gone(host):
    with pytest.raises(RolloutError, match="Release sha-aaaaaaa is incomplete"):
        restage.restage(host.store, host.engine, "sha-aaaaaaa", False)


def test_back_from_a_damaged_release(host):
    host.rollout("a")
    host.rollout("b")
    host.spoil("sha-bbbbbbb", "torn")
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", True)["preview"]["services"]
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", False)["name"] == "sha-aaaaaaa"


def test_what_the_target_of_a_rollback_does_not_have_goes(host):
    host.extended()
    for part in EXTRA:
        host.bring(put(host, order("c", stacks=EXTRA))["name"], "run-c", part)
    preview = restage.restage(host.store, host.engine, "sha-bbbbbbb", True, stacks=["core", "extra"])["preview"]
    assert {(r["stack"], r["service"], r["action"]) for r in preview["services"] if r["stack"] == "extra"} == {
        ("extra", "job", "remove")
    }
    assert not preview["settled"]
    assert preview["left"] == {}


def test_restage_logs_in_where_an_image_vanished(host):
    host.rollout("a")
    restage.restage(host.store, host.engine, "sha-aaaaaaa", False, LOGIN)
    assert host.engine.logins == []
    del host.engine.images[f"{WEB}@{digest('a')}"]
    restage.restage(host.store, host.engine, "sha-aaaaaaa", True, LOGIN)
    assert host.engine.logins == []
    restage.restage(host.store, host.engine, "sha-aaaaaaa", False, LOGIN)
    assert len(host.engine.logins) == 1
    assert host.left_of_login() == []


@pytest.mark.parametrize("check", [True, False])
def test_a_port_that_another_project_holds_is_refused_before_anything_is_touched(host, monkeypatch, check):
    monkeypatch.setattr(sockets, "listener", lambda port: "")
    host.rollout("a", text=ports_of(8000))
    host.rollout("b")
    host.engine.calls = []
    host.engine.ports = [(Port(8000), "other")]
    with pytest.raises(RolloutError, match="Port 8000, which service web publishes, is held by container or project other:"):
        restage.restage(host.store, host.engine, "sha-aaaaaaa", check)
    assert host.engine.touched == []
    # A stack that is to go may hold it until then.
    host.engine.ports = [(Port(8000), "app-extra")]
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", check, stacks=["core", "extra"])["ready"]


SLOW = (
    "docker-compose.core.yml: x-rollout.web.deadline is 60 s and rollout_confirm_timeout 60: the guard would act while the service is "
    "still waited for. Raise rollout_confirm_timeout, or lower that."
)


@pytest.mark.parametrize("check", [True, False])
def test_a_gate_that_may_take_longer_than_the_guard_waits_is_refused_forth_and_back(host, check):
    asked = order("a", stack("sha-aaaaaaa", ("web",), deadline=60.0))
    put(host, asked)
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", check, confirm_s=60.0)
    assert str(error.value) == SLOW
    with pytest.raises(RolloutError) as error:
        stage.stage(host.store, host.engine, replace(asked, confirm_s=60.0), check)
    assert str(error.value) == SLOW
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", check, confirm_s=61.0)["name"] == "sha-aaaaaaa"
