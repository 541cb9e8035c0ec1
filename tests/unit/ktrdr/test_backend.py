"""The backend's promises, over HTTP, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ktrdr.api.main import create_app
from ktrdr.config import Settings

PARAMS = {"seed": 1, "steps": 3, "step_seconds": 0.0}


class Clock:
    """A clock that moves when it is told, so that no pause of this machine makes a worker silent."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def backend(clock: Callable[[], float] = time.monotonic, **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(release="sha-abc1234", **settings), clock)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.base_url = client.base_url.join("/api/v1/")
        yield client


@pytest.fixture
def api(database: dict[str, str]) -> Iterator[TestClient]:
    with backend(**database) as client:
        yield client


def register(api: TestClient, name: str, kind: str = "backtest") -> None:
    body = {"id": name, "kind": kind, "release": "sha-abc1234", "capabilities": [kind], "device": "cpu"}
    answer = api.post("workers", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "alive"), answer.text


def submit(api: TestClient, key: str, kind: str = "backtest") -> dict[str, Any]:
    answer = api.post("operations", json={"id": key, "kind": kind, "params": PARAMS})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def claim(api: TestClient, worker: str) -> dict[str, Any] | None:
    answer = api.post(f"workers/{worker}/claim")
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else None


def tell(api: TestClient, operation: dict[str, Any], word: str, **body: Any) -> int:
    held = {"worker": operation["worker"], "attempt": operation["attempt"]}
    return api.post(f"operations/{operation['id']}/{word}", json=held | body).status_code


def test_health_names_the_release(api: TestClient) -> None:
    answer = api.get("health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "release": "sha-abc1234", "database": "ok"}


def test_an_operation_from_submission_to_result(api: TestClient) -> None:
    register(api, "w1")
    assert claim(api, "w1") is None
    assert submit(api, "op1")["state"] == "queued"
    held = claim(api, "w1")
    assert held is not None
    assert (held["id"], held["params"], held["checkpoint"], held["attempt"]) == ("op1", PARAMS, None, 1)
    assert api.get("workers/w1").json()["operations"] == ["op1"]
    assert tell(api, held, "checkpoint", checkpoint={"step": 2}) == 204
    assert api.get("operations/op1").json()["checkpoint"] == {"step": 2}
    assert tell(api, held, "complete", result={"x": 0.1}) == 200
    done = api.get("operations/op1").json()
    assert (done["state"], done["result"], done["worker"]) == ("completed", {"x": 0.1}, "w1")
    assert [o["id"] for o in api.get("operations", params={"state": "completed"}).json()] == ["op1"]
    assert api.get("operations", params={"state": "queued"}).json() == []
    assert claim(api, "w1") is None


def test_operations_go_to_those_who_can_in_order(api: TestClient) -> None:
    for key, kind in (("a", "training"), ("b", "backtest"), ("c", "training")):
        submit(api, key, kind)
    register(api, "bw", "backtest")
    register(api, "tw1", "training")
    register(api, "tw2", "training")
    claimed = [claim(api, worker) for worker in ("tw1", "bw", "tw2")]
    assert [c and c["id"] for c in claimed] == ["a", "b", "c"]


def test_submitting_again_is_harmless_with_other_contents_refused(api: TestClient) -> None:
    first = submit(api, "op1")
    assert submit(api, "op1") == first
    answer = api.post("operations", json={"id": "op1", "kind": "training", "params": PARAMS})
    assert answer.status_code == 409
    assert "operation op1 exists with other contents" in answer.json()["reason"]
    assert len(api.get("operations").json()) == 1
    assert api.post("operations", json={"kind": "backtest"}).json()["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "guess", "params": PARAMS},
        {"kind": "backtest", "params": {"steps": 0}},
        {"kind": "backtest", "params": {"stepps": 1}},
        {"kind": "backtest", "parms": {}},
        {"id": "../x", "kind": "backtest"},
    ],
)
def test_a_bad_submission_is_refused(sqlite: dict[str, str], body: dict[str, Any]) -> None:
    with backend(**sqlite) as api:
        assert api.post("operations", json=body).status_code == 422
        assert api.get("operations").json() == []


