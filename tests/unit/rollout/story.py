"""A host with releases on it, made by the code under test and a fake engine."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Callable, Iterable, Iterator, Mapping

import pytest
from ansible.module_utils.rollout.domain import lock
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine, masking
from ansible.module_utils.rollout.io.images import Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import jobs, settle, stage, switch
from ansible.module_utils.rollout.verbs.deployment import Deployment, Policy
from fake_engine import FakeEngine, digest

WEB, JOB = "r/web", "r/job"
# The compose file of stack core, in a release's directory.
FILE = "core/docker-compose.core.yml"
URL = "http://127.0.0.1:8000/health"
# What holds a card.
OLD = {"pid": 4711, "name": "python3", "memory_mib": 9000}
STOP = "http://127.0.0.1:8000/workers/web/drain"


# A switch's answer for a service that stays.
KEPT = {
    "stack": "core",
    "service": "web",
    "action": "keep",
    "why": "",
    "drain": "",
    "torch": None,
    "seconds": 0.0,
    "gap": None,
}


def stack(tag: str, services: tuple[str, ...] = ("web", "job"), database: bool = True, **gate: Any) -> str:
    """The text of a compose file; JSON is YAML, so that the fake engine can read it."""
    gate = {"successes": 1, "window": 0, "deadline": 0.0, **gate}
    specs: dict[str, Any] = {name: {"image": f"r/{name}:{tag}"} for name in services}
    if database:
        specs["db"] = {"image": "postgres:17"}
    return json.dumps({"services": specs, "x-rollout": {name: gate for name in services}})


def with_job(tag: str, database: bool = True, **keys: Any) -> str:
    """The text of a compose file whose service job is one: it runs before web is switched, unless its keys say otherwise."""
    document = json.loads(stack(tag, database=database))
    document["services"]["web"]["depends_on"] = {"job": {"condition": "service_completed_successfully"}}
    document["x-rollout"]["job"] = keys
    return json.dumps(document)


def source(text: str, stack_name: str = "core", **facts: Any) -> Bundle:
    """The source of a stack with that one Compose file."""
    file = f"docker-compose.{stack_name}.yml"
    return Bundle({file: File(text.encode())}, (file,), **facts)


def references(text: str) -> set[str]:
    """The images in a compose file; of one that is no JSON the usual ones."""
    try:
        return {str(spec["image"]) for spec in json.loads(text)["services"].values() if spec.get("image")}
    except (ValueError, KeyError):
        return set()


def resolved(letter: str, texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the registry says of the images in these compose files: those of the release have digests of that letter."""
    found: dict[str, dict[str, Any]] = {}
    for image in sorted(set().union(*map(references, texts))):
        own = image.startswith("r/")
        platforms = {"linux/amd64": [{"diff_id": letter + image.partition(":")[0], "size": 1000 if own else 0}]}
        known = {"now": True, "follows": True} if own else {}
        found[image] = {
            "digest": digest(letter if own else "d" if image == "postgres:17" else "e"),
            "platforms": platforms,
            **known,
        }
    return found


def order(letter: str, text: str | None = None, **facts: Any) -> stage.Order:
    """The release sha-LLLLLLL, whose images have digests of that letter."""
    release = "sha-" + letter * 7
    texts = facts.pop("stacks", {"core": text or stack(release)})
    environment, secrets = facts.pop("environment", {}), facts.pop("secrets", {"PW": "canary-" + letter})
    more = facts.pop("source", {})
    values = {
        "application": "app",
        "release": release,
        "run": "run-" + letter,
        "images": resolved(letter, texts.values()),
        "stacks": {name: source(one, name, environment=environment, secrets=secrets, **more) for name, one in texts.items()},
        **facts,
    }
    return stage.Order(**values)


EXTRA = {"core": stack("sha-aaaaaaa", ("web",)), "extra": stack("sha-aaaaaaa", ("job",), database=False)}
LOGIN = Login("r.example:5000/team", "karl", "canary-pw")


def ports_of(port: int, tag: str = "v", **more: Any) -> str:
    """The text of a compose file whose service web publishes that port."""
    document = json.loads(stack(tag))
    document["services"]["web"]["ports"] = [{"published": str(port), "target": 80, **more}]
    return json.dumps(document)


def shown(word: str) -> str:
    """What a pull shows on its terminal of a layer."""
    return f"cafa9637794d: Downloading [=> ]  {word}\r"


def on_gpu(letter: str) -> str:
    """The text of a compose file whose service needs a card."""
    return stack("sha-" + letter * 7, ("web",), torch="cuda")


def draining(letter: str, **keys: Any) -> str:
    """The text of a compose file whose service is drained."""
    return stack("sha-" + letter * 7, ("web",), drain={"stop": STOP, **keys})


def actions(result: dict[str, Any]) -> dict[str, str]:
    """Service -> what is done to it."""
    return {s["service"]: s["action"] for s in result["services"]}


