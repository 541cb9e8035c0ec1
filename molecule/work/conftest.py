"""The host and its backend, looked at from outside, and an operator who types commands. Shared by the tests of this scenario."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field

import pytest
from operators import Machine, Operator, wait

MACHINE = Machine("ktrdr-molecule-work")


class Backend:
    """The application's API. Raises OSError while it is away."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}:8000/api/v1/"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, document: dict | None = None):
        data = json.dumps(document).encode() if document else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=3) as answer:
            return json.loads(answer.read())

    def submit(self, operation: dict) -> dict:
        """Submit until it is heard: the same id is the same operation."""

        def heard():
            try:
                return self.ask("operations", operation)
            except OSError:
                return None

        return wait(heard, 60, f"operation {operation['id']} is submitted")


@dataclass
class Watch(threading.Thread):
    """Looks at the backend all the time: which states of which operation it saw, which releases of which worker."""

    backend: Backend
    operations: dict[str, list[dict]] = field(default_factory=dict)
    releases: set[tuple[str, str]] = field(default_factory=set)
    ended: bool = False

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)
        self.start()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.ended:
            try:
                for one in self.backend.ask("operations"):
                    seen = self.operations.setdefault(one["id"], [])
                    if not seen or seen[-1] != one:
                        seen.append(one)
                self.releases |= {(w["id"], w["release"]) for w in self.backend.ask("workers")}
            except OSError:
                pass  # it is being switched
            time.sleep(0.2)

    def states(self, keys: list[str]) -> set[str]:
        return {self.operations[key][-1]["state"] if key in self.operations else "" for key in keys}

    def count(self, *states: str) -> int:
        return sum(seen[-1]["state"] in states for seen in list(self.operations.values()))


@pytest.fixture(scope="session")
def machine() -> Machine:
    return MACHINE


@pytest.fixture(scope="session")
def backend() -> Backend:
    return Backend(MACHINE.address())


@pytest.fixture
def watch(backend):
    watching = Watch(backend)
    yield watching
    watching.ended = True
    watching.join(10)


@pytest.fixture
def operator():
    typing = Operator("work")
    yield typing
    typing.leave()
