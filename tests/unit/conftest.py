from __future__ import annotations

import time
from types import SimpleNamespace

import fake_docker
import pytest
from ansible.module_utils.rollout.io import clock as clocks


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """No test waits for real: the clock goes on by what is slept, in no time. Its ``time`` may be set."""
    now = SimpleNamespace(time=0.0)

    def sleep(seconds):
        now.time += seconds

    monkeypatch.setattr(clocks, "monotonic", lambda: now.time)
    monkeypatch.setattr(clocks, "sleep", sleep)
    return now


@pytest.fixture
def real_clock(clock, monkeypatch):
    """The machine's own clock, for a wait for another thread or process."""
    monkeypatch.setattr(clocks, "monotonic", time.monotonic)
    monkeypatch.setattr(clocks, "sleep", time.sleep)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a `docker` first on PATH that answers by the cases of a shell `case "$*"`; info and compose it knows."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def make(cases=""):
        fake_docker.install(tmp_path / "bin", f"{cases}{fake_docker.ENGINE}ps*) ;;")

    return make
