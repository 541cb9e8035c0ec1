from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain.gate import FLAVOURS, Expectation, expectation
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.torch.host import asks_too_much, host_fault
from ansible.module_utils.rollout.domain.torch.reasons import FAIL, PASS, REASONS, UNKNOWN
from ansible.module_utils.rollout.domain.torch.verdict import judge, passed_or_busy, read_probe, readable, sentence
from hypothesis import given
from hypothesis import strategies as st

CPU = {"version": "2.13.0+cpu", "cuda": None, "hip": None, "cudnn": None, "arch_list": []}
CUDA = {"version": "2.13.0+cu126", "cuda": "12.6", "hip": None, "cudnn": 91002, "arch_list": ["sm_80", "sm_86", "sm_90"]}
CU13 = {**CUDA, "version": "2.13.0+cu130", "cuda": "13.0"}
ROCM = {"version": "2.13.0+rocm6.4", "cuda": None, "hip": "6.4.43482", "cudnn": None, "arch_list": ["gfx1100"]}
WELL = {"kernel_ok": True, "max_abs_err": 1e-6, "error": None, "conv_error": None}
CARD = {
    **WELL,
    "uuid": "5f1c8c2e-0000-0000-0000-000000000001",
    "name": "NVIDIA GeForce RTX 3090",
    "capability": "8.6",
    "memory_total_mib": 24124,
    "memory_free_mib": 23800,
}
NODES = ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]
RUNTIME = {
    "uid": 10001,
    "arch": "x86_64",
    "python": "3.11.2",
    "shm_bytes": 64 * 2**20,
    "device_nodes": NODES,
    "environment": {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
}
INSIDE = {"libcuda_path": "/usr/lib/x86_64-linux-gnu/libcuda.so.560.35.03", "cuinit": 0, "cuda_api": "12.6", "error": None}
ANSWERED = {"timed_out": False, "exit_status": 0, "answered": True, "stderr": ""}
HOST = {
    "driver": {"loaded": "560.35.03", "installed": "560.35.03", "cuda": "12.6"},
    "cards": [{"index": "0", "uuid": "GPU-1", "name": "NVIDIA GeForce RTX 3090", "capability": "8.6"}],
    "xids": [],
    "runtimes": ["io.containerd.runc.v2", "nvidia", "runc"],
    "cdi": [],
    "cdi_missing": [],
    "nodes": ["/dev/nvidia0"],
}
XID79 = {"code": 79, "text": "Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."}
XID31 = {"code": 31, "text": "Xid (PCI:0000:01:00): 31, MMU Fault"}
GENERIC = "RuntimeError: No CUDA GPUs are available"
UNKNOWN_ERROR = "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment"
NO_IMAGE = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
OOM = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
BUSY_ERROR = "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable"


def probe(torch=None, **facts):
    """A probe's document in a healthy container."""
    child = {**ANSWERED, **facts.pop("child", {})}
    runtime = {**RUNTIME, **facts.pop("runtime", {})}
    return {
        "torch": torch,
        "cpu": WELL if torch else None,
        "devices": [],
        "warnings": [],
        "stage": "done",
        "runtime": runtime,
        "duration_ms": 7,
        "child": child,
        **facts,
    }


def cuda(torch=CUDA, **facts):
    """One where CUDA works, but for what is given."""
    return probe(torch, **{"driver": INSIDE, "node_errors": {}, "devices": [CARD], **facts})


def card(**facts):
    return cuda(devices=[{**CARD, "kernel_ok": False, **facts}])


def unstarted(error=GENERIC, **facts):
    """One where CUDA does not start."""
    return cuda(**{"devices": [], "cuda_error": error, **facts})


def inside(**facts):
    return {**INSIDE, **facts}


def environment(**variables):
    return {"environment": {**RUNTIME["environment"], **variables}}


def host(loaded="560.35.03", **facts):
    return {**HOST, "driver": {"loaded": loaded, "installed": facts.pop("installed", loaded), "cuda": None}, **facts}


def asked(**keys):
    return Expectation("cuda", **keys)


# What people report -> verdict. Each: the row, what is expected, the probe, what else is known, reason, a part of what is said.
ROWS = [
    ("cpu build on a gpu worker", "cuda", probe(CPU), {}, "torch_is_cpu", "torch 2.13.0+cpu (cpu)"),
    ("cpu build on a gpu worker with a card", "cuda", cuda(CPU), {"host": HOST}, "torch_is_cpu", "2.13.0+cpu"),
    ("cuda build on a cpu worker", "cpu", probe(CUDA), {}, "torch_is_cuda", "torch 2.13.0+cu126 (cuda)"),
    ("torch inside the backend", "absent", probe(CPU), {}, "torch_present", "torch 2.13.0+cpu"),
    ("broken torch inside the backend", "absent", probe(import_error="OSError: x"), {}, "torch_present", "torch, broken"),
    ("backend on a worker", "cpu", probe(), {}, "torch_missing", "no torch"),
    ("backend on a gpu worker", "cuda", probe(), {"host": HOST}, "torch_missing", "no torch"),
    (
        "driver too old for cuda 13",
        "cuda",
        unstarted(torch=CU13),
        {"host": host("575.64.03")},
        "driver_too_old",
        "(CUDA 13.0 needs driver 580, the host has 575.64.03)",
    ),
    ("driver too old for cuda 12", "cuda", unstarted(), {"host": host("520.61.05")}, "driver_too_old", "needs driver 525"),
    (
        "driver too old for cuda 11",
        "cuda",
        unstarted(torch={**CUDA, "cuda": "11.8"}),
        {"host": host("440.33")},
        "driver_too_old",
        "needs driver 450, the host has 440.33",
    ),
    (
        "driver too old, seen from the container alone",
        "cuda",
        unstarted(torch=CU13, driver=inside(cuda_api="12.2")),
        {},
        "driver_too_old",
        "built for CUDA 13.0, the driver brings 12.2",
    ),
    (
        "an older minor of the driver is not too old",
        "cuda",
        unstarted(driver=inside(cuda_api="12.2")),
        {},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "a newer driver is not too old",
        "cuda",
        unstarted(driver=inside(cuda_api="13.0")),
        {},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "a driver that does not say what it brings is not too old",
        "cuda",
        unstarted(torch=CU13, driver=inside(cuda_api=None)),
        {},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "the host's driver counts more than what the container's library brings",
        "cuda",
        unstarted(torch=CU13, driver=inside(cuda_api="12.2")),
        {"host": host("580.65.06")},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "the newest driver that is too old for cuda 13, on the skipped card",
        "cuda",
        cuda(CU13, devices=[]),
        {"host": host("579.99"), "skipped": "full"},
        "driver_too_old",
        "needs driver 580",
    ),
    (
        "unsatisfied condition at start",
        "cuda",
        None,
        {"error": "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8, please update your driver"},
        "requirement_unmet",
        "cuda>=12.8",
    ),
    (
        "unsatisfied condition, before anything stops",
        "cuda",
        cuda(devices=[]),
        {"host": host("560.35.03"), "image": {"NVIDIA_REQUIRE_CUDA": "cuda>=12.8"}, "skipped": "full"},
        "requirement_unmet",
        "NVIDIA_REQUIRE_CUDA=cuda>=12.8, the host has CUDA 12.6, driver 560.35.03",
    ),
    (
        "new torch dropped an old card",
        "cuda",
        card(capability="6.1", error=NO_IMAGE),
        {"host": HOST},
        "arch_unsupported",
        "is 6.1, torch is built for sm_80 sm_86 sm_90",
    ),
    (
        "an old card, before anything stops",
        "cuda",
        cuda(devices=[]),
        {"host": {**HOST, "cards": [{"name": "P40", "capability": "6.1"}]}, "skipped": "full"},
        "arch_unsupported",
        "P40 is 6.1",
    ),
    (
        "a card of which nothing is known, before anything stops",
        "cuda",
        cuda(devices=[]),
        {"host": {**HOST, "cards": [{"name": "P40", "capability": None}]}, "skipped": "full"},
        "card_full",
        "full",
    ),
    (
        "a torch that does not say what it is built for, before anything stops",
        "cuda",
        cuda({**CUDA, "arch_list": []}, devices=[]),
        {"host": HOST, "skipped": "full"},
        "card_full",
        "full",
    ),
    ("a kernel fails on a card that is in the list", "cuda", card(error="RuntimeError: x"), {"host": HOST}, "kernel_failed", "x"),
    ("unknown error after suspend", "cuda", unstarted(UNKNOWN_ERROR, driver=inside(cuinit=999)), {}, "uvm_broken", "cuInit 999"),
    (
        "nvidia-uvm does not open",
        "cuda",
        unstarted(UNKNOWN_ERROR, node_errors={"/dev/nvidia-uvm": "EIO"}),
        {"host": HOST},
        "uvm_broken",
        "/dev/nvidia-uvm: EIO",
    ),
    (
        "compat library in the image, 804",
        "cuda",
        unstarted(driver=inside(cuinit=804, libcuda_path="/usr/local/cuda/compat/libcuda.so.550")),
        {"host": HOST},
        "compat_library",
        "cuInit 804, /usr/local/cuda/compat/libcuda.so.550",
    ),
    ("804 from anywhere", "cuda", unstarted(driver=inside(cuinit=804, libcuda_path=None)), {}, "compat_library", "cuInit 804"),
    (
        "compat library in the image, 803",
        "cuda",
        unstarted(driver=inside(cuinit=803, libcuda_path="/usr/local/cuda-12/compat/libcuda.so.1")),
        {"host": host("535.1", installed="550.1")},
        "compat_library",
        "compat",
    ),
    (
        "driver upgraded under a running container, 803",
        "cuda",
        unstarted(driver=inside(cuinit=803)),
        {"host": HOST},
        "driver_mismatch",
        "cuInit 803",
    ),
    (
        "gpu lost in a running container",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "EPERM", "/dev/nvidiactl": "EPERM"}, driver=inside(cuinit=100)),
        {"host": HOST},
        "gpu_lost",
        "/dev/nvidia0: EPERM, /dev/nvidiactl: EPERM",
    ),
    (
        "gpu lost, with uvm, and an old error of another card",
        "cuda",
        unstarted(node_errors={node: "EPERM" for node in NODES}, driver=inside(cuinit=100)),
        {"host": host(xids=[XID79])},
        "gpu_lost",
        "/dev/nvidia0: EPERM",
    ),
    (
        "no device behind the node",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "ENODEV"}),
        {"host": HOST},
        "cuda_unavailable",
        "/dev/nvidia0: ENODEV",
    ),
    (
        "no device behind the node, in other words",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "ENXIO"}, runtime={"device_nodes": []}),
        {"host": HOST},
        "cuda_unavailable",
        "/dev/nvidia0: ENXIO",
    ),
    (
        "a device that does not answer",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "EIO"}, runtime={"device_nodes": []}),
        {"host": HOST},
        "cuda_unavailable",
        "/dev/nvidia0: EIO",
    ),
    (
        "NVML says unknown error at start",
        "cuda",
        None,
        {"error": "nvidia-container-cli: initialization error: nvml error: Unknown Error"},
        "cuda_unavailable",
        "Unknown Error",
    ),
    (
        "NVML does not start",
        "cuda",
        None,
        {"error": "Failed to initialize NVML: Unknown Error"},
        "cuda_unavailable",
        "NVML",
    ),
    (
        "driver upgraded: what is loaded and what is installed",
        "cuda",
        unstarted(),
        {"host": host("535.183.01", installed="550.90.07")},
        "driver_mismatch",
        "loaded is 535.183.01, installed 550.90.07",
    ),
    (
        "driver upgraded: at container start",
        "cuda",
        None,
        {"error": "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch"},
        "driver_mismatch",
        "mismatch",
    ),
    (
        "driver upgraded: before anything stops, card in use",
        "cuda",
        cuda(devices=[]),
        {"host": host("535.183.01", installed="550.90.07"), "skipped": "full"},
        "driver_mismatch",
        "loaded is 535.183.01",
    ),
    (
        "nvidia-smi works, cuda does not",
        "cuda",
        unstarted(driver=inside(libcuda_path=None, cuinit=None), runtime=environment(NVIDIA_DRIVER_CAPABILITIES="utility")),
        {"host": HOST},
        "capability_missing",
        "NVIDIA_DRIVER_CAPABILITIES=utility",
    ),
    (
        "the driver's library is there, whatever the capabilities say",
        "cuda",
        unstarted(runtime=environment(NVIDIA_DRIVER_CAPABILITIES="utility")),
        {"host": HOST},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "no gpu in the container, whatever the capabilities say",
        "cuda",
        unstarted(
            driver=inside(libcuda_path=None, cuinit=None),
            runtime={"device_nodes": [], **environment(NVIDIA_DRIVER_CAPABILITIES="utility")},
        ),
        {"host": HOST},
        "no_device",
        GENERIC,
    ),
    ("no gpu in the container", "cuda", unstarted(runtime={"device_nodes": []}), {"host": HOST}, "no_device", GENERIC),
    (
        "no gpu in the container, whose nodes are not told",
        "cuda",
        unstarted(runtime={"device_nodes": None}),
        {},
        "no_device",
        GENERIC,
    ),
    ("cuda starts, and says nothing of devices", "cuda", cuda(devices=None), {"host": HOST}, "no_device", "no device"),
    ("cuda starts without devices", "cuda", cuda(devices=[]), {"host": HOST}, "no_device", "no device"),
    (
        "no gpu in the container: NVIDIA_VISIBLE_DEVICES",
        "cuda",
        unstarted(runtime={"device_nodes": [], **environment(NVIDIA_VISIBLE_DEVICES="void")}),
        {"host": HOST},
        "no_device",
        "NVIDIA_VISIBLE_DEVICES=void",
    ),
    (
        "hidden by CUDA_VISIBLE_DEVICES",
        "cuda",
        unstarted(runtime=environment(CUDA_VISIBLE_DEVICES="-1")),
        {"host": HOST},
        "no_device",
        "CUDA_VISIBLE_DEVICES=-1",
    ),
    (
        "hidden by an empty CUDA_VISIBLE_DEVICES",
        "cuda",
        unstarted(runtime=environment(CUDA_VISIBLE_DEVICES="")),
        {"host": HOST},
        "no_device",
        "CUDA_VISIBLE_DEVICES=",
    ),
    (
        "hidden by NVIDIA_VISIBLE_DEVICES",
        "cuda",
        unstarted(runtime=environment(NVIDIA_VISIBLE_DEVICES="none")),
        {"host": HOST},
        "no_device",
        "NVIDIA_VISIBLE_DEVICES=none",
    ),
    ("no driver on the host", "cuda", unstarted(), {"host": host(None, nodes=[])}, "no_driver", "no NVIDIA driver is loaded"),
    (
        "no driver: at container start",
        "cuda",
        None,
        {
            "error": "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object"
        },
        "no_driver",
        "libnvidia-ml",
    ),
    ("no driver: not loaded", "cuda", None, {"error": "nvml error: driver not loaded"}, "no_driver", "driver not loaded"),
    (
        "no runtime",
        "cuda",
        None,
        {"error": 'could not select device driver "nvidia" with capabilities: [[gpu]]'},
        "no_runtime",
        "could not select",
    ),
    ("no runtime by name", "cuda", None, {"error": "unknown or invalid runtime name: nvidia"}, "no_runtime", "runtime name"),
    ("no runtime, from the host", "cuda", unstarted(), {"host": host(runtimes=["runc"])}, "no_runtime", "neither the runtime"),
    (
        "cdi specification names what is gone",
        "cuda",
        None,
        {"error": "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all"},
        "cdi_stale",
        "unresolvable",
    ),
    (
        "cdi specification of the old driver",
        "cuda",
        unstarted(),
        {"host": host(runtimes=["runc"], cdi=["/etc/cdi/nvidia.yaml"], cdi_missing=["/usr/lib/libcuda.so.535.1"])},
        "cdi_stale",
        "/usr/lib/libcuda.so.535.1",
    ),
    ("fewer gpus than expected", asked(devices=2), cuda(), {"host": HOST}, "devices_missing", "1 of 2 devices"),
    ("another gpu than expected", asked(uuids=("GPU-2",)), cuda(), {"host": HOST}, "devices_missing", "no device GPU-2"),
    (
        "a gpu without a UUID",
        asked(uuids=("GPU-2",)),
        cuda(devices=[{**CARD, "uuid": None}]),
        {"host": HOST},
        "devices_missing",
        "no device GPU-2",
    ),
    (
        "MIG: one instance, two expected",
        asked(devices=2),
        cuda(devices=[{**CARD, "name": "NVIDIA A100 MIG 1g.5gb"}]),
        {},
        "devices_missing",
        "1 of 2",
    ),
    ("DataLoader bus error", asked(min_shm_mib=1024), cuda(), {"host": HOST}, "shm_too_small", "/dev/shm has 64 MiB of 1024"),
    (
        "DataLoader bus error on a cpu worker",
        Expectation("cpu", min_shm_mib=65),
        probe(CPU),
        {},
        "shm_too_small",
        "/dev/shm has 64 MiB of 65",
    ),
    (
        "/dev/shm is not there",
        Expectation("cpu", min_shm_mib=1),
        probe(CPU, runtime={"shm_bytes": None}),
        {},
        "shm_too_small",
        "has 0 MiB",
    ),
    (
        "cuDNN mismatch in the convolution",
        "cuda",
        card(conv_error="RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        {"host": HOST},
        "cudnn_mismatch",
        "CUDNN_STATUS_NOT_INITIALIZED",
    ),
    (
        "cuDNN mismatch by its version",
        "cuda",
        cuda(cudnn_error="RuntimeError: cuDNN version incompatibility"),
        {"host": HOST},
        "cudnn_mismatch",
        "incompatibility",
    ),
    (
        "a convolution that cuDNN does not know is a kernel that fails",
        "cuda",
        card(conv_error="RuntimeError: cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        {"host": HOST},
        "kernel_failed",
        "CUDNN_STATUS_NOT_SUPPORTED",
    ),
    ("out of memory at start", "cuda", card(error=OOM), {"host": HOST}, "out_of_memory", "out of memory"),
    ("out of memory before it starts", "cuda", unstarted(OOM), {"host": HOST}, "out_of_memory", "memory is taken"),
    (
        "out of memory in cuBLAS",
        "cuda",
        card(error="RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
        {},
        "out_of_memory",
        "ALLOC_FAILED",
    ),
    ("card held alone by another", "cuda", card(error=BUSY_ERROR), {"host": HOST}, "gpu_busy", "busy or unavailable"),
    ("card held alone by another, at start", "cuda", unstarted(BUSY_ERROR), {"host": HOST}, "gpu_busy", "held by another"),
    (
        "card too full to try",
        "cuda",
        cuda(devices=[]),
        {"host": HOST, "skipped": "3090 has 9 MiB"},
        "card_full",
        "3090 has 9 MiB",
    ),
    (
        "hang",
        "cuda",
        cuda(child={"timed_out": True, "answered": False}, stage="device 0"),
        {"host": HOST},
        "hang",
        "no answer in time (device 0)",
    ),
    (
        "hang, with what the kernel says",
        "cuda",
        cuda(child={"timed_out": True}, stage="cuInit"),
        {"host": host(xids=[{"code": 13, "text": "x"}, XID31])},
        "hang",
        "(cuInit), Xid (PCI:0000:01:00): 31",
    ),
    (
        "hang of a card that fell off the bus",
        "cuda",
        cuda(child={"timed_out": True}),
        {"host": host(xids=[{"code": 154, "text": "recovery action changed"}, XID79, XID31])},
        "gpu_off_bus",
        "fallen off the bus",
    ),
    (
        "a card that fell off the bus",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "EIO"}),
        {"host": host(xids=[XID79])},
        "gpu_off_bus",
        "fallen off the bus",
    ),
    ("off the bus, only the log says so", "cuda", unstarted(), {"host": host(xids=[XID79])}, "gpu_off_bus", "fallen off"),
    (
        "an AMD card fails, and NVIDIA's driver is not there",
        "rocm",
        cuda(ROCM, devices=[], cuda_error=GENERIC, driver=None),
        {"host": host(None, nodes=[])},
        "cuda_unavailable",
        GENERIC,
    ),
    ("off the bus at container start", "cuda", None, {"error": "nvml error: GPU is lost"}, "gpu_off_bus", "GPU is lost"),
    ("rocm build where cuda is wanted", "cuda", probe(ROCM), {"host": HOST}, "torch_is_rocm", "(rocm)"),
    ("rocm build where the cpu is wanted", "cpu", probe(ROCM), {}, "torch_is_rocm", "(rocm)"),
    ("cuda build where rocm is wanted", "rocm", cuda(), {}, "torch_is_cuda", "(cuda)"),
    (
        "device nodes that the user may not open",
        "cuda",
        unstarted(node_errors={"/dev/nvidia0": "EACCES"}),
        {"host": HOST},
        "device_denied",
        "/dev/nvidia0: EACCES for user 10001",
    ),
    ("a card with too little memory", asked(min_memory_mib=40000), cuda(), {}, "memory_too_small", "24124 MiB of 40000"),
    (
        "a device that is silent on its memory",
        asked(min_memory_mib=1),
        card(**WELL, memory_total_mib=None),
        {},
        "memory_too_small",
        "",
    ),
    ("an old torch", Expectation("cpu", min_torch="2.14"), probe(CPU), {}, "torch_too_old", "older than 2.14"),
    ("an old cuda", asked(min_cuda="12.8"), cuda(), {}, "cuda_too_old", "for 12.6, older than 12.8"),
    ("an old rocm", Expectation("rocm", min_cuda="7"), probe(ROCM), {}, "cuda_too_old", "for 6.4.43482, older than 7"),
    (
        "a library that is not there",
        "cuda",
        probe(import_error="OSError: libcublas.so.12"),
        {},
        "import_failed",
        "libcublas.so.12",
    ),
    ("torch fails on the cpu", "cpu", probe(CPU, cpu={**WELL, "kernel_ok": False, "error": "x"}), {}, "kernel_failed", "x"),
    ("torch says nothing of the cpu", "cpu", probe(CPU, cpu=None), {}, "kernel_failed", "no result"),
    ("kernel_ok is not a truth value", "cpu", probe(CPU, cpu={**WELL, "kernel_ok": "yes"}), {}, "kernel_failed", "no result"),
    (
        "a wrong product stays one, whatever is wrong with the host",
        "cuda",
        card(kernel_ok=True, max_abs_err=0.11),
        {"host": host("535.1", installed="550.1")},
        "wrong_result",
        "off by 0.11",
    ),
    ("an error of another shape", "cpu", probe(CPU, cpu={"error": 5}), {}, "kernel_failed", "(cpu), 5"),
    ("a wrong product", "cuda", card(kernel_ok=True, max_abs_err=0.11), {}, "wrong_result", "off by 0.11"),
    ("a negative difference", "cpu", probe(CPU, cpu={**WELL, "max_abs_err": -0.01}), {}, "wrong_result", "off by -0.01"),
    ("not a number", "cpu", probe(CPU, cpu={**WELL, "max_abs_err": float("nan")}), {}, "wrong_result", "nan"),
    ("no difference", "cpu", probe(CPU, cpu={"kernel_ok": True}), {}, "wrong_result", "None"),
    ("a truth value for a difference", "cpu", probe(CPU, cpu={**WELL, "max_abs_err": False}), {}, "wrong_result", "False"),
    ("cuda fails for an unknown reason", "cuda", unstarted(), {"host": HOST}, "cuda_unavailable", GENERIC),
    (
        "a node that the user may not open, whoever that is",
        "cuda",
        {**unstarted(node_errors={"/dev/nvidia0": "EACCES"}), "runtime": None},
        {},
        "device_denied",
        "/dev/nvidia0: EACCES for user None",
    ),
    ("cuda fails where nothing is known", "cuda", {**unstarted(driver=None), "runtime": None}, {}, "no_device", GENERIC),
    (
        "cuda fails where little is known",
        "cuda",
        unstarted(driver=None, node_errors=None, runtime={"environment": None}),
        {},
        "cuda_unavailable",
        GENERIC,
    ),
    ("a device vanishes between two looks", "cuda", unstarted("RuntimeError: x"), {}, "cuda_unavailable", "x"),
    (
        "python dies",
        "cpu",
        probe(child={"answered": False, "exit_status": -11}, stage="import torch"),
        {},
        "crashed",
        "status -11",
    ),
    (
        "python dies with words",
        "cpu",
        probe(child={"answered": False, "exit_status": -6, "stderr": "a\nAborted\n"}, stage="CPU"),
        {},
        "crashed",
        "exit status -6 (CPU): Aborted",
    ),
    ("python dies without words", "cpu", probe(child={"answered": False, "stderr": None}), {}, "crashed", "exit status 0"),
    ("python ends without an answer", "absent", probe(child={"answered": False}), {}, "crashed", "exit status 0"),
    ("the kernel kills python", "cpu", probe(child={"answered": False, "exit_status": -9}), {}, "killed", "exit status -9"),
    ("hang where no torch should be", "absent", probe(child={"timed_out": True}, stage="find torch"), {}, "hang", "(find torch)"),
    ("hang of a cpu torch", "cpu", probe(CPU, child={"timed_out": True}), {}, "hang", "no answer in time"),
    ("no python", "cpu", None, {"error": 'exec: "python3": executable file not found in $PATH'}, "no_python", "not found"),
    ("no python, in plain words", "cpu", None, {"error": "executable file not found in $PATH: unknown"}, "no_python", ""),
    (
        "no python at a path",
        "cpu",
        None,
        {"error": 'OCI runtime create failed: exec: "/opt/python": stat /opt/python: no such file or directory: unknown'},
        "no_python",
        "no such file",
    ),
    ("no python, its loader is absent", "cpu", None, {"error": "exec /opt/python: no such file or directory"}, "no_python", ""),
    (
        "no runtime, its program is absent",
        "cuda",
        None,
        {"error": "fork/exec /usr/bin/nvidia-container-runtime: no such file or directory"},
        "no_runtime",
        "",
    ),
    ("no runtime, its hook is absent", "cuda", None, {"error": "exec /usr/bin/nvidia-cdi-hook: no such file"}, "no_runtime", ""),
    (
        "no runtime, its program is not on the path",
        "cuda",
        None,
        {"error": 'exec: "nvidia-container-runtime": executable file not found in $PATH'},
        "no_runtime",
        "",
    ),
    (
        "no runtime, its hook is not on the path",
        "cuda",
        None,
        {"error": 'exec: "nvidia-container-runtime-hook": executable file not found in $PATH'},
        "no_runtime",
        "",
    ),
    (
        "a kernel fails on a card of AMD, whose names NVIDIA's rules do not know",
        "rocm",
        cuda(ROCM, driver=None, devices=[{**CARD, "kernel_ok": False, "error": "RuntimeError: HIP error", "capability": "11.0"}]),
        {},
        "kernel_failed",
        "HIP error",
    ),
    (
        "a version that cannot be read proves no driver too old",
        "cuda",
        unstarted(driver=inside(cuda_api="bad")),
        {},
        "cuda_unavailable",
        GENERIC,
    ),
    (
        "a size beyond all bounds",
        Expectation("cpu", min_shm_mib=1),
        probe(CPU, runtime={"shm_bytes": 10**400}),
        {},
        "no_answer",
        "",
    ),
    ("no vendor", "cuda", None, {"error": "failed to discover GPU vendor from CDI: no known GPU vendor found"}, "no_runtime", ""),
    ("a library is gone", "cuda", None, {"error": "failed to fulfil mount request: open /usr/lib/libEGL: no"}, "cdi_stale", ""),
    (
        "a card that is not there",
        "cuda",
        None,
        {"error": "nvidia-container-cli: device error: 7: unknown device id"},
        "devices_missing",
        "",
    ),
    (
        "memory that cannot correct itself",
        "cuda",
        card(error="RuntimeError: CUDA error: uncorrectable ECC error encountered"),
        {"host": HOST},
        "wrong_result",
        "cannot correct",
    ),
    (
        "no fabric manager",
        "cuda",
        unstarted(driver=inside(cuinit=802)),
        {"host": HOST},
        "cuda_unavailable",
        "nvidia-fabricmanager",
    ),
    ("something else is absent", "absent", None, {"error": "fork/exec /usr/bin/x: no such file"}, "no_answer", ""),
    ("another file is not there", "absent", None, {"error": "[Errno 2] No such file or directory"}, "no_answer", "No such file"),
    ("silence", "absent", None, {}, "no_answer", "no answer"),
    ("no answer of the engine", "cuda", None, {"error": "docker exec gave no answer in 80 s"}, "no_answer", "gave no answer"),
    ("an answer of another shape", "cpu", {"child": "x"}, {}, "no_answer", "cannot be read"),
    ("devices of another shape", "cuda", cuda(devices=["x"]), {}, "no_answer", "cannot be read"),
]
VERDICTS = {"out_of_memory": UNKNOWN, "gpu_busy": UNKNOWN, "card_full": UNKNOWN, "no_answer": UNKNOWN}
FAULTS = {
    "host": [
        "wrong_result",
        "hang",
        "no_driver",
        "driver_mismatch",
        "driver_too_old",
        "requirement_unmet",
        "no_runtime",
        "cdi_stale",
        "gpu_lost",
        "gpu_off_bus",
        "uvm_broken",
        "cuda_unavailable",
    ],
    "stack": [
        "no_device",
        "devices_missing",
        "device_denied",
        "capability_missing",
        "memory_too_small",
        "shm_too_small",
        "killed",
        "out_of_memory",
        "gpu_busy",
        "card_full",
    ],
    "image": [
        "torch_missing",
        "torch_present",
        "torch_is_cpu",
        "torch_is_cuda",
        "torch_is_rocm",
        "torch_too_old",
        "cuda_too_old",
        "import_failed",
        "kernel_failed",
        "arch_unsupported",
        "cudnn_mismatch",
        "compat_library",
        "crashed",
        "no_python",
    ],
    None: ["no_answer"],
}
FAULT_OF = {reason: fault for fault, reasons in FAULTS.items() for reason in reasons}


