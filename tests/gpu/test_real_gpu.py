"""The probe and the verdict on a real CUDA device, and what they say of one that is hidden or asked too much of.

Nothing is simulated here: without a device every test is skipped, and says why. TORCH_PYTHON names an interpreter with a CUDA
build of torch (the tests' own otherwise). RECORD=NAME keeps the probe's document as a case of the verdict's unit tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import host
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import gpu, torch_check
from ansible.module_utils.rollout.io.engine import Engine
from card import PYTHON, WHY

RECORDED = Path(__file__).parents[1] / "unit" / "rollout" / "recorded"
IMAGE = os.environ.get("GPU_IMAGE", "")


# Takes a card's memory until its standard input ends.
HOLDER = """
import sys, torch
mib = int(sys.argv[1])
free = torch.cuda.mem_get_info()[0]
held = torch.empty(mib * 2**20 if mib > 0 else free + mib * 2**20, dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)


def probe(**environment: str) -> dict:
    done = subprocess.run(
        [PYTHON, "-"],
        input=torch_check.probe_source(120.0),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=150,
        check=False,
    )
    document = torch_verdict.read_probe(done.stdout)
    assert document is not None, done.stderr
    return document


def judge(document: dict, **keys) -> dict:
    return torch_verdict.judge(document, Expectation("cuda", **keys), host=gpu.facts(Engine()))


@pytest.fixture
def hold():
    """Have another process hold so many MiB of the first card, or with a negative number all but so many."""
    started = []

    def start(mib: int) -> subprocess.Popen:
        holder = subprocess.Popen([PYTHON, "-c", HOLDER, str(mib)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(holder)
        assert holder.stdout.readline().strip() == "held"
        return holder

    yield start
    for holder in started:
        holder.stdin.close()
        holder.wait(60)


def test_a_kernel_really_runs():
    document = probe()
    verdict = judge(document)
    print(json.dumps(verdict, indent=2))
    assert (verdict["verdict"], verdict["reason"]) == ("pass", "ok"), verdict["observed"]
    assert verdict["devices"]
    for device in verdict["devices"]:
        assert device["kernel_ok"] is True
        assert 0 <= device["max_abs_err"] <= torch_verdict.TOLERANCE
        assert 0 < device["memory_free_mib"] <= device["memory_total_mib"]
    assert verdict["driver"]["cuinit"] == 0
    assert verdict["driver"]["version"]
    if os.environ.get("RECORD"):
        RECORDED.mkdir(exist_ok=True)
        case = {"expect": "cuda", "reason": "ok", "probe": document, "host": gpu.facts(Engine())}
        (RECORDED / f"{os.environ['RECORD']}.json").write_text(
            json.dumps(case, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )


def test_a_hidden_card_is_no_pass():
    verdict = judge(probe(CUDA_VISIBLE_DEVICES="-1"))
    assert (verdict["verdict"], verdict["reason"], verdict["fault"]) == ("fail", "no_device", "stack")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"devices": 99}, "devices_missing"),
        ({"uuids": ("GPU-00000000-0000-0000-0000-000000000000",)}, "devices_missing"),
        ({"min_memory_mib": 10**7}, "memory_too_small"),
        ({"min_cuda": "99"}, "cuda_too_old"),
        ({"min_torch": "99"}, "torch_too_old"),
    ],
)
def test_what_is_asked_too_much(keys, reason):
    assert judge(probe(), **keys)["reason"] == reason


def test_a_cuda_build_is_refused_where_the_cpu_is_expected():
    assert torch_verdict.judge(probe(), Expectation("cpu"))["reason"] == "torch_is_cuda"


def test_the_host_is_described():
    facts = gpu.facts(Engine())
    assert facts["driver"]["loaded"]
    assert facts["cards"]
    assert host.host_fault({**facts, "runtimes": None}) is None


def test_a_full_card_is_busy_and_not_broken(hold):
    hold(-64)
    assert gpu.too_full(1024)
    verdict = judge(probe())
    assert (verdict["verdict"], verdict["reason"]) == ("unknown", "out_of_memory"), verdict["observed"]
    assert torch_verdict.passed_or_busy(verdict)


def test_who_holds_the_card_is_named(hold):
    holder = hold(4096)
    (process,) = [found for found in gpu.processes() if found["pid"] == holder.pid]
    assert process["memory_mib"] is None or process["memory_mib"] >= 4096
    with pytest.raises(RolloutError) as raised:
        gpu.await_release([holder.pid], 1024, 0.5, Engine())
    assert "the card was not free 0 s after" in str(raised.value)
    assert f"pid {holder.pid} ({process['name']}" in str(raised.value)


def test_the_card_is_awaited(hold):
    holder = hold(-2000)
    threading.Timer(1.0, holder.stdin.close).start()
    took = gpu.await_release([holder.pid], 8000, 60.0, Engine())
    assert took >= 0.9
    assert holder.pid not in {found["pid"] for found in gpu.processes()}
    assert not gpu.too_full(8000)


@pytest.mark.skipif(not IMAGE, reason="GPU_IMAGE names no image with a CUDA build of torch")
def test_an_image_in_a_throw_away_container():
    verdict = torch_check.check(Engine(), torch_check.Target(image=IMAGE, gpu=True), Expectation("cuda"), 120.0)
    assert verdict["reason"] == "ok", verdict["observed"]