def test_unknown_names_are_404(api: TestClient) -> None:
    assert api.get("workers/nobody").json() == {"reason": "worker nobody is not registered"}
    for method, path in (
        ("GET", "workers/nobody"),
        ("POST", "workers/nobody/heartbeat"),
        ("POST", "workers/nobody/claim"),
        ("POST", "workers/nobody/drain"),
        ("GET", "operations/none"),
    ):
        assert api.request(method, path).status_code == 404, path
    assert api.delete("workers/nobody").status_code == 204


def test_only_the_holder_may_speak_and_a_result_stands(api: TestClient) -> None:
    register(api, "w1")
    register(api, "w2")
    submit(api, "op1")
    first = claim(api, "w1")
    assert first
    other = first | {"worker": "w2"}
    for word, body in (
        ("checkpoint", {"checkpoint": {}}),
        ("complete", {"result": {"x": 2}}),
        ("fail", {"error": "no"}),
        ("release", {}),
    ):
        assert tell(api, other, word, **body) == 409, word
    assert tell(api, first, "release", checkpoint={"step": 1}) == 204
    second = claim(api, "w2")
    assert second
    assert (second["attempt"], second["checkpoint"]) == (2, {"step": 1})
    assert tell(api, first, "complete", result={"x": 3}) == 409
    assert tell(api, second, "complete", result={"x": 4}) == 200
    # Again, as after an answer that got lost: heard, but without effect.
    assert tell(api, second, "complete", result={"x": 5}) == 200
    assert tell(api, second, "fail", error="no") == 409
    assert tell(api, second, "release") == 409
    assert api.get("operations/op1").json()["result"] == {"x": 4}


def test_a_failure_is_kept(api: TestClient) -> None:
    register(api, "w1")
    submit(api, "op1")
    held = claim(api, "w1")
    assert held
    assert tell(api, held, "fail", error="ValueError: no") == 200
    shown = api.get("operations/op1").json()
    assert (shown["state"], shown["error"]) == ("failed", "ValueError: no")
    assert claim(api, "w1") is None


def test_goodbye_gives_the_operation_to_another(api: TestClient) -> None:
    register(api, "w1")
    register(api, "w2")
    submit(api, "op1")
    held = claim(api, "w1")
    assert held
    assert tell(api, held, "checkpoint", checkpoint={"step": 7}) == 204
    assert api.delete("workers/w1").status_code == 204
    assert api.get("workers/w1").status_code == 404
    assert api.get("operations/op1").json()["state"] == "queued"
    again = claim(api, "w2")
    assert again
    assert (again["id"], again["checkpoint"]) == ("op1", {"step": 7})
    assert tell(api, held, "complete", result={}) == 409


def test_a_worker_that_starts_anew_holds_nothing(api: TestClient) -> None:
    register(api, "w1")
    submit(api, "op1")
    held = claim(api, "w1")
    assert held
    register(api, "w1")
    assert api.get("operations/op1").json()["state"] == "queued"
    assert tell(api, held, "checkpoint", checkpoint={}) == 409


def test_a_claim_whose_answer_was_lost_is_answered_again(api: TestClient) -> None:
    register(api, "w1")
    submit(api, "op1")
    submit(api, "op2")
    first = claim(api, "w1")
    # Draining or not: nobody else would do it.
    assert api.post("workers/w1/drain").status_code == 200
    second = claim(api, "w1")
    assert first
    assert second
    assert (second["id"], second["attempt"]) == (first["id"], first["attempt"] + 1)
    assert tell(api, first, "complete", result={}) == 409, "an earlier claim no longer counts"
    assert tell(api, second, "complete", result={}) == 200


def test_a_draining_worker_gets_nothing_until_it_is_free_again(api: TestClient) -> None:
    register(api, "w1")
    submit(api, "op1")
    submit(api, "op2")
    held = claim(api, "w1")
    answer = api.post("workers/w1/drain")
    assert (answer.json()["status"], answer.json()["operations"]) == ("draining", ["op1"])
    assert held
    assert tell(api, held, "complete", result={}) == 200
    assert claim(api, "w1") is None
    assert api.get("workers/w1").json()["operations"] == []
    assert api.post("workers/w1/drain", json={"draining": False}).json()["status"] == "alive"
    assert (claim(api, "w1") or {}).get("id") == "op2"