def contract(expected):
    return Expectation(expected) if isinstance(expected, str) else expected


@pytest.mark.parametrize(("row", "expected", "document", "known", "reason", "part"), ROWS, ids=[r[0] for r in ROWS])
def test_what_people_report(row, expected, document, known, reason, part):
    found = judge(document, contract(expected), **known)
    assert (found["reason"], found["verdict"], found["fault"]) == (reason, VERDICTS.get(reason, FAIL), FAULT_OF[reason])
    assert part in found["observed"]
    assert found["remedy"] == REASONS[reason][2] != ""
    # Whatever does not pass has a check that says so, unless nothing answered.
    assert document is None or reason in ("card_full", "no_answer") or found["checks"][-1]["status"] == FAIL


# What the remedy of each speaks of.
REMEDIES = {
    "torch_missing": "the image that holds torch",
    "torch_present": "the image without torch",
    "torch_is_cpu": "a GPU build of torch",
    "torch_is_cuda": "this torch is for NVIDIA cards",
    "torch_is_rocm": "this torch is for AMD cards",
    "torch_too_old": "min_torch",
    "cuda_too_old": "min_cuda",
    "import_failed": "Import torch by hand in the image",
    "kernel_failed": "cannot compute",
    "arch_unsupported": "architecture list",
    "cudnn_mismatch": "cuDNN",
    "compat_library": "/usr/local/cuda/compat",
    "crashed": "Python died",
    "no_python": "x-rollout <service>.torch.python",
    "wrong_result": "test the card and its memory",
    "hang": "dmesg",
    "no_driver": "sudo modprobe nvidia",
    "driver_mismatch": "reboot the host",
    "driver_too_old": "a torch for an older CUDA",
    "requirement_unmet": "an image that asks for less",
    "no_runtime": "sudo nvidia-ctk runtime configure",
    "cdi_stale": "sudo nvidia-ctk cdi generate",
    "gpu_lost": "recreate it",
    "gpu_off_bus": "power supply",
    "uvm_broken": "sudo modprobe nvidia_uvm",
    "cuda_unavailable": "Check nvidia-smi on the host",
    "no_device": "nvidia device reservation",
    "devices_missing": "the GPUs that it expects",
    "device_denied": "group_add",
    "capability_missing": "NVIDIA_DRIVER_CAPABILITIES",
    "memory_too_small": "min_memory_mib",
    "shm_too_small": "shm_size",
    "killed": "mem_limit",
    "out_of_memory": "stop what else uses it",
    "gpu_busy": "compute mode",
    "card_full": "try again",
    "no_answer": "Run the check again",
}


