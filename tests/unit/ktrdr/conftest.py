"""A private PostgreSQL, backends on it, and servers as real processes."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "p@ss:w/rd '\"\\%41 $x?#ü"


def until(condition: Callable[[], Any], seconds: float = 60, what: str = "the condition") -> Any:
    """The first true value of the condition; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.03)


def free_port() -> int:
    """A port that nothing listens on, below those that the kernel hands to outgoing connections: none can take it."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


class Postgres:
    """A cluster of its own, that can be stopped and started."""

    def __init__(self, bindir: Path, base: Path) -> None:
        self.data, self.port, self._bin = base / "data", free_port(), bindir
        self.url = URL.create("postgresql+psycopg", "ktrdr", None, "127.0.0.1", self.port, "postgres")
        secret = base / "secret"
        secret.write_text(PASSWORD + "\n", encoding="utf-8")
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres", str(base)], check=True)
        self._run(
            "initdb", "-D", str(self.data), "-U", "ktrdr", f"--pwfile={secret}",
            "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:  # initdb and postgres refuse to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        # Output to a file: the server would hold a pipe open.
        with (self.data.parent / "log").open("a") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd="/", check=False)
        assert done.returncode == 0, (self.data.parent / "log").read_text()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's binaries are absent (Debian: apt-get install postgresql)")
    # Below /tmp, not pytest's own folder, which the user postgres may not enter.
    base = Path(subprocess.check_output(["mktemp", "-d", "/tmp/ktrdr-pg-XXXXXX"], text=True).strip())
    cluster = Postgres(found[-1].parent, base)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        subprocess.run(["rm", "-rf", str(base)], check=True)


@pytest.fixture
def pg(postgres: Postgres) -> dict[str, str]:
    """The settings that name an empty PostgreSQL database, which the first backend on it fills."""
    name = f"t{time.monotonic_ns()}"
    engine = create_engine(postgres.url.set(password=PASSWORD), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} STRATEGY file_copy"))
    engine.dispose()
    url = postgres.url.set(database=name).render_as_string()
    return {"database_url": url, "database_password": PASSWORD, "migrate": "true"}


@pytest.fixture(params=["sqlite", "pg"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that name an empty database, of each sort."""
    settings: dict[str, str] = request.getfixturevalue(request.param)
    return settings


@pytest.fixture
def sqlite(tmp_path: Path) -> dict[str, str]:
    return {"database_url": f"sqlite:///{tmp_path}/ktrdr.db"}


class Server:
    """A uvicorn process."""

    def __init__(self, app: str, log: Path, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.log = log
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KTRDR_")}
        clean |= {"PYTHONPATH": environment.pop("PYTHONPATH", str(ROOT)), "PYTHONUNBUFFERED": "1"}
        clean |= {f"KTRDR_{k.upper()}": v for k, v in environment.items()}
        with log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", app, "--port", str(self.port), "--no-access-log"],
                env=clean, stdout=out, stderr=out, cwd=log.parent,
            )  # fmt: skip

    def get(self, path: str) -> httpx.Response | None:
        """What it answers, None while it does not."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get(path)
        except httpx.TransportError:
            return None

    def ready(self, path: str) -> Server:
        until(lambda: (answer := self.get(path)) and answer.status_code == 200, 30, f"{self.url}{path}")
        return self

    def end(self, kill: bool = False) -> int:
        """Stop it; returns the exit status."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        return self.process.wait(60)


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts uvicorn with an application, and settings as keywords; kills what is left at the end."""
    servers: list[Server] = []

    def start(app: str, port: int | None = None, **settings: str) -> Server:
        server = Server(app, tmp_path / f"server-{len(servers)}.log", port, **settings)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.client.close()
        if server.process.poll() is None:
            server.end(kill=True)


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until