def test_a_silent_worker_is_lost_and_its_operation_resumed(database: dict[str, str]) -> None:
    clock = Clock()
    with backend(clock, worker_timeout_seconds=10, **database) as api:
        register(api, "w1")
        submit(api, "op1")
        held = claim(api, "w1")
        assert held
        assert tell(api, held, "checkpoint", checkpoint={"step": 5}) == 204
        clock.now = 10
        register(api, "w2")
        assert claim(api, "w2") is None, "10 seconds of silence are not yet too many"
        clock.now = 10.1
        again = claim(api, "w2")
        assert again
        assert (again["id"], again["checkpoint"], again["attempt"]) == ("op1", {"step": 5}, 2)
        answer = api.get("workers/w1")
        assert (answer.status_code, answer.json()["status"]) == (503, "lost")
        assert answer.json()["reason"] == "no heartbeat for 10.1 s"
        assert tell(api, held, "complete", result={}) == 409
        assert api.post("workers/w1/heartbeat").status_code == 204
        assert api.get("workers/w1").json()["status"] == "alive"
        assert [w["id"] for w in api.get("workers").json()] == ["w1", "w2"]


@pytest.mark.parametrize("silent", [True, False])
def test_an_operation_that_its_workers_do_not_survive_is_given_up(database: dict[str, str], silent: bool) -> None:
    clock = Clock()
    with backend(clock, worker_timeout_seconds=10, max_losses=2, **database) as api:
        register(api, "w1")
        submit(api, "op1")
        for losses in (1, 2):
            assert claim(api, "w1")
            if silent:
                clock.now += 11
                assert api.get("workers/w1").json()["status"] == "lost"
                # Another one comes and asks: so it is noticed.
                register(api, "w2", "training")
                assert claim(api, "w2") is None
                assert api.post("workers/w1/heartbeat").status_code == 204
            else:
                register(api, "w1")
            shown = api.get("operations/op1").json()
            assert (shown["state"], shown["losses"], shown["worker"]) == (
                ("failed", 2, "w1") if losses == 2 else ("queued", 1, None)
            )
        assert shown["error"] == (
            "given up: 2 workers were lost while they ran it, so it may be what kills them (out of memory?). The last one is "
            "named here: look at its log, then submit the operation anew under another id."
        )
        assert claim(api, "w1") is None


def test_workers_that_leave_or_are_stopped_do_not_count_as_lost(database: dict[str, str]) -> None:
    with backend(max_losses=1, **database) as api:
        register(api, "w1")
        submit(api, "op1")
        first = claim(api, "w1")
        assert first
        assert tell(api, first, "release", checkpoint={"step": 1}) == 204
        assert claim(api, "w1")
        assert api.delete("workers/w1").status_code == 204
        register(api, "w1")
        assert claim(api, "w1")
        # Told to stop, and killed before it could give its operation back.
        assert api.post("workers/w1/drain").status_code == 200
        register(api, "w1")
        assert api.get("workers/w1").json()["status"] == "alive"
        again = claim(api, "w1")
        assert again
        assert (again["attempt"], again["losses"], again["checkpoint"]) == (4, 0, {"step": 1})
        assert tell(api, again, "complete", result={}) == 200


def test_a_restarted_backend_forgets_nothing(database: dict[str, str]) -> None:
    with backend(**database) as api:
        register(api, "w1")
        register(api, "w2")
        submit(api, "op1")
        held = claim(api, "w1")
        assert held
        assert tell(api, held, "checkpoint", checkpoint={"step": 5}) == 204
    clock = Clock()
    with backend(clock, worker_timeout_seconds=10, **database) as api:
        awaited = api.get("workers/w1")
        assert (awaited.status_code, awaited.json()["status"]) == (503, "awaited")
        assert awaited.json()["reason"] == "no heartbeat yet since the backend started"
        assert api.post("workers/w2/heartbeat").status_code == 204
        clock.now = 10
        assert claim(api, "w2") is None, "w1 was not given time to be heard"
        clock.now = 10.1
        again = claim(api, "w2")
        assert again
        assert (again["id"], again["checkpoint"]) == ("op1", {"step": 5})