def test_every_remedy_is_of_its_reason():
    assert {reason for reason, (_, _, remedy) in REASONS.items() if remedy} == set(REMEDIES)
    assert [reason for reason, part in REMEDIES.items() if part not in REASONS[reason][2]] == []


def test_every_reason_has_a_row():
    assert {row[4] for row in ROWS} | {"ok"} == set(REASONS)


MIG = {**CARD, "uuid": "MIG-9f1c8c2e-0000-0000-0000-00000000000a", "name": "NVIDIA A100 MIG 1g.5gb", "memory_total_mib": 4864}
WSL = host(None, nodes=["/dev/dxg"], runtimes=["runc"], cdi=["/etc/cdi/nvidia.yaml"])
# The inverse: nothing healthy is called broken, however odd it looks.
HEALTHY = [
    ("no torch", "absent", probe(), {}),
    ("no torch, and times of another shape", "absent", probe(ms="x"), {}),
    ("cpu", "cpu", probe(CPU), {}),
    ("cpu, exactly the versions asked for", Expectation("cpu", min_torch="2.13.0", min_shm_mib=64), probe(CPU), {}),
    ("cpu torch with a card beside it", "cpu", probe(CPU, node_errors={"/dev/nvidia0": "EPERM"}), {"host": HOST}),
    ("cuda", "cuda", cuda(), {"host": HOST}),
    ("cuda, nothing known of the host", "cuda", cuda(), {}),
    (
        "cuda, exactly the versions asked for",
        asked(min_torch="2.13", min_cuda="12.6", devices=1, min_memory_mib=24124),
        cuda(),
        {},
    ),
    (
        "cuda, more than is asked for",
        asked(min_torch="2.5", min_cuda="11.8", devices=1, min_memory_mib=8000, min_shm_mib=1),
        cuda(devices=[CARD, CARD]),
        {},
    ),
    ("a card without a name", "cuda", cuda(devices=[{**CARD, "name": None}]), {}),
    ("by UUID as nvidia-smi writes it", asked(uuids=("GPU-5F1C8C2E-0000-0000-0000-000000000001",)), cuda(), {}),
    ("MIG", asked(devices=1, uuids=("MIG-9f1c8c2e-0000-0000-0000-00000000000a",)), cuda(devices=[MIG]), {}),
    ("MIG, as torch writes it", asked(uuids=("MIG-9F1C8C2E",)), cuda(devices=[{**MIG, "uuid": "9f1c8c2e"}]), {}),
    ("cpu, in a container that is not told of", "cpu", {**probe(CPU), "runtime": None}, {}),
    ("an exact product", "cpu", probe(CPU, cpu={**WELL, "max_abs_err": 0}), {}),
    ("an imprecise card (TF32)", "cuda", cuda(devices=[{**CARD, "max_abs_err": 0.1}]), {}),
    ("a card whose code comes from PTX", "cuda", cuda({**CUDA, "arch_list": ["compute_70"]}), {}),
    ("a card that is in no list, and computes", "cuda", cuda({**CUDA, "arch_list": []}), {}),
    ("forward compatibility: an old driver that computes", "cuda", cuda(CU13), {"host": host("535.183.01")}),
    ("a compat library that works", "cuda", cuda(driver=inside(libcuda_path="/usr/local/cuda/compat/libcuda.so.1")), {}),
    ("an old Xid in the log", "cuda", cuda(), {"host": host(xids=[XID79])}),
    ("a node that does not open, and is not needed", "cuda", cuda(node_errors={"/dev/nvidia-modeset": "EACCES"}), {}),
    (
        "NVIDIA_REQUIRE_CUDA that is not met, and computes",
        "cuda",
        cuda(),
        {"host": HOST, "image": {"NVIDIA_REQUIRE_CUDA": "cuda>=13"}},
    ),
    ("CDI without the runtime", "cuda", cuda(), {"host": host(runtimes=["runc"], cdi=["/etc/cdi/nvidia.yaml"])}),
    ("WSL", "cuda", cuda(), {"host": WSL}),
    ("noise and warnings", "cuda", cuda(warnings=["w"], child={"stderr": "CUDA error: out of memory"}), {"host": HOST}),
    ("rocm", "rocm", cuda(ROCM, devices=[{**CARD, "name": "Radeon RX 7900 XTX"}]), {}),
    ("rocm on a host without NVIDIA", "rocm", cuda(ROCM, driver=None), {"host": host(None, nodes=[], runtimes=["runc"])}),
]


