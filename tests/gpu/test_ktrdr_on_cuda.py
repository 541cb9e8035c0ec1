"""The application's two computations on a real CUDA device: the same results as on the CPU, also where they go from one to the other."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from card import PYTHON, WHY

pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

COMPUTE = """
import importlib, json, sys
from ktrdr.ml import pick_device
from ktrdr.operations import Params

module, name = sys.argv[1:]
work = getattr(importlib.import_module(module), name)
params = Params(seed=7, steps=200)


def run(first, second):
    one = work(params, pick_device(first))
    for _ in range(params.steps // 2):
        one.step()
    # As it travels between workers.
    two = work(params, pick_device(second), json.loads(json.dumps(one.checkpoint())))
    for _ in range(params.steps // 2):
        two.step()
    return two.result()


found = {"chosen": pick_device("auto").type}
for way in ("cpu cpu", "cuda cuda", "cuda cpu", "cpu cuda"):
    found[way] = run(*way.split())
print(json.dumps(found))
"""


@pytest.mark.parametrize(("module", "name"), [("ktrdr.training.mlp", "Mlp"), ("ktrdr.backtesting.crossover", "Crossover")])
def test_the_same_result_on_every_device(module, name):
    done = subprocess.run(
        [PYTHON, "-c", COMPUTE, module, name],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ},
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("chosen") == "cuda"
    results = list(found.values())
    assert results.count(results[0]) == len(results), found
