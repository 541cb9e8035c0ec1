"""The interpreter with a CUDA build of torch, and why nothing can be tried here."""

from __future__ import annotations

import os
import subprocess
import sys

from ansible.module_utils.rollout.io import gpu

PYTHON = os.environ.get("TORCH_PYTHON", sys.executable)


def missing() -> str:
    """Why nothing can be tried here; empty where it can."""
    if not gpu.LOADED.exists():
        return "no NVIDIA driver is loaded on this machine (/proc/driver/nvidia/version is absent)"
    said = subprocess.run([PYTHON, "-c", "import torch; print(torch.version.cuda)"], capture_output=True, text=True, check=False)
    if said.returncode or said.stdout.strip() == "None":
        return f"{PYTHON} has no CUDA build of torch: name one with TORCH_PYTHON"
    return ""


WHY = missing()