@pytest.mark.parametrize(("row", "expected", "document", "known"), HEALTHY, ids=[h[0] for h in HEALTHY])
def test_nothing_healthy_is_called_broken(row, expected, document, known):
    found = judge(document, contract(expected), **known)
    assert (found["verdict"], found["reason"], found["fault"], found["remedy"]) == (PASS, "ok", None, "")
    assert {check["status"] for check in found["checks"]} == {PASS}


def test_the_document_is_whole():
    times = {"device 0": 41, "CUDA start": 5, "import torch": 900}
    found = judge(cuda(ms=times, warnings=["w"], driver=inside(cuda_api="12.8")), contract("cuda"), host=HOST)
    assert found == {
        "verdict": PASS,
        "reason": "ok",
        "fault": None,
        "remedy": "",
        "expected": "torch for cuda",
        "on_gpu": True,
        "observed": "torch 2.13.0+cu126 (cuda) on NVIDIA GeForce RTX 3090",
        "duration_ms": 7,
        "checks": [
            {"id": "answer", "status": PASS, "expected": "an answer in time", "observed": "one", "ms": None},
            {"id": "flavour", "status": PASS, "expected": "cuda", "observed": "torch 2.13.0+cu126 (cuda)", "ms": 900},
            {"id": "start", "status": PASS, "expected": "CUDA starts", "observed": "it does", "ms": 5},
            {"id": "device", "status": PASS, "expected": "a device", "observed": "1 devices", "ms": None},
            {
                "id": "kernel NVIDIA GeForce RTX 3090",
                "status": PASS,
                "expected": "a product and a convolution",
                "observed": "done",
                "ms": 41,
            },
            {
                "id": "result NVIDIA GeForce RTX 3090",
                "status": PASS,
                "expected": "within 0.1",
                "observed": "1e-06",
                "ms": 41,
            },
        ],
        "torch": CUDA,
        "driver": {
            "version": "560.35.03",
            "installed": "560.35.03",
            "cuda_api": "12.8",
            "cuinit": 0,
            "libcuda_path": "/usr/lib/x86_64-linux-gnu/libcuda.so.560.35.03",
        },
        "devices": [CARD],
        "runtime": RUNTIME,
        "warnings": ["w"],
    }


