"""A shop that a person started by hand, somebody who orders all the time, an operator who types. The tests are one story."""

from __future__ import annotations

import calendar
import json
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from operators import Machine, Operator, Result, Running, docker, wait

HERE = Path(__file__).parent
HOST = Machine("ktrdr-molecule-data", "shop")
# The releases: the one that runs, one with a column more, one with a renamed column; steps that fail; one that is never healthy.
FIRST, EXPANDED, RENAMED = "aaaaaa1", "adda002", "c0ffee3"
FAILS, FAILS_HALF_WAY, SICK = "badadd3", "badc0de", "badbad3"
COMPATIBLE = "shop_compatible=true"
PRESET = {"preset": "postgres"}
# The same as commands, so that a test can make one of them slow, or fail.
COMMANDS = {
    "dump": ["pg_dump", "--username=shop", "--format=custom", "shop"],
    "restore": ["pg_restore", "--username=shop", "--clean", "--if-exists", "--single-transaction", "--dbname=shop"],
    "verify": ["pg_restore", "--list"],
}
ARCHIVED = 1000


class Writer(threading.Thread):
    """Submits numbered operations one after the other, and notes when each was acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = f"{url}/api/v1/operations"
        self.acknowledged: dict[str, float] = {}
        self.failed: list[float] = []
        # What went with a restore that was asked for.
        self.given_up: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            params = {"seed": number, "steps": 1, "step_seconds": 0.0}
            body = json.dumps({"id": f"order-{number}", "kind": "backtest", "params": params}).encode()
            asked = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(asked, timeout=5) as answer:
                    answer.read()
                self.acknowledged[f"order-{number}"] = time.time()
            except OSError:
                self.failed.append(time.time())
            self.ended.wait(0.1)

    def rows(self) -> set[str]:
        """The operations that the application has."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return {one["id"] for one in json.load(answer)}

    def goes_on(self) -> None:
        """Wait until something more is acknowledged."""
        before = len(self.acknowledged)
        wait(lambda: len(self.acknowledged) > before, 15, "an order is taken")

    def before(self, entry: dict) -> set[str]:
        """What was acknowledged before that entry of the ledger was written."""
        moment = calendar.timegm(time.strptime(entry["at"], "%Y-%m-%dT%H:%M:%SZ"))
        return {order for order, at in list(self.acknowledged.items()) if at < moment} - self.given_up

    def all(self) -> set[str]:
        """What was acknowledged until now, and that nobody chose to lose."""
        return set(self.acknowledged) - self.given_up


class Shop(Operator):
    """The operator of the shop, from the inventory that was written for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__("data", "-e", "rollout_registry=172.17.0.1:5000", "-e", "rollout_registry_insecure=true")
        self.folder, self.inventory = folder, folder / "shop"

    def edit(self, **services: dict) -> None:
        """Say more of the services, in the inventory."""
        file = self.inventory / "group_vars/all/main.yml"
        said = yaml.safe_load(file.read_text())
        said.update(shop_compatible=False, shop_slow=0)
        said["rollout_stacks"]["shop"]["environment"] = {"MIGRATION_SECONDS": "{{ shop_slow }}"}
        for name, keys in services.items():
            said["rollout_stacks"]["shop"].setdefault("services", {}).setdefault(name, {}).update(keys)
        file.write_text(yaml.safe_dump(said, sort_keys=False))

    def rollout(self, sha: str, *typed: str, rc: int = 0) -> Result:
        """Type a rollout."""
        return self.run("rollout.yml", *variables(f"sha={sha}", *typed), rc=rc)

    def rollback(self, *typed: str, rc: int = 0) -> Result:
        """Type a rollback."""
        return self.run("rollback.yml", *variables(*typed), rc=rc)

    def killed(self, playbook: str, *typed: str, at: str, seconds: float = 60) -> None:
        """Type a command, and end it and its agent once a process of that name runs on the host."""
        run = self.start(playbook, *variables(*typed))
        wait(lambda: pids(at) or over(run), seconds, f"{at} runs")
        # The controller notices nothing of what becomes of the agent.
        run.stop()
        agents = pids(f"agent-{HOST.ledger()[-1]['run']}$")
        assert agents
        HOST.exec("kill", "-KILL", *agents)
        run.kill()


def over(run: Running) -> bool:
    """AssertionError where a command that should still go on has ended."""
    assert run.process.poll() is None, run.end().out[-3000:]
    return False


def variables(*typed: str) -> list[str]:
    """What is typed behind -e."""
    return [part for one in typed for part in ("-e", one)]


def pids(pattern: str) -> list[str]:
    """The processes of the host, those in its containers too, whose command line has that pattern."""
    # The brackets keep the command that looks from finding itself.
    return HOST.exec("sh", "-c", f"pgrep --full -- '[{pattern[0]}]{pattern[1:]}' || true").split()


def ids() -> dict[str, str]:
    """Running service -> its container's id."""
    form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    return dict(row.split() for row in HOST.exec("docker", "ps", "--no-trunc", "--format", form).splitlines())


def databases() -> dict[str, str]:
    """The containers of the databases, which no rollout restarts."""
    return {service: one for service, one in ids().items() if service in ("db", "archive")}


def release() -> str:
    """The release of the application that runs."""
    return HOST.running()["backend"][0]


def last() -> int:
    """The number of the ledger's last entry."""
    return int((HOST.ledger() or [{"seq": 0}])[-1]["seq"])


def since(seq: int, *events: str) -> list[dict]:
    """The entries of the ledger behind that one, of these events."""
    return [entry for entry in HOST.ledger() if entry["seq"] > seq and entry["event"] in events]


def sql(service: str, statement: str) -> str:
    """What a database answers."""
    return HOST.exec("docker", "exec", f"shop-{service}-1", "psql", "-U", "shop", "-d", "shop", "-Atc", statement)


def archived() -> int:
    """The rows of the second database."""
    return int(sql("archive", "SELECT count(*) FROM kept"))


def slow(*commands: str) -> dict:
    """The commands of a backup, some of which sleep first."""
    return {**COMMANDS, **{one: ["sh", "-c", f"sleep 3; exec {' '.join(COMMANDS[one])}"] for one in commands}}


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    operator = Shop(tmp_path_factory.mktemp("inventories"))
    yield operator
    operator.leave()


@pytest.fixture(scope="session")
def running():
    """The project as its owner started it: service -> its container's id."""
    HOST.exec("mkdir", "-p", "/srv/shop")
    docker("cp", f"{HERE}/project/.", f"{HOST.container}:/srv/shop/")
    HOST.exec("docker", "compose", "--project-directory", "/srv/shop", "up", "--detach", "--quiet-pull")
    sql("archive", f"CREATE TABLE kept AS SELECT generate_series(1, {ARCHIVED}) AS number")
    return ids()


@pytest.fixture(scope="session")
def writer(running):
    writer = Writer(f"http://{HOST.address()}:8000")
    writer.start()
    writer.goes_on()
    # Before the application had started.
    writer.failed.clear()
    yield writer
    writer.ended.set()
    writer.join(10)
