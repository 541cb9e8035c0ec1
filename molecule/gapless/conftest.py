"""The API as its callers see it, and an operator who types commands. Shared by the tests of this scenario."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from operators import Machine, Operator

from bench.probe import Probe, failed, longest_outage

OPERATOR = Operator("gapless")
MACHINE = Machine("ktrdr-molecule-gapless", "gapless")
PORT = 18000


@dataclass
class Callers:
    """Who uses the API: 50 requests a second, and where asked for a response of 10 s begun every second."""

    address: str
    long: bool = False
    slow: list[str] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(40)
        self._probe = Probe(f"http://{self.address}:{PORT}/api/v1/health")
        self._probe.__enter__()
        self._asking = threading.Thread(target=self._ask_long)
        self._asking.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._asking.join()
        self._pool.shutdown()
        self._probe.__exit__(None, None, None)
        self.requests, self.failed = len(self._probe.samples), failed(self._probe.samples)
        self.outage = longest_outage(self._probe.samples)

    def _ask_long(self) -> None:
        while self.long and not self._ended.wait(1):
            self._pool.submit(self._slow)

    def _slow(self) -> None:
        self.slow.append(get(self.address, "/slow?seconds=10")[0])


def get(address: str, path: str, seconds: float = 60) -> tuple[str, bytes]:
    """``ok`` or what went wrong, and the body."""
    connection = http.client.HTTPConnection(address, PORT, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        return ("ok" if answer.status == 200 else f"HTTP {answer.status}"), body
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}", b""
    finally:
        connection.close()


def run(*arguments: str, rc: int = 0) -> str:
    """Type a command as an operator does: all that it says, in one line."""
    return OPERATOR.run(*arguments, rc=rc).said


@pytest.fixture
def address() -> str:
    return MACHINE.address()


@pytest.fixture
def callers(address):
    """A new crowd: ``with callers() as crowd: …``."""
    return lambda long=False: Callers(address, long)


class Backends:
    """The containers of the backend on the host."""

    def all(self) -> dict[str, str]:
        """Name -> release, the newest first, of those that run or ran."""
        form = '{{.Names}} {{.Label "rollout.release"}}'
        ours = "label=com.docker.compose.service=backend"
        rows = MACHINE.exec("docker", "ps", "--all", "--filter", ours, "--format", form)
        return dict(row.split() for row in rows.splitlines())

    def active(self) -> str:
        """What HAProxy reads: the container that it asks."""
        text = MACHINE.exec("cat", f"{MACHINE.state}/proxy/core.backend.cfg")
        return next((line.split()[1] for line in text.splitlines() if line.strip().startswith("server ")), "")

    def answering(self, address: str) -> str:
        return json.loads(get(address, "/api/v1/health")[1] or "{}").get("release", "")


@pytest.fixture
def backends() -> Backends:
    return Backends()


@pytest.fixture
def one(backends, address):
    """Assert that one backend is there, of that release, and that it answers."""

    def check(release: str) -> None:
        found = backends.all()
        assert list(found.values()) == [release], found
        assert backends.active() == next(iter(found))
        assert backends.answering(address) == release

    return check