TIMES = {"import torch": 1, "CPU": 2, "CUDA start": 3, "device 0": 4, "cuDNN": 5}
SECOND = {**CARD, "uuid": "MIG-2", "name": "B"}
TWO = [{**CARD, "uuid": "GPU-1", "name": "A"}, SECOND]
TORCH = "torch 2.13.0+cu126 (cuda)"
# What is expected, the probe, what else is known; what is said, and the last check.
DECIDED = [
    ("absent", probe(), {}, "no torch", "pass flavour: no torch, expected no torch, None ms"),
    ("absent", probe(CPU), {}, "torch 2.13.0+cpu", "fail flavour: torch 2.13.0+cpu, expected no torch, None ms"),
    ("absent", probe(import_error="x"), {}, "torch, broken", "fail flavour: torch, broken, expected no torch, None ms"),
    ("cpu", probe(), {}, "no torch", "fail flavour: no torch, expected torch for cpu, None ms"),
    ("cpu", probe(import_error="OSError"), {}, "OSError", "fail import: OSError, expected import torch, 1 ms"),
    ("cpu", probe(CPU), {}, "torch 2.13.0+cpu (cpu)", "pass result CPU: 1e-06, expected within 0.1, 2 ms"),
    (
        "cpu",
        probe(CPU, cpu=None),
        {},
        "torch 2.13.0+cpu (cpu), no result",
        "fail kernel CPU: no result, expected a product and a convolution, 2 ms",
    ),
    (
        "cpu",
        probe(CPU, child={"timed_out": True}),
        {},
        "no answer in time (done)",
        "fail answer: no answer in time (done), expected an answer in time, None ms",
    ),
    (
        "cpu",
        probe(child={"answered": False}),
        {},
        "exit status 0 (done)",
        "fail answer: exit status 0 (done), expected an answer, None ms",
    ),
    (
        "cpu",
        probe(child={"answered": False, "stderr": "a\nb\nc\n\n"}),
        {},
        "exit status 0 (done): c",
        "fail answer: exit status 0 (done): c, expected an answer, None ms",
    ),
    (
        Expectation("cpu", min_torch="3"),
        probe(CPU),
        {},
        "torch 2.13.0+cpu (cpu), older than 3",
        "fail torch: 2.13.0+cpu, expected >= 3, None ms",
    ),
    (
        Expectation("cpu", min_shm_mib=65),
        probe(CPU),
        {},
        "torch 2.13.0+cpu (cpu), /dev/shm has 64 MiB of 65",
        "fail shm: 64 MiB, expected >= 65 MiB, None ms",
    ),
    (asked(min_cuda="13"), cuda(), {}, f"{TORCH} for 12.6, older than 13", "fail cuda: 12.6, expected >= 13, None ms"),
    (
        "cuda",
        cuda(),
        {"skipped": "full"},
        f"{TORCH}, not tried on the card: full",
        f"pass flavour: {TORCH}, expected cuda, 1 ms",
    ),
    ("cuda", unstarted(), {}, f"{TORCH}, {GENERIC}", f"fail start: {GENERIC}, expected CUDA starts, 3 ms"),
    ("cuda", cuda(devices=[]), {}, f"{TORCH}, no device", "fail device: 0 devices, expected a device, None ms"),
    (
        "cuda",
        cuda(devices=[{**CARD, "name": "A", "kernel_ok": False, "error": "x"}]),
        {},
        f"{TORCH}, x",
        "fail kernel A: x, expected a product and a convolution, 4 ms",
    ),
    ("cuda", cuda(cudnn_error="y"), {}, f"{TORCH}, y", "fail cudnn: y, expected a cuDNN that fits, 5 ms"),
    ("cuda", cuda(devices=TWO), {}, f"{TORCH} on A, B", "pass result B: 1e-06, expected within 0.1, None ms"),
    (asked(devices=3), cuda(devices=TWO), {}, f"{TORCH}, 2 of 3 devices", "fail count: 2, expected >= 3, None ms"),
    (
        "cuda",
        cuda(devices=[{**CARD, "name": "A", "max_abs_err": 1}]),
        {},
        f"{TORCH}, result off by 1",
        "fail result A: 1, expected within 0.1, 4 ms",
    ),
    (
        asked(uuids=("GPU-3",)),
        cuda(devices=TWO),
        {},
        f"{TORCH}, no device GPU-3",
        "fail uuid: GPU-1, MIG-2, expected GPU-3, None ms",
    ),
    (
        asked(min_memory_mib=30000),
        cuda(devices=TWO),
        {},
        f"{TORCH}, A has 24124 MiB of 30000",
        "fail memory A: 24124 MiB, expected >= 30000 MiB, None ms",
    ),
    (
        "cuda",
        cuda(devices=[]),
        {"host": host(None, nodes=[]), "skipped": "full"},
        f"{TORCH}, no NVIDIA driver is loaded on the host",
        "fail host: no NVIDIA driver is loaded on the host, expected a host that can run it, None ms",
    ),
    (
        "cuda",
        cuda(devices=[]),
        {"host": {**HOST, "cards": [{"name": "P40", "capability": "6.1"}]}, "skipped": "full"},
        f"{TORCH}, P40 is 6.1",
        "fail arch: sm_80 sm_86 sm_90, expected 6.1, None ms",
    ),
]


