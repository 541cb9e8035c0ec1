"""Measure rollouts of 1 to 64 simulated hosts: python -m bench.growth --hosts 1,4,16,64."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from bench.growth import chart, figures, fleet, measure

ROOT = Path(__file__).resolve().parents[2]
Runs = list[dict[str, Any]]
HERE = Path(__file__).resolve().parent
RELEASES = ("aaaaaa1", "bbbbbb2")
# Runs are put beside earlier ones only where these are the same.
SAME = ("cores", "memory", "system", "engine", "python", "ansible")
# Soon there, without starting 64 services at once on a few cores.
FIRST_SERIAL = 4
TRIES = 3


class Bench:
    """One fleet after another, and what was measured."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work = options, work
        self.registry = os.environ.get("REGISTRY", "localhost:5000")
        self.settings = {key: getattr(options, key) for key in ("forks", "serial")}
        self.machine = machine()
        self.runs, self.failed = self.kept()
        self.key, self.public = fleet.key_pair(work)

    def kept(self) -> tuple[Runs, Runs]:
        """Earlier runs of other sizes, good and failed ones, where machine and settings are the same."""
        try:
            old = json.loads((self.options.results / "growth.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return [], []
        if old["settings"] != self.settings or any(old["machine"][key] != self.machine[key] for key in SAME):
            return [], []
        runs, failed = ([run for run in old[key] if run["hosts"] not in self.options.hosts] for key in ("runs", "failed"))
        return runs, failed

    def write(self) -> None:
        """The three files, after each run: a benchmark that ends early keeps what it has."""
        runs = sorted(self.runs, key=lambda run: run["hosts"])
        result = {"simulated": True, "machine": self.machine, "settings": self.settings, "runs": runs, "failed": self.failed}
        self.options.results.mkdir(parents=True, exist_ok=True)
        (self.options.results / "growth.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (self.options.results / "growth.md").write_text(figures.page(result), encoding="utf-8")
        (self.options.results / "growth.svg").write_text(chart.svg(runs), encoding="utf-8")

    def fleet(self, hosts: int) -> None:
        """Measure a fleet of one size, and remove it."""
        say(f"{hosts} simulated hosts: starting")
        try:
            fleet.start(hosts, self.public)
            # The first rollout is not measured: nothing runs yet. What an overloaded machine reverted is asked for again.
            if not any(self.rollout(hosts, RELEASES[0], "first", FIRST_SERIAL) for _ in range(TRIES)):
                refuse(f"The first rollout of {hosts} simulated hosts failed {TRIES} times.")
            now, then = RELEASES
            for _ in range(self.options.runs):
                for serial in self.options.serial:
                    if self.rollout(hosts, then, "rollout", serial):
                        now, then = then, now
                self.rollout(hosts, now, "no-op", self.options.serial[0])
        finally:
            fleet.remove()

    def rollout(self, hosts: int, sha: str, kind: str, serial: int) -> bool:
        """One run of the playbook, kept unless it is the first one; whether it ended as it should."""
        turn = self.work / f"{hosts}-{len(os.listdir(self.work))}"
        inventory = turn / "inventory"
        inventory.mkdir(parents=True)
        (inventory / "hosts.yml").write_text(fleet.inventory(hosts, str(self.key), self.registry, serial), encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORKS": str(self.options.forks),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": f"{ROOT / 'playbooks/callback_plugins'}:{HERE / 'callback'}",
            "ANSIBLE_CALLBACKS_ENABLED": "rollout,growth_tasks",
            # Every run opens its connections anew.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(turn / "cp"),
            "ROLLOUT_REPORTS": str(turn / "reports"),
            "GROWTH_TASKS": str(turn / "tasks.jsonl"),
        }
        arguments = ["ansible-playbook", "--inventory", str(inventory), "rollout.yml", "-e", f"sha={sha}"]
        measured = measure.command(arguments, environment, ROOT, turn / "log")
        text = (turn / "log").read_text(encoding="utf-8", errors="replace")
        code = measured.pop("rc")
        documents = [json.loads(file.read_text(encoding="utf-8")) for file in (turn / "reports").glob("*/report.json")]
        verdict = documents[0]["verdict"] if documents else "none"
        running = fleet.releases()
        facts = {"hosts": hosts, "kind": kind, "serial": serial, "release": f"sha-{sha}", "verdict": verdict}
        wanted = "unchanged" if kind == "no-op" else "succeeded"
        if code or verdict != wanted or running != [f"sha-{sha}"] * (hosts + 1):
            say(f"{kind} of {hosts} simulated hosts, serial {serial}: {verdict}; {len(running)} services run.\n{text[-3000:]}")
            faults = documents[0]["faults"] if documents else []
            self.failed.append({**facts, "wall": measured["wall"], "said": faults[0]["msg"] if faults else text[-500:]})
            self.write()
            return False
        say(f"{hosts} simulated hosts: {kind}, serial {serial}: {measured['wall']:.1f} s, CPU {measured['cpu']:.1f} s")
        if kind == "first":
            return True
        tasks = [json.loads(line) for line in (turn / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
        phases = figures.phases(tasks, measured["wall"])
        self.runs.append({**facts, **measured, **phases, "tasks": figures.by_task(tasks)})
        self.write()
        return True


def machine() -> dict[str, Any]:
    """What was measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return {
        "cores": os.cpu_count(),
        "memory": pages,
        "system": f"{release}, kernel {platform.release()}",
        "engine": fleet.docker("version", "--format", "{{.Server.Version}}").strip(),
        "python": platform.python_version(),
        "ansible": version("ansible-core"),
        "load": [round(load, 2) for load in os.getloadavg()],
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


def refuse(text: str) -> NoReturn:
    """End with a sentence."""
    raise SystemExit(text)


def numbers(text: str) -> list[int]:
    """Numbers between commas."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Measure, and write growth.json, growth.md and growth.svg."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--hosts", type=numbers, default=[1, 4, 16, 64], help="sizes of the fleet")
    parser.add_argument("--runs", type=int, default=1, help="runs of each kind and size")
    parser.add_argument("--forks", type=int, default=16, help="Ansible's forks")
    parser.add_argument("--serial", type=numbers, default=[1, 16], help="values of rollout_serial to measure")
    parser.add_argument("--results", type=Path, default=ROOT / "bench/results", help="where the results go")
    options = parser.parse_args()
    # As Ctrl-C: what was started is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    measure.adopt()
    # Left by a run that was killed.
    fleet.remove()
    subprocess.run([HERE / "images.sh"], check=True, cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="growth-") as work:
        bench = Bench(options, Path(work))
        for hosts in options.hosts:
            bench.fleet(hosts)
        say(f"Results: {options.results}/growth.md, growth.json, growth.svg")
        if bench.failed:
            refuse(f"{len(bench.failed)} runs did not end as they should: see growth.md")


if __name__ == "__main__":
    main()
