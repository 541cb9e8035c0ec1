"""Torch, for workers: is it there, on which device, and noise that a resumed operation draws again."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# No image has NumPy, on purpose; torch would say so at every start.
warnings.filterwarnings("ignore", "Failed to initialize NumPy")


class DeviceError(Exception):
    """Why this worker cannot compute although torch is installed."""


def validate_ml_dependencies() -> None:
    """Validate that ML dependencies are available.

    Workers require torch for model loading/inference.
    If torch is missing, the container was likely deployed
    with the wrong image (backend instead of worker).

    Raises:
        RuntimeError: If torch is not available.
    """
    try:
        import torch  # noqa: F401
    except ImportError as e:
        raise RuntimeError(
            "Worker requires ML dependencies but torch is not installed. "
            "This usually means the wrong Docker image was deployed. "
            "Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', "
            "not 'ktrdr-backend'. "
            f"Original error: {e}"
        ) from e


def torch_version() -> str:
    """The version of the installed torch with its build, such as 2.13.0+cpu."""
    import torch

    return str(torch.__version__)


def pick_device(wish: str) -> torch.device:
    """The device for `wish` (auto, cpu, cuda), proved by a product computed on it.

    Raises DeviceError where it does not compute. `auto` then does not fall back to the CPU: a card that is
    there and broken is to be seen.
    """
    import torch

    # One thread: a sum in another order is another result.
    torch.set_num_threads(1)
    available = torch.cuda.is_available()
    if wish == "cuda" and not available:
        raise DeviceError(f"device cuda is asked for, but torch {torch_version()} sees no usable CUDA device")
    device = torch.device("cuda" if wish != "cpu" and available else "cpu")
    try:
        ones = torch.ones(8, 8, device=device)
        right = bool((ones @ ones == 8).all())
    except RuntimeError as error:
        raise DeviceError(f"device {device} does not compute: {error}") from error
    if not right:
        raise DeviceError(f"device {device} computes wrong results")
    return device


def noise(seed: int, step: int, *shape: int) -> torch.Tensor:
    """Standard normal float64 numbers that depend on `seed` and `step` alone, on the CPU.

    Drawn anew for each step, so that a checkpoint needs no generator's state and every device sees the same.
    """
    import torch

    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