@pytest.mark.parametrize(("expected", "document", "known", "observed", "check"), DECIDED, ids=[d[4] for d in DECIDED])
def test_what_decides(expected, document, known, observed, check):
    found = judge({**document, "ms": TIMES}, contract(expected), **known)
    assert found["observed"] == observed
    assert "{status} {id}: {observed}, expected {expected}, {ms} ms".format(**found["checks"][-1]) == check


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (unstarted(OOM), "out_of_memory: the card's memory is taken"),
        (unstarted("ECC error"), "wrong_result: the card's memory reports an error that it cannot correct"),
        (unstarted(BUSY_ERROR), "gpu_busy: the card is held by another process"),
        (unstarted(driver=inside(cuinit=802)), "cuda_unavailable: cuInit 802: does nvidia-fabricmanager run on the host?"),
        (unstarted(driver=inside(cuinit=999), node_errors={"/dev/a": "ENOENT"}), "uvm_broken: cuInit 999"),
        (
            unstarted(node_errors={"/dev/nvidia-uvm-tools": "EIO", "/dev/nvidia-uvm": "EIO"}),
            "uvm_broken: cuInit 0, /dev/nvidia-uvm: EIO",
        ),
        (
            unstarted(node_errors={"/dev/b": "EACCES", "/dev/a": "EACCES", "/dev/c": "ENOENT"}),
            "device_denied: /dev/a: EACCES for user 10001, /dev/b: EACCES for user 10001",
        ),
        (unstarted(node_errors={"/dev/b": "EPERM", "/dev/a": "EIO"}), "gpu_lost: /dev/a: EIO, /dev/b: EPERM"),
    ],
)
def test_why_cuda_fails(document, cause):
    found = judge(document, contract("cuda"))
    reason, _, evidence = cause.partition(": ")
    assert (found["reason"], found["observed"]) == (reason, f"{TORCH}, {document['cuda_error']} ({evidence})")
    assert found["checks"][-1] == {"id": "cause", "status": FAIL, "expected": "none", "observed": cause, "ms": None}


