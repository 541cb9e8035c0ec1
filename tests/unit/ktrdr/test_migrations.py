"""The tables: made by `alembic upgrade head` as a job types it, taken over from releases that made them, and not by a backend."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient
from sqlalchemy import Engine, inspect, text

from ktrdr import migrations
from ktrdr.api.main import create_app
from ktrdr.api.store import Base, connect
from ktrdr.config import Settings

ROOT = Path(__file__).resolve().parents[3]
WORK = {"id": "op1", "kind": "backtest", "params": {"seed": 1, "steps": 3, "step_seconds": 0.0}}


@pytest.fixture
def settings(database: dict[str, str]) -> dict[str, str]:
    """As in a container behind whose release there was a job."""
    return {name: value for name, value in database.items() if name != "migrate"}


@pytest.fixture
def engine(settings: dict[str, str]):
    engine = connect(Settings(**settings).database())
    yield engine
    engine.dispose()


def alembic(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Type what the job is."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"ALEMBIC_CONFIG": str(migrations.CONFIGURATION)}
    environment |= {f"KTRDR_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        ["alembic", "upgrade", "head"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def version(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def test_the_job_makes_the_tables_that_the_code_reads_and_says_so(settings: dict[str, str], engine: Engine) -> None:
    done = alembic(settings)
    assert done.returncode == 0, done.stderr
    assert "Running upgrade  -> 0001" in done.stderr
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    again = alembic(settings)
    assert (again.returncode, "Running upgrade" in again.stderr) == (0, False)


def test_a_job_that_cannot_reach_the_database_fails_without_the_password() -> None:
    done = alembic({"database_url": "postgresql+psycopg://ktrdr@127.0.0.1:1/ktrdr", "database_password": "hunter2"})
    assert done.returncode == 1
    assert "connection failed" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("lacking", ["", "losses"])
def test_tables_that_a_backend_made_are_taken_over_with_their_rows(
    settings: dict[str, str], engine: Engine, lacking: str
) -> None:
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        if lacking:
            connection.execute(text(f"ALTER TABLE operations DROP COLUMN {lacking}"))
        values = "'old', 'backtest', '{}', 'queued', 0"
        connection.execute(text(f"INSERT INTO operations (id, kind, params, state, attempt) VALUES ({values})"))
    for _ in range(2):
        with engine.begin() as connection:
            migrations.upgrade(connection)
    assert version(engine) == "0001"
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with TestClient(create_app(Settings(**settings))) as api:
        assert [(one["id"], one["losses"]) for one in api.get("/api/v1/operations").json()] == [("old", 0)]


def test_two_jobs_at_once_make_the_tables_once(pg: dict[str, str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert [done.returncode for done in pool.map(alembic, [pg, pg])] == [0, 0]


def test_a_backend_makes_no_tables_where_a_job_does_and_says_what_is_missing(pg: dict[str, str]) -> None:
    pg.pop("migrate")
    engine = connect(Settings(**pg).database())
    with TestClient(create_app(Settings(**pg))) as api:
        answer = api.get("/api/v1/health")
        assert answer.status_code == 503
        assert 'relation "operations" does not exist' in answer.json()["reason"]
        assert inspect(engine).get_table_names() == []
        assert alembic(pg).returncode == 0
        assert api.get("/api/v1/health").status_code == 200
        # The schema of another release: what is missing is found by health, not by the first person who asks.
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE operations RENAME COLUMN error TO reason"))
        assert "operations.error does not exist" in api.get("/api/v1/health").json()["reason"]
    engine.dispose()


def test_a_rehearsal_writes_nothing(settings: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHEARSAL", "1")
    with TestClient(create_app(Settings(**settings))) as api:
        # Before the job of its release: there are not even tables.
        assert api.get("/api/v1/health").status_code == 200
        assert inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            migrations.upgrade(connection)
        refused = api.post("/api/v1/operations", json=WORK)
        assert refused.status_code == 503
        assert "read-only" in refused.json()["reason"] or "readonly" in refused.json()["reason"]
        assert api.get("/api/v1/operations").json() == []
    monkeypatch.delenv("REHEARSAL")
    with TestClient(create_app(Settings(**settings))) as api:
        assert api.post("/api/v1/operations", json=WORK).status_code == 200
