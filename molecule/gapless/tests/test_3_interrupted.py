"""Killed half-way, restarted half-way: somebody answers, and the next run cleans up."""

from __future__ import annotations

import pytest
from conftest import MACHINE, OPERATOR, get, run
from operators import Running, docker, wait


def kill(typed: Running) -> None:
    """The operator's command, and what it left at work on the host."""
    typed.kill()
    MACHINE.exec("sh", "-c", "pkill -KILL -f '^/usr/bin/python3( |$)' || true")


@pytest.mark.parametrize("moment", [pytest.param("the new one is there", marks=pytest.mark.nightly), "HAProxy's file names it"])
def test_killed_when(moment, callers, backends, one, address):
    before = backends.active()
    moments = {
        "the new one is there": lambda: len(backends.all()) == 2,
        "HAProxy's file names it": lambda: backends.active() != before,
    }
    with callers() as crowd:
        typed = OPERATOR.start("rollout.yml", "-e", "sha=bbbbbb2")
        try:
            wait(moments[moment], 60, moment)
        finally:
            kill(typed)
        assert len(backends.all()) <= 2
        assert backends.answering(address) in ("sha-aaaaaa1", "sha-bbbbbb2")
        run("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_lock_wait=30")
        one("sha-bbbbbb2")
        run("rollback.yml", "-e", "sha=aaaaaa1")
    one("sha-aaaaaa1")
    assert crowd.failed == 0, f"of {crowd.requests}, an outage of {crowd.outage:.2f} s"


@pytest.mark.nightly
def test_a_reboot_finds_the_active_one_again(address, one):
    """Its address may be another one then: HAProxy asks for it by name."""
    docker("restart", MACHINE.container)
    wait(lambda: get(address, "/api/v1/health", 2)[0] == "ok", 90, "the API answers after the reboot")
    one("sha-aaaaaa1")
    said = run("rollout.yml", "-e", "sha=aaaaaa1")
    assert "ROLLOUT UNCHANGED" in said


@pytest.mark.nightly
def test_another_strategy_and_back(one, backends, address):
    """The proxy goes and comes; between them the port is free for a moment, and that is said."""
    run("rollout.yml", "-e", "sha=aaaaaa1", "-e", "rollout_strategy=stop_first")
    assert list(backends.all().values()) == ["sha-aaaaaa1"]
    assert backends.answering(address) == "sha-aaaaaa1"
    run("rollout.yml", "-e", "sha=bbbbbb2")
    one("sha-bbbbbb2")