def test_the_hosts_driver_is_told_where_the_container_says_nothing():
    found = judge(probe(CPU), contract("cuda"), host=HOST)
    assert found["driver"] == {
        "version": "560.35.03",
        "installed": "560.35.03",
        "cuda_api": "12.6",
        "cuinit": None,
        "libcuda_path": None,
    }


def test_a_container_that_would_not_survive_its_restart_is_warned_of():
    found = judge(cuda(), contract("cuda"), host=host("535.183.01", installed="550.90.07"))
    assert found["verdict"] == PASS
    assert found["warnings"] == [
        "a restart of this container would fail: loaded is 535.183.01, installed 550.90.07 (driver_mismatch). "
        "The driver was upgraded and the old one is still loaded: reboot the host."
    ]
    assert judge(cuda(), asked(devices=2), host=host("535.183.01", installed="550.90.07"))["warnings"] == []
    assert judge(cuda(ROCM), contract("rocm"), host=host(None, nodes=[]))["warnings"] == []


NO_DRIVER = ("no_driver", "no NVIDIA driver is loaded on the host")
NO_RUNTIME = ("no_runtime", "Docker has neither the runtime nvidia nor a CDI specification")


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, None),
        (HOST, None),
        (WSL, None),
        ({"driver": {}}, NO_DRIVER),
        ({"driver": None}, NO_DRIVER),
        (host("560.35.03", installed=None), None),
        (host("560.35.03", installed="560.35.3"), None),
        (host("560.35.03", installed="570.1"), ("driver_mismatch", "loaded is 560.35.03, installed 570.1")),
        (host("570.1", installed="560.1"), ("driver_mismatch", "loaded is 570.1, installed 560.1")),
        (host(runtimes=None), None),
        (host(runtimes=[]), NO_RUNTIME),
        (host(runtimes=[], hook=True), None),
        (host(runtimes=["runc"], hook=True, cdi=["x"], cdi_missing=["y"]), None),
        (host(runtimes=["runc"], cdi=["x"]), None),
        (
            host(runtimes=["runc"], cdi=["x", "z"], cdi_missing=["y", "w"]),
            ("cdi_stale", "x, z names y, which is not there"),
        ),
        # The runtime makes its own view of the driver.
        (host(cdi=["x"], cdi_missing=["y"]), None),
    ],
)
def test_host_fault(facts, found):
    assert host_fault(facts) == found


CARDS = [{"capability": "8.6"}, {"capability": "6.1"}]


@pytest.mark.parametrize(
    ("requirement", "torch", "facts", "found"),
    [
        ("", CUDA, host(), None),
        ("", CUDA, {}, None),
        ("", CU13, host("575.1"), ("driver_too_old", "CUDA 13.0 needs driver 580, the host has 575.1")),
        # The older driver would not do for either: what torch needs is told first.
        ("cuda>=13", CU13, host("575.1"), ("driver_too_old", "CUDA 13.0 needs driver 580, the host has 575.1")),
        ("cuda>=13", CU13, {}, None),
        # What nvidia-smi says comes first, what the driver's branch brings where it is silent.
        ("cuda>=12.8", CUDA, {"driver": {"loaded": "560.1", "cuda": "12.8"}}, None),
        (
            "cuda>=12.6",
            CUDA,
            {"driver": {"loaded": "560.1", "cuda": "12.5"}},
            ("requirement_unmet", "the image asks for NVIDIA_REQUIRE_CUDA=cuda>=12.6, the host has CUDA 12.5, driver 560.1"),
        ),
        ("cuda>=12.6", CUDA, host("560.1"), None),
        (
            "driver>=570",
            CUDA,
            host("560.1"),
            ("requirement_unmet", "the image asks for NVIDIA_REQUIRE_CUDA=driver>=570, the host has CUDA 12.6, driver 560.1"),
        ),
        ("driver>=560", CUDA, host("560.1"), None),
        # The first card speaks for all.
        ("arch>=8.6", CUDA, host("560.1", cards=CARDS), None),
        (
            "arch>=9.0",
            CUDA,
            host("560.1", cards=CARDS),
            ("requirement_unmet", "the image asks for NVIDIA_REQUIRE_CUDA=arch>=9.0, the host has CUDA 12.6, driver 560.1"),
        ),
        ("arch>=9.0", CUDA, host("560.1", cards=[]), None),
        ("arch>=9.0", CUDA, host("560.1", cards=None), None),
    ],
)
def test_what_an_image_asks_of_its_host(requirement, torch, facts, found):
    assert asks_too_much({"NVIDIA_REQUIRE_CUDA": requirement}, torch, facts) == found


@pytest.mark.parametrize(
    ("capabilities", "reason"),
    [
        (None, "cuda_unavailable"),
        ("all", "cuda_unavailable"),
        ("compute", "cuda_unavailable"),
        ("utility, compute", "cuda_unavailable"),
        ("compute,utility,video", "cuda_unavailable"),
        ("", "capability_missing"),
        ("utility,video", "capability_missing"),
    ],
)
def test_capabilities(capabilities, reason):
    document = unstarted(driver=inside(libcuda_path=None), runtime=environment(NVIDIA_DRIVER_CAPABILITIES=capabilities))
    assert judge(document, contract("cuda"))["reason"] == reason


@pytest.mark.parametrize("way", [unstarted, lambda error: card(error=error, capability="6.1")], ids=["at start", "in a kernel"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OOM, "out_of_memory"),
        ("RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable", "gpu_busy"),
        ("RuntimeError: CUDA error: all CUDA-capable devices are busy", "gpu_busy"),
    ],
)
def test_cuda_has_several_words_for_a_card_in_use(error, reason, way):
    """And none of them is taken for an old card."""
    assert judge(way(error), contract("cuda"), host=HOST)["reason"] == reason


@pytest.mark.parametrize("reason", REASONS)
def test_only_a_pass_or_a_busy_card_may_be_staged(reason):
    verdict, _fault, _remedy = REASONS[reason]
    allowed = passed_or_busy({"verdict": verdict, "reason": reason})
    assert allowed == (reason in ("ok", "out_of_memory", "gpu_busy", "card_full"))
    assert verdict != FAIL or not allowed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "kernel_ok",
                    "max_abs_err",
                    "error",
                    "version",
                    "cuda",
                    "hip",
                    "answered",
                    "timed_out",
                    "stderr",
                    "device_nodes",
                    "arch_list",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KEYS = [
    "torch",
    "cpu",
    "devices",
    "child",
    "runtime",
    "import_error",
    "cuda_error",
    "warnings",
    "driver",
    "node_errors",
    "cudnn_error",
    "ms",
    "stage",
]


@given(
    st.dictionaries(st.sampled_from(KEYS), json_values),
    st.sampled_from(FLAVOURS),
    st.sampled_from([{}, HOST, host(None, nodes=[])]),
    st.sampled_from(["", "full"]),
)
def test_unknown_is_never_a_pass(document, flavour, known, skipped):
    found = judge(document, Expectation(flavour), host=known, skipped=skipped)
    assert found["reason"] in REASONS
    if found["verdict"] == PASS:
        assert document["child"]["answered"]
        assert not document["child"].get("timed_out")
        if flavour == "absent":
            assert not document.get("torch")
            assert not document.get("import_error")
        else:
            facts = [document["cpu"]] if flavour == "cpu" else document["devices"]
            assert facts
            assert all(f["kernel_ok"] is True and 0 <= f["max_abs_err"] <= 0.1 for f in facts)


