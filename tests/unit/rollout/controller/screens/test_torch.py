from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.screens import torch
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch.verdict import judge

CARD = {
    "name": "NVIDIA GeForce RTX 3090",
    "kernel_ok": True,
    "max_abs_err": 0.0,
    "memory_total_mib": 24576,
    "memory_free_mib": 20480,
}
HOST = {"driver": {"loaded": "560.35.03", "installed": "560.35.03"}, "runtimes": ["nvidia"]}
CPU = judge({"torch": {"version": "2.13.0+cpu"}, "cpu": CARD, "child": {"answered": True}}, Expectation("cpu"))
NONE = judge({"child": {"answered": True}}, Expectation("absent"))
STOPPED = judge(None, Expectation("cuda"), "its container does not run")


def cuda(*cards, host=HOST, **facts):
    torch = {"version": "2.13.0+cu126", "cuda": "12.6", "arch_list": ["sm_86"]}
    return judge({"torch": torch, "devices": cards, "child": {"answered": True}, **facts}, Expectation("cuda"), host=host)


def seen(**verdicts):
    return {
        "info": {"services": [{"service": name.replace("_", "-"), "verdict": v} for name, v in verdicts.items()]},
        "fault": "",
    }


def test_a_fleet_that_is_well():
    hosts = {"core": seen(backend=NONE, db=None), "gpu": seen(training_worker_gpu=cuda(CARD), worker=CPU)}
    found = torch.screen(hosts)
    assert (
        found["screen"]
        == """\
  SERVICE              TORCH   CUDA  DRIVER     DEVICE    FREE       VERDICT
core
  backend              -                                             pass
gpu
  training-worker-gpu  2.13.0  12.6  560.35.03  RTX 3090  20/24 GiB  pass
  worker               2.13.0                                        pass

3 checked, all have the torch that they should have."""
    )
    assert found["good"]
    assert max(len(line) for line in found["screen"].splitlines()) <= 80


def test_status_shows_those_on_a_gpu_alone():
    hosts = {"core": seen(backend=NONE), "gpu": seen(worker=cuda(CARD, CARD), other=CPU)}
    table = torch.table_of(hosts, gpus_only=True).splitlines()
    assert [line.split()[0] for line in table] == ["SERVICE", "gpu", "worker", "RTX"]
    assert torch.table_of({"core": seen(backend=NONE)}, gpus_only=True) == ""


def test_what_is_broken_is_said_with_its_remedy():
    found = torch.screen({"gpu": seen(worker=judge({"child": {"timed_out": True}}, Expectation("cuda"), host=HOST))})
    assert not found["good"]
    assert "FAIL" in found["screen"]
    assert found["screen"].endswith(
        "gpu, worker: expected torch for cuda, found no answer in time (None) (hang). The fault is the host's. "
        "Rolling back will not help: Look for Xid errors in the host's kernel log (dmesg), and reboot the host; if only its disk is slow, allow more time."
    )


@pytest.mark.parametrize(
    ("hosts", "part"),
    [
        ({"gpu": seen(worker=STOPPED)}, "its container does not run"),
        ({"gpu": {"info": None, "fault": "it could not be reached"}}, "gpu: it could not be reached"),
        ({"gpu": {"info": None, "fault": "it could not be reached"}, "core": seen(backend=NONE)}, "core\n  backend"),
        ({"core": seen(db=None)}, "No service has a torch contract"),
        ({}, "No service has a torch contract"),
    ],
)
def test_what_is_not_known_is_no_pass(hosts, part):
    found = torch.screen(hosts)
    assert not found["good"]
    assert part in found["screen"]


def test_what_would_fail_at_the_next_restart_is_said():
    upgraded = {"driver": {"loaded": "535.1", "installed": "550.1"}, "runtimes": ["nvidia"]}
    found = torch.screen({"gpu": seen(worker=cuda(CARD, host=upgraded))})
    assert found["good"]
    assert "gpu, worker: a restart of this container would fail: loaded is 535.1, installed 550.1" in found["screen"]
