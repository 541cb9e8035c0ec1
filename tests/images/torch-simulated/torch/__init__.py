"""A torch that computes nothing: it imitates the failures that SIMULATED_TORCH names, traits joined by dots. For tests.

Without a trait it is a CPU build that is right. What it claims falsely, no probe may believe.
"""

import atexit
import errno
import json
import os
import signal
from types import SimpleNamespace as Namespace

from forged import CLAIMS, FORGED

TRAITS = [trait for trait in os.environ.get("SIMULATED_TORCH", "").split(".") if trait]
GPU = "cuda" in TRAITS or "rocm" in TRAITS
# Where this file is, the container has lost its card, as systemctl daemon-reload takes it away.
LOST = "/simulated-card-lost"


def fail(error):
    raise error


def hang(*ignored):
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def everywhere(text):
    """Write into each file descriptor that this process inherited."""
    for number in range(3, 64):
        try:
            os.write(number, text.encode())
        except OSError:
            pass


def shout():
    """Claim success wherever a program prints: standard output, its descriptor, at the end, and the probe's own output."""
    atexit.register(os.write, 1, FORGED.encode())
    print(FORGED)
    os.write(1, FORGED.encode())
    for process in (os.getppid(), 1):
        try:
            with open(f"/proc/{process}/fd/1", "w") as out:
                out.write(FORGED)
        except OSError:
            pass


def flood():
    for _ in range(2000):
        os.write(1, b"o" * 10000)
        os.write(2, b"e" * 10000)


def lose():
    """Be without a card from the next import on."""
    with open(LOST, "w"):
        pass


def denied(path, *arguments, real=os.open, **options):
    """Open a file, unless it is a node of the lost card."""
    if str(path).startswith("/dev/nvidia"):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
    return real(path, *arguments, **options)


def grandchild(leave):
    """Leave a process behind that holds what it inherited, in a session of its own where ``leave``."""
    if not os.fork():
        if leave:
            os.setsid()
        hang()


# What happens when it is imported, in the order of the traits.
IMPORT = {
    "hang": hang,
    "deaf": lambda: hang(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(0),
    "broken": lambda: fail(ImportError("libgomp.so.1: cannot open shared object file")),
    "system-exit": lambda: fail(SystemExit(0)),
    "interrupt": lambda: fail(KeyboardInterrupt()),
    "shout": shout,
    "claim": lambda: everywhere("\n" + json.dumps(CLAIMS["right"]) + "\n"),
    "claim-absent": lambda: everywhere("\n" + json.dumps(CLAIMS["absent"]) + "\n"),
    "garbage": lambda: everywhere(
        '\n{"torch": 5, "cpu": [1], "devices": {"a": 1}, "child": "x", "ms": "y", "warnings": 7}\n\xff{'
    ),
    "unfinished": lambda: everywhere('{"torch": '),
    "flood": flood,
    "flood-all": lambda: [everywhere("x" * 60000 + "\n") for _ in range(200)],
    "child": lambda: grandchild(False),
    "daemon": lambda: grandchild(True),
}
# What happens when it computes on its device.
KERNEL = {
    "stuck": hang,
    "stuck-deaf": lambda: hang(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    "dies": lambda: os.kill(os.getpid(), signal.SIGILL),
    "fades": lose,
    "quits": lambda: fail(SystemExit(0)),
    "old-arch": lambda: fail(RuntimeError("CUDA error: no kernel image is available for execution on the device")),
    "kernel": lambda: fail(RuntimeError("CUDA error: an illegal memory access was encountered")),
    "memory": lambda: fail(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "busy": lambda: fail(RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable")),
}
WRONG = {"wrong": 1.0, "nan": float("nan"), "infinite": float("-inf")}
# cuda and rocm are builds; none and blind are GPU builds without a device; late is for sitecustomize.
for trait in TRAITS:
    if trait not in {*IMPORT, *KERNEL, *WRONG, "cuda", "rocm", "none", "blind", "late"}:
        raise ValueError(f"SIMULATED_TORCH: there is no trait {trait}")


class Tensor:
    """It knows where it is and by how much it is off."""

    def __init__(self, device="cpu", exact=False, off=0.0):
        self.device, self.exact, self.off = device, exact, off

    def to(self, device):
        return Tensor(device, self.exact, self.off)

    def double(self):
        return Tensor(self.device, True, self.off)

    def __matmul__(self, other):
        if self.exact or (self.device != "cpu") != GPU:
            return Tensor(self.device)
        for trait in TRAITS:
            KERNEL.get(trait, bool)()
        return Tensor(self.device, off=sum(WRONG.get(trait, 0.0) for trait in TRAITS))

    def __sub__(self, other):
        return Tensor(off=self.off - other.off)

    def abs(self):
        return Tensor(off=abs(self.off))

    def max(self):
        return self

    def __float__(self):
        return self.off


class Generator:
    def manual_seed(self, seed):
        return self


def rand(*shape, generator=None):
    return Tensor()


for trait in TRAITS:
    IMPORT.get(trait, bool)()
if os.path.exists(LOST):
    os.open = denied
    TRAITS.append("blind")

__version__ = "2.13.0+simulated"
version = Namespace(cuda="13.0" if "cuda" in TRAITS else None, hip="7.1" if "rocm" in TRAITS else None)
nn = Namespace(functional=Namespace(conv2d=Tensor.__matmul__))
backends = Namespace(cudnn=Namespace(version=lambda: 91300))
cuda = Namespace(
    init=lambda: fail(RuntimeError("No CUDA GPUs are available")) if "blind" in TRAITS else None,
    device_count=lambda: int("none" not in TRAITS),
    get_arch_list=lambda: ["sm_90", "sm_100"] if "old-arch" in TRAITS else ["sm_80", "sm_86", "sm_90"],
    get_device_properties=lambda index: Namespace(
        uuid="0a1b2c3d-0000-0000-0000-00000000000" + str(index),
        name="Simulated card",
        major=8,
        minor=6,
        total_memory=24 * 2**30,
    ),
    mem_get_info=lambda index: (20 * 2**30, 24 * 2**30),
    synchronize=lambda device: None,
    empty_cache=lambda: None,
)
