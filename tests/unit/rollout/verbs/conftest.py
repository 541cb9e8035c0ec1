"""A host without docker, and what its services, its card and its images answer."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.lock import Clock
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.io import clock, gpu, http, machine, torch_check
from story import STOP, Host


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return Host(tmp_path / "state")


@pytest.fixture
def answers(monkeypatch):
    """What the health URL says, one after the other; the last one for ever."""
    given = []
    monkeypatch.setattr(http, "ask", lambda url: given.pop(0) if len(given) > 1 else given[0])
    return given


@pytest.fixture
def passing(monkeypatch):
    """Time that passes as soon as somebody waits. The first call of the list is made then, and removed."""
    moment, then = machine.clock(), []
    now = [moment.seconds]
    monkeypatch.setattr(machine, "clock", lambda: Clock(moment.boot, now[0]))

    def sleep(seconds):
        now[0] += seconds
        for call in then[:1]:
            then.remove(call)
            call()

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return then


class Torch:
    """What the contract says: of images always a pass, of containers ``reason``. ``seen``: the containers asked."""

    def __init__(self, monkeypatch):
        self.reason, self.seen = "ok", []
        monkeypatch.setattr(torch_check, "in_image", lambda engine, service, expected, *_: self.judged("ok", expected))
        monkeypatch.setattr(torch_check, "in_container", self.in_container)

    @staticmethod
    def judged(reason, expected):
        verdict, fault, remedy = reasons.REASONS[reason]
        found = {"verdict": verdict, "reason": reason, "fault": fault, "remedy": remedy, "on_gpu": expected.on_gpu}
        return {**found, "expected": str(expected), "observed": "nothing", "torch": None}

    def in_container(self, engine, container, expected, limit_s, host=None):
        self.seen.append(container)
        return self.judged(self.reason, expected)


@pytest.fixture
def torch(monkeypatch):
    return Torch(monkeypatch)


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


class Work:
    """A service that can be drained: what is told to it is in ``told``, with the engine's calls up to then in ``after``; it
    answers with ``at_hand``, look by look, the last for ever."""

    def __init__(self, monkeypatch, engine):
        self.told, self.after, self.at_hand = [], [], [()]
        self.engine = engine
        monkeypatch.setattr(http, "tell", self.tell)

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