def test_many_claims_at_once_get_each_operation_once(database: dict[str, str]) -> None:
    count = 24
    with backend(**database) as api, ThreadPoolExecutor(8) as pool:
        workers = [f"w{n}" for n in range(8)]
        for worker in workers:
            register(api, worker)
        for n in range(count):
            submit(api, f"op{n}")

        def work(worker: str) -> list[str]:
            done = []
            while held := claim(api, worker):
                assert tell(api, held, "complete", result={"by": worker}) == 200
                done.append(held["id"])
            return done

        times = Counter(key for done in pool.map(work, workers) for key in done)
        # A claim passes over what another claim is about to take, so a few may be left.
        left = work("w0")
        assert times + Counter(left) == Counter({f"op{n}": 1 for n in range(count)})


def test_two_backends_start_on_one_empty_database_at_once(database: dict[str, str]) -> None:
    with backend(**database) as one, backend(**database) as two, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: submit((one, two)[n % 2], f"op{n // 2}"), range(8))
        assert {a["id"] for a in answers} == {"op0", "op1", "op2", "op3"}
        assert len(two.get("operations").json()) == 4


def test_it_starts_without_its_database_says_so_and_recovers(pg: dict[str, str], postgres: Any, until: Any) -> None:
    postgres.stop()
    try:
        with backend(**pg) as api:
            for _ in range(2):
                answer = api.get("health")
                assert (answer.status_code, answer.json()["release"]) == (503, "sha-abc1234")
                assert answer.json()["reason"].startswith("database unavailable: connection failed")
                assert api.get("operations").json()["reason"] == answer.json()["reason"]
                postgres.start()
                until(lambda: api.get("health").status_code == 200, 60)
                register(api, "w1")
                postgres.stop()
    finally:
        postgres.start()


def test_a_database_that_does_not_answer_is_503_in_time_and_keeps_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql+psycopg://ktrdr@127.0.0.1:{mute.getsockname()[1]}/ktrdr"
        with backend(database_url=url, database_password="hunter2") as api:
            answer = api.get("health")
    assert answer.status_code == 503
    # The limits of the connection and of the check are the same: either may come first, and says so.
    assert answer.json()["reason"] in (
        "database unavailable: no answer within 2 s",
        "database unavailable: connection timeout expired",
    )
    assert "hunter2" not in answer.text


def test_a_wrong_password_is_named_but_not_shown(pg: dict[str, str]) -> None:
    with backend(**pg | {"database_password": "ktrdr-wrong"}) as api:
        reason = api.get("health").json()["reason"]
    assert "password authentication failed" in reason
    assert "ktrdr-wrong" not in reason


def test_sqlite_that_is_locked_or_gone_is_503(tmp_path: Path) -> None:
    with backend(database_url=f"sqlite:///{tmp_path}/none/ktrdr.db") as api:
        assert api.get("health").json()["reason"] == "database unavailable: unable to open database file"
        assert api.get("operations").status_code == 503
    lock = sqlite3.connect(tmp_path / "ktrdr.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with backend(database_url=f"sqlite:///{tmp_path}/ktrdr.db") as api:
        assert api.get("health").json()["reason"] == "database unavailable: no answer within 2 s"
        lock.close()
        assert api.get("operations").json() == []
        assert api.get("health").status_code == 200


def test_a_database_replaced_by_an_empty_one_is_taken(tmp_path: Path) -> None:
    with backend(database_url=f"sqlite:///{tmp_path}/ktrdr.db") as api:
        submit(api, "op1")
        for table in ("operations", "workers", "alembic_version"):
            sqlite3.connect(tmp_path / "ktrdr.db", isolation_level=None).execute(f"DROP TABLE {table}")
        assert api.get("health").status_code == 503
        assert api.get("health").status_code == 200
        assert api.get("operations").json() == []


def test_the_backend_never_imports_torch() -> None:
    code = "import sys, ktrdr.api.main; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
