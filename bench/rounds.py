"""The rounds: each contestant in turn, from the same start; behind it what else it does from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Iterator

from bench import contestants, engine, stack
from bench.contestants import PLAIN, ROLLOUT, WAITING, Contestant
from bench.measure import measure, run

LOGS = stack.WORK / "logs"
Record = dict[str, Any]
# What is measured, under which name, and how.
Step = tuple[str, Callable[[Path], Record]]


def chosen(only: str) -> list[Contestant]:
    """The contestants named, or the usual ones.

    Raises:
        BenchError: one is not known.
    """
    known = {one.name: one for one in contestants.CONTESTANTS}
    names = only.split(",") if only else [one.name for one in contestants.CONTESTANTS]
    if unknown := [name for name in names if name not in known]:
        raise stack.BenchError(f"No contestant is called {', '.join(unknown)}. There are {', '.join(known)}.")
    return [known[name] for name in names]


def one_round(number: int, runs: list[Contestant], say: Callable[[str], None]) -> list[Record]:
    """Every contestant once. Each measurement is a record: round, what, and its figures, or error where it went wrong."""
    records: list[Record] = []
    for contestant in runs:
        for new, steps in ((stack.NEW, _steps(contestant)), (stack.COLD, _cold(contestant))):
            what = contestant.name
            try:
                for n, (what, act) in enumerate(steps):
                    if not n:
                        _start(contestant, new)
                    record = act(LOGS / f"{number}-{what}.log")
                    records.append({"round": number, "what": what, **record})
                    say(f"round {number}  {what:<20} {told(record)}")
            except (stack.BenchError, engine.EngineError) as error:
                # What would come behind it has nothing to start from.
                records.append({"round": number, "what": what, "error": str(error)})
                say(f"round {number}  {what:<20} FAILED: {error}")
            finally:
                contestants.clear()
    return records


def _start(contestant: Contestant, new: str) -> None:
    """All services on the old release, healthy, and nothing else of ours."""
    contestants.clear()
    contestant.prepare(stack.OLD, new)
    stack.await_answers(stack.OLD)
    stack.await_healthy(contestant.projects)


def _steps(contestant: Contestant) -> Iterator[Step]:
    """Each goes on where the one before it ended."""
    mine = contestant.projects
    yield contestant.name, lambda log: measure(contestant.roll(stack.NEW), stack.NEW, mine, log)
    if contestant in (ROLLOUT, PLAIN):
        yield f"{contestant.name}-again", lambda log: _again(contestant, log)
    if contestant is ROLLOUT:
        back = ROLLOUT.play("rollback.yml", stack.OLD)
        yield "rollback", lambda log: measure(back, stack.OLD, mine, log)
        yield "revert", _revert
        yield "rehearsal", _rehearsal


def _again(contestant: Contestant, log: Path) -> Record:
    """The same release once more: it must leave every container as it is."""
    before = {one["Id"] for one in engine.containers(contestant.projects)}
    record = measure(contestant.roll(stack.NEW), stack.NEW, contestant.projects, log, changes=False)
    if before != {one["Id"] for one in engine.containers(contestant.projects)}:
        raise stack.BenchError(f"There was nothing to do, and containers were made anew: see {log}")
    return record


def _revert(log: Path) -> Record:
    """A release that does not hold: until the old one is whole again, and how much of that after the fault was seen."""
    record = measure(ROLLOUT.play("rollout.yml", stack.BROKEN), stack.OLD, ROLLOUT.projects, log, changes=False, rc=2)
    document = ROLLOUT.document()
    if document["verdict"] != "reverted":
        raise stack.BenchError(f"The broken release was not reverted: {document['verdict']}, see {log}")
    seen = next(event["to"] for event in document["events"] if not event["good"])
    # The document's clock begins a moment after the command's: this is rather too much than too little.
    return {**record, "after_fault": round(record["tool"] - seen, 3)}


def _rehearsal(log: Path) -> Record:
    """The same broken release, tried beside the old one, which goes on."""
    before = {one["Id"] for one in engine.containers(ROLLOUT.projects)}
    tool = ROLLOUT.play("rollout.yml", stack.BROKEN, "-e", json.dumps({"bench_rehearse": True}))
    record = measure(tool, stack.OLD, ROLLOUT.projects, log, changes=False, rc=2)
    found = ROLLOUT.document()["verdict"]
    if found != "refused" or before != {one["Id"] for one in engine.containers(ROLLOUT.projects)}:
        raise stack.BenchError(f"The broken release was not refused with nothing touched: {found}, see {log}")
    return record


def _cold(contestant: Contestant) -> Iterator[Step]:
    """Getting an image of which the engine has nothing."""
    if contestant is WAITING:
        yield "cold-pull", _cold_pull
    if contestant is ROLLOUT:
        yield "cold-rollout", _cold_rollout


def _cold_pull(log: Path) -> Record:
    _forget()
    ended = run(WAITING.pull(), log)
    if ended.rc:
        raise stack.BenchError(f"docker compose pull failed: see {log}")
    return {"wall": round(ended.seconds, 3), "cpu": round(ended.cpu, 2)}


def _cold_rollout(log: Path) -> Record:
    _forget()
    record = measure(ROLLOUT.roll(stack.COLD), stack.COLD, ROLLOUT.projects, log)
    return {**record, "stage": ROLLOUT.seconds("stage")}


def _forget() -> None:
    """Remove the cold image; its one layer belongs to nothing else."""
    try:
        engine.call("DELETE", f"/images/{stack.IMAGE}:{stack.COLD}")
    except engine.EngineError as error:
        if "No such image" not in str(error):
            raise


def told(record: Record) -> str:
    """A record as a line for whoever watches."""
    units = {"wall": " s", "healthy": " s healthy", "stage": " s stage", "after_fault": " s after the fault", "failed": " failed"}
    units.update({"outage": " s away", "cpu": " s CPU"})
    return ", ".join(f"{record[key]:g}{unit}" for key, unit in units.items() if record.get(key) is not None)
