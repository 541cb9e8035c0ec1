"""`make bench`, or `python -m bench`."""

from __future__ import annotations

import datetime
import json
import os
import platform
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import contestants, engine, picture, report, rounds, stack
from bench import hosts as fleets
from bench.measure import adopt_orphans

RESULTS = stack.ROOT / "bench/results"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "engine": engine.call("GET", "/version")["Version"],
        "compose": _said("docker", "compose", "version", "--short"),
        "ansible-core": version("ansible-core"),
        "python": platform.python_version(),
        "load at the start": round(os.getloadavg()[0], 2),
    }


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=stack.ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def main(
    runs: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    only: Annotated[str, typer.Option(help="Contestants, separated by commas; all of them unless given.")] = "",
    hosts: Annotated[int, typer.Option(min=1, help="Over SSH to so many hosts, and to one beside them.")] = 1,
    ssh: Annotated[bool, typer.Option("--ssh", help="Over SSH also where it is one host.")] = False,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Measure rollouts of one small application: each contestant once a round, in turn."""
    began = datetime.datetime.now(datetime.UTC)
    adopt_orphans()
    # Ended from outside, it still takes its containers away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    over_ssh = ssh or hosts > 1
    try:
        chosen = rounds.chosen(only)
        images = stack.images()
        document: dict[str, Any] = {
            "began": began.strftime("%Y-%m-%d %H:%M UTC"),
            "commit": _said("git", "describe", "--always", "--dirty"),
            "runs": runs,
            "machine": machine(),
            "records": [],
        }
        results.mkdir(parents=True, exist_ok=True)
        file = results / f"{began:%Y%m%dT%H%M%SZ}.json"
        if over_ssh:
            document["records"] = fleets.measure_fleets(sorted({1, hosts}), runs, typer.echo)
            file.write_text(json.dumps(document, indent=1) + "\n")
            (results / "latest-hosts.md").write_text(report.fleets_page(document))
            typer.echo("\n" + report.fleets(document["records"]))
            return
        for number in range(1, runs + 1):
            document["records"] += rounds.one_round(number, chosen, typer.echo)
            # After every round: what was measured is not lost.
            file.write_text(json.dumps(document, indent=1) + "\n")
            if stack.images() != images:
                raise stack.BenchError("Somebody built the images again meanwhile: these figures are of no use. Measure again.")
    except (stack.BenchError, engine.EngineError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    finally:
        try:
            contestants.clear()
        except engine.EngineError as error:
            typer.echo(f"What was measured may be left behind: {error}", err=True)
    found = document["records"]
    typer.echo("\n\n".join(["", report.contestants(found), report.also(found), report.targets(found)]))
    # A part of the contestants takes no whole result's place.
    if not only:
        (results / "latest.md").write_text(report.page({**document, "picture": "latest.svg"}))
        (results / "latest.svg").write_text(picture.svg(found))
        typer.echo(f"\n{results / 'latest.md'}")
    if any("error" in record for record in document["records"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