def done_when(result: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Phase, service and whether it ended well, in the order in which they began."""
    return [(p["phase"], p["service"], p["good"]) for p in result["phases"]]


def failure(call: Callable[..., Any], *arguments: Any) -> tuple[str, dict[str, Any]]:
    """The sentence with which a call fails, and the facts behind it, without what was done when."""
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value), {k: v for k, v in error.value.facts.items() if k not in ("phases", "clock")}


def held(store: Store, run: str = "run", ttl: float = 900.0, seconds_ago: float = 0.0, **owner: Any) -> dict[str, Any]:
    """Write the lock of that run, with its last sign of life some time ago."""
    store.require_writable()
    now = machine.clock()
    store.write_lock(lock.document(owner, run, ttl, "2026-01-01T00:00:00Z", lock.Clock(now.boot, now.seconds - seconds_ago)))
    return store.lock() or {}


class Host:
    """A store and an engine, perhaps that of another host object: then both applications are on one host."""

    def __init__(self, root: Any, application: str = "app", engine: FakeEngine | None = None) -> None:
        self.store, self.engine, self.application = Store(str(root)), engine or FakeEngine(), application

    def deployment(self, name: str, run: str = "run", stack_name: str = "core", **policy: Any) -> Deployment:
        return Deployment(self.store, self.engine, self.application, stack_name, name, run, Policy(**policy))

    def bring(self, *place: str, **policy: Any) -> dict[str, Any]:
        return switch.bring(self.deployment(*place, **policy))

    def bring_back(self, *place: str, **policy: Any) -> dict[str, Any]:
        return switch.bring_back(self.deployment(*place, **policy))

    def look(self, *place: str) -> dict[str, Any]:
        return switch.look(self.deployment(*place))

    def jobs(self, name: str, run: str = "run", when: str = "before", **asked: Any) -> dict[str, Any]:
        """Run the jobs of stack core."""
        found, wants = [self.deployment(name, run)], jobs.Asked(**asked)
        return jobs.before(found, wants, lambda: None) if when == "before" else jobs.after(found, wants)

    def remove(self, *place: str, check: bool = False) -> dict[str, Any]:
        return switch.remove(self.deployment(*place), check)

    def prove(self, name: str, run: str = "run", **how: Any) -> dict[str, Any]:
        return settle.prove(self.store, self.engine, self.application, name, run, Policy(), **how)

    def edit(self, service: str, **facts: Any) -> None:
        """What the engine says of a service's container from now on."""
        one = next(c for c in self.engine.made if c["Id"] == self.engine.running()[service])
        one["State"].update(facts.pop("State", {}))
        one.update(facts)

    def rollout(self, letter: str, keep: int = 5, **facts: Any) -> dict[str, Any]:
        """A whole rollout of one stack. Returns what settling said."""
        asked = order(letter, **{"application": self.application, **facts})
        name = stage.stage(self.store, self.engine, asked, False)["name"]
        self.bring(name, asked.run)
        return settle.confirm(self.store, self.engine, name, asked.run, "rollout", keep, False)

    def staged(self, letter: str, **facts: Any) -> str:
        """Stage a release; the name of its directory."""
        name = str(stage.stage(self.store, self.engine, order(letter, **facts), False)["name"])
        # As the agent does at each step.
        masking.learn_releases(self.store)
        return name

    def extended(self) -> None:
        """A stable release with two stacks, and one behind it that has one of them."""
        name = stage.stage(self.store, self.engine, order("a", stacks=EXTRA), False)["name"]
        for part in EXTRA:
            self.bring(name, "run-a", part)
        settle.confirm(self.store, self.engine, name, "run-a", "rollout", 5, False)
        self.rollout("b")

    def spoil(self, name: str, how: str) -> None:
        """Damage the directory of a release."""
        directory = self.store.directory(name)
        if how == "edited":
            (directory / FILE).write_text("services: {}")
        elif how == "gone":
            (directory / FILE).unlink()
        elif how == "torn":
            (directory / "release.json").write_text("{")
        else:
            directory.rename(directory.parent / ".away")

    @contextlib.contextmanager
    def store_at_work(self, run: str) -> Iterator[None]:
        """A step of that run, which holds the lock."""
        held(self.store, run)
        with self.store.step(run):
            yield

    def left_of_login(self) -> list[Any]:
        """What the login of LOGIN left on the host."""
        files = [p for p in self.store.root.rglob("*") if p.is_file()]
        return [p for p in files if LOGIN.password.encode() in p.read_bytes()] + list(self.store.root.glob(".login.*"))

    def events(self) -> list[tuple[str, str]]:
        """Event and name of each entry of the ledger."""
        entries = [json.loads(line) for line in self.store.path.read_text().splitlines()]
        return [(e["event"], e.get("service", e["name"])) for e in entries]


def until(condition: Callable[[], Any]) -> None:
    """Wait for it, half a minute at most."""
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)