@given(st.sampled_from(ROWS), st.dictionaries(st.sampled_from(KEYS), json_values, max_size=2))
def test_no_garbage_makes_a_broken_one_pass_by_raising(row, garbage):
    found = judge({**(row[2] or {}), **garbage}, contract(row[1]), **row[3])
    assert set(found) >= {"verdict", "reason", "fault", "remedy", "checks"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (probe({"cuda": "12.6"}), "absent"),
        (probe({**CPU, "version": "9" * 5000}), Expectation("cpu", min_torch="2")),
        (probe({**CPU, "version": ["x"]}, cpu="x"), "cpu"),
        (probe(CPU, runtime={"shm_bytes": "x"}), Expectation("cpu", min_shm_mib=1)),
    ],
    ids=["a key is absent", "a number is too long", "a text is not a mapping", "a text is not a number"],
)
def test_what_cannot_be_read_does_not_pass(document, expected):
    assert judge(document, contract(expected))["verdict"] in (FAIL, UNKNOWN)


@given(
    st.sampled_from([("absent", None), ("cpu", CPU), ("cuda", CUDA), ("rocm", ROCM)]),
    st.floats(0, 0.1),
    st.lists(st.text(max_size=9), max_size=3),
    st.integers(0, 10**6),
    st.text(max_size=20),
)
def test_healthy_is_never_called_broken(kind, difference, warnings, duration, noise):
    flavour, torch = kind
    document = probe(torch, child={"stderr": noise}, warnings=warnings, duration_ms=duration)
    document["cpu"] = {"kernel_ok": True, "max_abs_err": difference} if torch else None
    document["devices"] = [{**CARD, "max_abs_err": difference}] if flavour in ("cuda", "rocm") else []
    assert judge(document, Expectation(flavour))["verdict"] == PASS


RECORDED = Path(__file__).parents[2] / "recorded"


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
def test_recorded_documents(file):
    """What a probe printed in a real container, and what is to be thought of it."""
    recorded = json.loads(file.read_text(encoding="utf-8"))
    found = judge(recorded["probe"], expectation(recorded["expect"], "x"), host=recorded.get("host"))
    assert found["reason"] == recorded["reason"]


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", None),
        ("torch says hello\n", None),
        ("ROLLOUT-PROBE {\n", None),
        ("ROLLOUT-PROBE [1]\n", None),
        ("ROLLOUT-PROBE " + "[" * 100000, None),
        (" ROLLOUT-PROBE {}\n", None),
        ('noise\nROLLOUT-PROBE {"a": 1}\n', {"a": 1}),
        ('ROLLOUT-PROBE {"a": 1}\nROLLOUT-PROBE {"a": 2}\nnoise', {"a": 2}),
    ],
)
def test_read_probe(text, document):
    assert read_probe(text) == document


@given(st.text(), st.text())
def test_read_probe_out_of_garbage(before, after):
    line = "ROLLOUT-PROBE " + json.dumps(probe(CPU))
    assert read_probe(f"{before}\n{line}\n{after}") == probe(CPU)


@pytest.mark.parametrize(
    ("document", "expected", "known", "text"),
    [
        (
            probe(CPU),
            "absent",
            {},
            "x: expected no torch, found torch 2.13.0+cpu (torch_present). The fault is the image's. "
            "Deploy the image without torch: this is probably a worker's image on the backend.",
        ),
        (
            unstarted(),
            "cuda",
            {"host": host("535.1", installed="550.1")},
            f"x: expected torch for cuda, found torch 2.13.0+cu126 (cuda), {GENERIC} (loaded is 535.1, installed 550.1) "
            "(driver_mismatch). The fault is the host's. Rolling back will not help: "
            "The driver was upgraded and the old one is still loaded: reboot the host.",
        ),
        (
            cuda(),
            asked(devices=2),
            {},
            "x: expected torch for cuda, found torch 2.13.0+cu126 (cuda), 1 of 2 devices (devices_missing). The fault is the "
            "stack's. Give the service the GPUs that it expects, or expect what it has.",
        ),
        (
            None,
            "cuda",
            {},
            "x: expected torch for cuda, found no answer (no_answer). Run the check again; if it stays, import torch by hand in "
            "the container.",
        ),
        (
            {"child": "x"},
            "cpu",
            {},
            "x: expected torch for cpu, found an answer that cannot be read (no_answer). Run the check again; if it stays, "
            "import torch by hand in the container.",
        ),
        (probe(CPU), "cpu", {}, "x: expected torch for cpu, found torch 2.13.0+cpu (cpu) (ok)."),
    ],
)
def test_sentence(document, expected, known, text):
    assert "x: " + sentence(judge(document, contract(expected), **known)) == text


@pytest.mark.parametrize(
    ("document", "expected", "known", "text"),
    [
        (
            cuda(devices=TWO, ms={**TIMES, "device 1": 0}, warnings=["v", 5], duration_ms=0),
            asked(devices=2),
            {"host": HOST},
            "PASS  x: expected torch for cuda, found torch 2.13.0+cu126 (cuda) on A, B (ok).\n"
            "\n"
            "  pass  answer: one (expected: an answer in time)\n"
            "  pass  flavour: torch 2.13.0+cu126 (cuda) (expected: cuda, 1 ms)\n"
            "  pass  start: it does (expected: CUDA starts, 3 ms)\n"
            "  pass  device: 2 devices (expected: a device)\n"
            "  pass  kernel A: done (expected: a product and a convolution, 4 ms)\n"
            "  pass  result A: 1e-06 (expected: within 0.1, 4 ms)\n"
            "  pass  kernel B: done (expected: a product and a convolution, 0 ms)\n"
            "  pass  result B: 1e-06 (expected: within 0.1, 0 ms)\n"
            "  pass  count: 2 (expected: >= 2)\n"
            "\n"
            "  driver: 560.35.03 (CUDA 12.6), /usr/lib/x86_64-linux-gnu/libcuda.so.560.35.03\n"
            "  devices: A GPU-1, 23800 of 24124 MiB free; B MIG-2, 23800 of 24124 MiB free\n"
            "  runs as: user 10001, Python 3.11.2, x86_64\n"
            "  took: 0 ms\n"
            "  warnings: v; 5",
        ),
        (
            {"child": ANSWERED, "torch": CPU},
            "absent",
            {},
            "FAIL  x: expected no torch, found torch 2.13.0+cpu (torch_present). The fault is the image's. Deploy the image "
            "without torch: this is probably a worker's image on the backend.\n"
            "\n"
            "  pass  answer: one (expected: an answer in time)\n"
            "  fail  flavour: torch 2.13.0+cpu (expected: no torch)",
        ),
        (
            None,
            "cuda",
            {"error": "Cannot connect", "host": HOST},
            "UNKNOWN  x: expected torch for cuda, found Cannot connect (no_answer). Run the check again; if it stays, "
            "import torch by hand in the container.\n"
            "\n"
            "  driver: 560.35.03 (CUDA 12.6), None",
        ),
        (
            None,
            "cpu",
            {},
            "UNKNOWN  x: expected torch for cpu, found no answer (no_answer). Run the check again; if it stays, import torch by "
            "hand in the container.",
        ),
    ],
    ids=["everything", "checks alone", "facts alone", "nothing"],
)
def test_readable(document, expected, known, text):
    assert readable({**judge(document, contract(expected), **known), "target": "x"}) == text


@pytest.mark.parametrize("facts", [{"devices": ["x"]}, {"devices": 5}, {"runtime": 5}, {"runtime": "uid"}, {"driver": 5}])
def test_an_answer_of_another_shape_can_still_be_told(facts):
    verdict = judge({**cuda(), **facts}, Expectation("cuda"))
    said = torch_verdict.readable({**verdict, "target": "x"})
    assert said.startswith(f"{verdict['verdict'].upper()}  x: expected torch for cuda, found ")
