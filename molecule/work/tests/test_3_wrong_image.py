"""Workers from the backend's image, without a torch contract that would refuse it before anything is touched."""

from __future__ import annotations

import calendar
import re
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.nightly
SENTENCE = (
    "Worker requires ML dependencies but torch is not installed. This usually means the wrong Docker image was deployed. "
    "Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', not 'ktrdr-backend'. Original error: No module named 'torch'"
)
DEADLINE = 60
TEMPLATES = Path(__file__).parents[1] / "templates"


def test_the_gate_meets_it_at_once_and_it_never_registers(machine, watch, operator):
    result = operator.run("rollout.yml", "-e", "sha=fa1aff4", "-e", f"ktrdr_templates={TEMPLATES}", rc=2)
    assert "ROLLOUT REVERTED: sha-fa1aff4 did not pass. sha-aaaaaa1 runs again, and its gates hold." in result.said
    # All four start together; which one is seen first, and before or after Docker's first restart of it, is chance.
    seen = (
        r"gate container: Service \w+-worker-\d \(stack workers\) does not pass on sha-fa1aff4: it (ended with|crashed and was)"
    )
    assert re.search(seen, result.said)
    assert SENTENCE in result.said
    assert machine.releases() == {"sha-aaaaaa1"}
    assert len(machine.running()) == 5
    assert {release for _worker, release in watch.releases} == {"sha-aaaaaa1"}, "it never registers"
    # From the start of the wrong image until the way back began.
    begun = [e for e in machine.ledger() if e["event"] == "switching"]
    last = max(n for n, e in enumerate(begun) if e["release"] == "sha-fa1aff4")
    assert {e["service"] for e in begun[last - 3 : last + 1]} == {
        f"{k}-worker-{n}" for k in ("backtest", "training") for n in (1, 2)
    }
    first, then = (calendar.timegm(time.strptime(e["at"], "%Y-%m-%dT%H:%M:%SZ")) for e in begun[last : last + 2])
    print(f"measured: {then - first} s until the way back began (the deadline: {DEADLINE} s)")
    assert then - first < DEADLINE / 2


def test_started_by_hand_it_ends_with_that_message(machine):
    image = machine.image("sha-aaaaaa1", "ktrdr-backend")
    for app in ("backtesting.backtest_worker", "training.training_worker"):
        began = time.monotonic()
        command = f"timeout 20 docker run --rm {image} uvicorn ktrdr.{app}:app --port 5003 2>&1; echo $?"
        *_rest, last, code = machine.exec("sh", "-c", command).splitlines()
        seconds = time.monotonic() - began
        print(f"measured: {app} of the backend's image ended after {seconds:.1f} s with exit status {code}")
        assert (last, int(code) not in (0, 124)) == (SENTENCE, True)
        assert seconds < 10
