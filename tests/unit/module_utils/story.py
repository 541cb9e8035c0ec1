"""A host with releases on it, made by the code under test and a fake engine."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.rollout import lock, machine, settle, stage
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.switch import Switch
from fake_engine import FakeEngine, digest

WEB, JOB = "r/web", "r/job"


def stack(tag: str, services: tuple[str, ...] = ("web", "job"), database: bool = True, **gate: Any) -> str:
    """The text of a compose file; JSON is YAML, so that the fake engine can read it."""
    gate = {"successes": 1, "window": 0, "deadline": 0.0, **gate}
    specs: dict[str, Any] = {name: {"image": f"r/{name}:{tag}"} for name in services}
    if database:
        specs["db"] = {"image": "postgres:17"}
    return json.dumps({"services": specs, "x-rollout": {name: gate for name in services}})


def order(letter: str, text: str | None = None, **facts: Any) -> stage.Order:
    """The release sha-LLLLLLL, whose images have digests of that letter."""
    release = "sha-" + letter * 7
    images = {
        r: {"digest": digest(letter), "platforms": {"linux/amd64": [{"diff_id": letter + r, "size": 1000}]}} for r in (WEB, JOB)
    }
    values = {
        "application": "app",
        "release": release,
        "run": "run-" + letter,
        "images": images,
        "stacks": {"core": text or stack(release)},
        "secrets": {"PW": "canary-" + letter},
        **facts,
    }
    return stage.Order(**values)


def held(store: Store, run: str = "run", ttl: float = 900.0, seconds_ago: float = 0.0, **owner: Any) -> dict[str, Any]:
    """Write the lock of that run, with its last sign of life some time ago."""
    store.require_writable()
    now = machine.clock()
    store.write_lock(lock.document(owner, run, ttl, "2026-01-01T00:00:00Z", lock.Clock(now.boot, now.seconds - seconds_ago)))
    return store.lock() or {}


class Host:
    """A store and an engine."""

    def __init__(self, root: Any) -> None:
        self.store, self.engine = Store(str(root)), FakeEngine()

    def switch(self, name: str, run: str = "run", stack_name: str = "core") -> Switch:
        return Switch(self.store, self.engine, "app", stack_name, name, run)

    def rollout(self, letter: str, keep: int = 5, **facts: Any) -> dict[str, Any]:
        """A whole rollout of one stack. Returns what settling said."""
        asked = order(letter, **facts)
        name = stage.stage(self.store, self.engine, asked, False)["name"]
        self.switch(name, asked.run).switch(False)
        return settle.confirm(self.store, self.engine, name, asked.run, "rollout", keep, False)

    def events(self) -> list[tuple[str, str]]:
        """Event and name of each entry of the ledger."""
        entries = [json.loads(line) for line in self.store.path.read_text().splitlines()]
        return [(e["event"], e.get("service", e["name"])) for e in entries]
