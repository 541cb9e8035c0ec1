"""Every reason that a verdict on torch may have, and what the engine's own errors come to. Pure."""

from __future__ import annotations

import re
from typing import Optional

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"


# reason -> remedy, for each that may have the fault.
_IMAGE = {
    "torch_missing": "Deploy the image that holds torch: this is probably the backend's image on a worker.",
    "torch_present": "Deploy the image without torch: this is probably a worker's image on the backend.",
    "torch_is_cpu": "Build the image with a GPU build of torch (TORCH in Dockerfile.worker-gpu).",
    "torch_is_cuda": "Build the image for the hardware that is there: this torch is for NVIDIA cards.",
    "torch_is_rocm": "Build the image for the hardware that is there: this torch is for AMD cards.",
    "torch_too_old": "Build the image with a newer torch, or lower min_torch.",
    "cuda_too_old": "Build the image with a torch for a newer CUDA or ROCm, or lower min_cuda.",
    "import_failed": "Import torch by hand in the image and fix what it reports, then build it again.",
    "kernel_failed": "Torch cannot compute on what is there: build the image with a torch that supports it.",
    "arch_unsupported": "Build the image with a torch whose architecture list has this card.",
    "cudnn_mismatch": "Take the cuDNN out of the image that torch did not bring, and build it again.",
    "compat_library": "Take the CUDA compat libraries (/usr/local/cuda/compat) out of the image's library path.",
    "crashed": "Python died while torch was tried: run it by hand in the image; rebuild for this processor.",
    "no_python": "Name the interpreter's path: x-rollout <service>.torch.python, or option python.",
}
_HOST = {
    "wrong_result": "The device computes wrongly: test the card and its memory, and reboot the host.",
    "hang": "Look for Xid errors in the host's kernel log (dmesg), and reboot the host; "
    "if only its disk is slow, allow more time.",
    "no_driver": "Install the NVIDIA driver on the host, or load it (sudo modprobe nvidia): nvidia-smi must work.",
    "driver_mismatch": "The driver was upgraded and the old one is still loaded: reboot the host.",
    "driver_too_old": "Upgrade the host's NVIDIA driver, or deploy an image with a torch for an older CUDA.",
    "requirement_unmet": "Upgrade the host's NVIDIA driver, or deploy an image that asks for less.",
    "no_runtime": "Install the NVIDIA container toolkit on the host, run sudo nvidia-ctk runtime configure, and restart Docker.",
    "cdi_stale": "Write the CDI specification anew: sudo nvidia-ctk cdi generate --output=FILE, "
    "for the file that is named above.",
    "gpu_lost": "The container's access to its card was taken away (systemctl daemon-reload does): recreate it.",
    "gpu_off_bus": "The card fell off the bus: reboot the host, then look at its power supply and its heat.",
    "uvm_broken": "Load the module anew (sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm), or reboot the host.",
    "cuda_unavailable": "Check nvidia-smi on the host and the driver's version, then reboot the host.",
}
_STACK = {
    "no_device": "Give the service the GPU: the nvidia device reservation in its compose file, "
    "and no variable that hides the card.",
    "devices_missing": "Give the service the GPUs that it expects, or expect what it has.",
    "device_denied": "Let the service's user open the card's device nodes: group_add in the compose file.",
    "capability_missing": "Set NVIDIA_DRIVER_CAPABILITIES to compute,utility in the compose file.",
    "memory_too_small": "Give the service a card with more memory, or lower min_memory_mib.",
    "shm_too_small": "Raise shm_size of the service in its compose file (Docker's default is 64 MiB).",
    "killed": "Give the service more memory (mem_limit), or the host: the kernel killed Python.",
}
_BUSY = {
    "out_of_memory": "The card's memory is taken: stop what else uses it, then run again.",
    "gpu_busy": "Another process holds the card alone (compute mode): stop it, or set compute mode Default.",
    "card_full": "Too little memory is free on the card beside what uses it now; try again when it is.",
}
# reason -> verdict, fault, remedy. A closed list: docs/gpu.md has a section for each.
REASONS: dict[str, tuple[str, Optional[str], str]] = {
    "ok": (PASS, None, ""),
    **{reason: (FAIL, "image", remedy) for reason, remedy in _IMAGE.items()},
    **{reason: (FAIL, "host", remedy) for reason, remedy in _HOST.items()},
    **{reason: (FAIL, "stack", remedy) for reason, remedy in _STACK.items()},
    **{reason: (UNKNOWN, "stack", remedy) for reason, remedy in _BUSY.items()},
    "no_answer": (UNKNOWN, None, "Run the check again; if it stays, import torch by hand in the container."),
}


# Busy is not broken: what was proven before in the same container, or will be after the switch, need not be proven now.
BUSY = tuple(_BUSY)


# What the engine says where a container could not be started -> reason. The first that is found decides.
_ENGINE_ERRORS = (
    # The toolkit's own programs, before the container's.
    ('exec: "nvidia-c', "no_runtime"),
    ("executable file not found", "no_python"),
    ("unsatisfied condition", "requirement_unmet"),
    ("driver/library version mismatch", "driver_mismatch"),
    ("driver not loaded", "no_driver"),
    ("libnvidia-ml.so.1: cannot open", "no_driver"),
    ("could not select device driver", "no_runtime"),
    ("unknown or invalid runtime name", "no_runtime"),
    ("known gpu vendor", "no_runtime"),
    ("nvidia-container-runtime: no such file", "no_runtime"),
    ("nvidia-cdi-hook: no such file", "no_runtime"),
    ("unresolvable cdi devices", "cdi_stale"),
    ("failed to fulfil mount request", "cdi_stale"),
    ("unknown device id", "devices_missing"),
    ("nvml error: unknown error", "cuda_unavailable"),
    ("initialize nvml: unknown error", "cuda_unavailable"),
    ("gpu is lost", "gpu_off_bus"),
)


def engine_error(error: str) -> tuple[str, str]:
    """Reason and text of what the engine said."""
    lowered = error.lower()
    for text, reason in _ENGINE_ERRORS:
        if text in lowered:
            return reason, error
    if re.search(r'exec: "[^"]+": |(?<!fork/)exec /\S+: no such file', lowered):
        return "no_python", error
    return "no_answer", error or "no answer"
