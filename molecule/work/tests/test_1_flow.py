"""Operations flow through a rollout, a worker that is killed, and a rollback: each is done once, and right."""

from __future__ import annotations

import json
import threading

import pytest
from operators import wait

AT_ONCE = 8
STEP_SECONDS = 0.1
# 2 to 20 s each, of both kinds, long and short ones mixed.
OPERATIONS = [
    {
        "id": f"op-{n:02}",
        "kind": ("backtest", "training")[n % 2],
        "params": {"seed": n, "steps": 20 + (n * 67) % 181, "step_seconds": STEP_SECONDS},
    }
    for n in range(40)
]
# What an undisturbed run gives, from the code in the worker's image; without the pauses between the steps.
UNDISTURBED = """
import json, sys, torch
from ktrdr.backtesting.crossover import Crossover
from ktrdr.operations import Params
from ktrdr.training.mlp import Mlp
torch.set_num_threads(1)
results = {}
for operation in json.loads(%r):
    make = {"backtest": Crossover, "training": Mlp}[operation["kind"]]
    task = make(Params(**operation["params"]), torch.device("cpu"))
    for _ in range(operation["params"]["steps"]):
        task.step()
    results[operation["id"]] = task.result()
print(json.dumps(results))
"""


class Submitter(threading.Thread):
    """Submits ``count`` operations, up to number ``upto`` for now, AT_ONCE unfinished ones at most."""

    def __init__(self, backend, watch, count) -> None:
        super().__init__(daemon=True)
        self.backend, self.watch, self.count = backend, watch, count
        self.submitted, self.upto, self.ended = 0, 0, False
        self.start()

    def run(self) -> None:
        while self.submitted < self.count and not self.ended:
            wait(lambda: self.ended or (self.submitted < self.upto and self._unfinished() < AT_ONCE), 300, "room for one more")
            if not self.ended:
                self.backend.submit(OPERATIONS[self.submitted])
                self.submitted += 1

    def _unfinished(self) -> int:
        return self.submitted - self.watch.count("completed", "failed")


@pytest.fixture(params=[24, pytest.param(40, marks=pytest.mark.nightly)])
def submitter(backend, watch, request):
    one = Submitter(backend, watch, request.param)
    yield one
    one.ended = True
    one.join(10)


def victim(backend):
    """An operation that is well under way and far from its end."""
    for one in backend.ask("operations?state=running"):
        step = (backend.ask(f"operations/{one['id']}")["checkpoint"] or {}).get("step", 0)
        if one["worker"] and 20 <= step <= one["params"]["steps"] - 80:
            return one["id"], one["worker"].partition("work-")[2], one["attempt"], step
    return None


def test_operations_are_each_done_once(machine, backend, watch, submitter, operator):
    count = submitter.count
    submitter.upto = count * 6 // 10
    wait(lambda: watch.count("running") == 4, 60, "every worker is at work")

    rollout = operator.run("rollout.yml", "-e", "sha=bbbbbb2")
    assert machine.releases() == {"sha-bbbbbb2"}
    assert "to end or be checkpointed." in rollout.said, "the rollout says what it waited for"

    submitter.upto = count - 8
    killed, worker, attempt, step = wait(lambda: victim(backend), 60, "an operation is well under way")
    machine.exec("docker", "kill", "--signal", "KILL", f"ktrdr-workers-{worker}-1")
    wait(lambda: watch.operations[killed][-1]["attempt"] > attempt, 60, "another worker took it over")
    resumed = wait(lambda: (backend.ask(f"operations/{killed}")["checkpoint"] or {}).get("step"), 20, "its checkpoint is there")
    assert resumed >= step, "it began anew"
    assert not watch.operations[killed][-1]["worker"].endswith(worker)

    # The last eight are for the rollback, so that its workers are at work: four before it, four behind the new backend.
    submitter.upto = count - 4
    typed = operator.start("rollback.yml")
    wait(lambda: machine.running().get("backend", ("", ""))[0] == "sha-aaaaaa1", 120, "the backend is switched")
    submitter.upto = count
    rollback = typed.finish()
    assert machine.releases() == {"sha-aaaaaa1"}
    assert len(machine.running()) == 5
    assert "to end or be checkpointed." in rollback.said

    wait(lambda: watch.count("completed", "failed") == count, 120, "all are finished")
    found = {one["id"]: one for one in backend.ask("operations")}
    assert submitter.submitted == len(found) == count
    assert {one["state"] for one in found.values()} == {"completed"}
    for key, seen in watch.operations.items():
        assert [one["state"] for one in seen].count("completed") == 1, f"{key} was finished more than once"
        assert [one["attempt"] for one in seen] == sorted(one["attempt"] for one in seen), key
    script = UNDISTURBED % json.dumps(OPERATIONS[:count])
    image = machine.image("sha-aaaaaa1", "ktrdr-worker-cpu")
    said = machine.exec("docker", "run", "--rm", "--interactive", "--entrypoint", "python3", image, "-", stdin=script)
    assert {key: one["result"] for key, one in found.items()} == json.loads(said)

    # Only the kill counts as a lost worker; whoever was stopped gave back what it had.
    assert {key: one["losses"] for key, one in found.items() if one["losses"]} == {killed: 1}
    given_back = sum(one["attempt"] - 1 for one in found.values())
    assert given_back > 1
    print(f"measured: {count} submitted, {len(found)} finished, {given_back} times taken over; rollout {rollout.seconds:.0f} s, "
          f"rollback {rollback.seconds:.0f} s")  # fmt: skip
