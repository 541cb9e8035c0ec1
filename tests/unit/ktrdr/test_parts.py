"""Settings, the health check, the watch over workers, and torch: each by itself."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import make_url

from ktrdr.api.watch import Watch
from ktrdr.config import Settings
from ktrdr.operations import Params

ROOT = Path(__file__).resolve().parents[3]
URL = "postgresql+psycopg://ktrdr@db:5432/ktrdr"


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1))
def test_any_password_reaches_the_driver(password: str) -> None:
    url = Settings(database_url=URL, database_password=password).database()
    assert url.password == password
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert (arguments["password"], arguments["host"], arguments["dbname"]) == (password, "db", "ktrdr")
    assert make_url(url.render_as_string(hide_password=False)).password == password


def test_a_password_does_not_spoil_sqlite() -> None:
    assert str(Settings(database_password="x").database()) == "sqlite:///./ktrdr.db"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KTRDR_RELEASE", "sha-abc1234")
    monkeypatch.setenv("KTRDR_GRACE_SECONDS", "3.5")
    monkeypatch.setenv("KTRDR_DATABASE_PASSWORD", "hunter2")
    told = Settings()
    assert (told.release, told.grace_seconds) == ("sha-abc1234", 3.5)
    assert "hunter2" not in repr(told)


@pytest.mark.parametrize(("name", "value"), [("DEVICE", "tpu"), ("HEARTBEAT_SECONDS", "0"), ("WORKER_ID", "a/b")])
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KTRDR_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"reason": f"at {self.path}"}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def healthcheck(port: int | str, path: str) -> tuple[int, str]:
    done = subprocess.run(
        [ROOT / "deploy/docker/healthcheck.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"KTRDR_PORT": str(port), "KTRDR_HEALTH_PATH": path},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_healthcheck_tells_good_from_bad(port: int) -> None:
    assert healthcheck(port, "/good") == (0, '200 {"reason": "at /good"}')
    assert healthcheck(port, "/bad") == (1, '503 {"reason": "at /bad"}')
    assert healthcheck("http", "/good") == (1, "KTRDR_PORT is not a port number: http")


def test_healthcheck_of_nobody() -> None:
    with socket.socket() as bound:
        # Bound and not listening: refused.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert healthcheck(port, "/good") == (1, f"no answer from 127.0.0.1:{port}/good")
        # Listening, and silent.
        bound.listen()
        assert healthcheck(port, "/good") == (1, f"no answer from 127.0.0.1:{port}/good")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_watch() -> None:
    clock = Clock()
    watch = Watch(10, clock)
    assert watch.look("w", 7) == ("awaited", 0)
    clock.now += 10
    assert watch.look("w", 7) == ("awaited", 10)
    clock.now += 1
    assert watch.look("w", 7) == ("lost", 11)
    watch.heard("w", 8)
    assert watch.look("w", 8) == ("alive", 0)
    clock.now += 11
    assert watch.look("w", 8)[0] == "lost"
    # Another backend counted a beat.
    assert watch.look("w", 9) == ("alive", 0)
    clock.now += 9
    # A beat that the database could not count is a sign of life too.
    watch.heard("w")
    clock.now += 9
    assert watch.look("w", 9) == ("alive", 9)
    watch.heard("unseen")
    assert watch.look("unseen", 3)[0] == "alive"


def operations() -> list[Any]:
    from ktrdr.backtesting.crossover import Crossover
    from ktrdr.training.mlp import Mlp

    return [Crossover, Mlp]


@pytest.mark.parametrize("which", [0, 1], ids=["backtest", "training"])
def test_interrupted_anywhere_the_result_is_the_same(which: int) -> None:
    torch = pytest.importorskip("torch")
    make, device = operations()[which], torch.device("cpu")
    steps = 30

    def run(cuts: set[int], seed: int = 3) -> dict[str, Any]:
        params = Params(seed=seed, steps=steps)
        task = make(params, device)
        while task.step_number < steps:
            if task.step_number in cuts:
                task = make(params, device, json.loads(json.dumps(task.checkpoint())))
            task.step()
        result: dict[str, Any] = task.result()
        return result

    undisturbed = run(set())
    assert undisturbed == run({0}) == run({1, 2, 17}) == run(set(range(steps)))
    assert undisturbed != run(set(), seed=4)


def test_a_training_learns() -> None:
    torch = pytest.importorskip("torch")
    task = operations()[1](Params(seed=1), torch.device("cpu"))
    before = task.result()["loss"]
    for _ in range(300):
        task.step()
    assert task.result()["loss"] < before / 3


def test_a_backtest_holds_together() -> None:
    torch = pytest.importorskip("torch")
    task = operations()[0](Params(seed=1), torch.device("cpu"))
    for _ in range(20):
        task.step()
    result = task.result()
    assert result["bars"] == 20 * 64
    assert 10 < result["trades"] < 400
    assert 0 < result["max_drawdown"] < 1
    assert len(json.dumps(task.checkpoint())) < 2000


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from ktrdr.ml import DeviceError, pick_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(pick_device("auto")) == str(pick_device("cpu")) == "cpu"
    with pytest.raises(DeviceError, match=r"device cuda is asked for, but torch .* sees no usable CUDA device"):
        pick_device("cuda")
