"""The torch probe. It runs INSIDE a container, under the container's own Python (3.8 or later).

Self-contained: this file's text is fed to `python -` on standard input. The parent process starts a child with a
hard time limit, so that a hang, a crash or a flood on stdout still ends in one JSON document on the parent's stdout.
The child writes its document to a pipe of its own: what torch prints does not disturb it.
"""

from __future__ import annotations

import json
import os
import sys
import time

LIMIT_S = 60.0
_CHILD = "--rollout-probe-child"


def runtime():
    # type: () -> dict
    """What the container looks like, without torch."""
    import glob
    import platform

    try:
        shm = os.statvfs("/dev/shm")
        shm_bytes = shm.f_frsize * shm.f_blocks
    except OSError:
        shm_bytes = None
    names = ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA", "CUDA_VISIBLE_DEVICES")
    return {
        "uid": os.getuid(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "shm_bytes": shm_bytes,
        "device_nodes": sorted(glob.glob("/dev/nvidia*") + glob.glob("/dev/kfd")),
        "environment": {name: os.environ[name] for name in names if name in os.environ},
    }


def matmul(torch, device):
    """A matrix product on the device against the CPU's; the largest difference (inputs are in [0, 1), 64 terms)."""
    generator = torch.Generator().manual_seed(20)
    a = torch.rand(64, 64, generator=generator)
    b = torch.rand(64, 64, generator=generator)
    got = (a.to(device) @ b.to(device)).to("cpu").double()
    want = a.double() @ b.double()
    return float((got - want).abs().max())


def device_facts(torch, index):
    """One CUDA device: what it is, and whether a kernel really ran on it."""
    properties = torch.cuda.get_device_properties(index)
    fact = {
        "uuid": str(getattr(properties, "uuid", "")) or None,
        "name": properties.name,
        "capability": "%d.%d" % (properties.major, properties.minor),
        "memory_total_mib": properties.total_memory // 2**20,
        "memory_free_mib": None,
        "kernel_ok": False,
        "max_abs_err": None,
        "error": None,
    }
    try:
        fact["memory_free_mib"] = torch.cuda.mem_get_info(index)[0] // 2**20
        fact["max_abs_err"] = matmul(torch, "cuda:%d" % index)
        image = torch.ones(1, 1, 8, 8, device="cuda:%d" % index)
        torch.nn.functional.conv2d(image, torch.ones(1, 1, 3, 3, device="cuda:%d" % index))
        torch.cuda.synchronize(index)
        fact["kernel_ok"] = True
    except Exception as error:
        fact["error"] = "%s: %s" % (type(error).__name__, str(error)[:500])
    return fact


def child(out):
    """Import torch and try it; write one JSON document to the file descriptor ``out``."""
    import importlib.util
    import warnings

    document = {"torch": None, "devices": [], "cpu": None, "warnings": [], "import_error": None, "cuda_error": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if importlib.util.find_spec("torch") is not None:
            try:
                import torch

                document["torch"] = {
                    "version": str(torch.__version__),
                    "cuda": torch.version.cuda,
                    "hip": getattr(torch.version, "hip", None),
                    "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
                    "arch_list": torch.cuda.get_arch_list() if torch.version.cuda else [],
                }
            except BaseException as error:
                document["import_error"] = "%s: %s" % (type(error).__name__, str(error)[:500])
            else:
                try:
                    document["cpu"] = {"kernel_ok": True, "max_abs_err": matmul(torch, "cpu")}
                except Exception as error:
                    document["cpu"] = {"kernel_ok": False, "error": "%s: %s" % (type(error).__name__, str(error)[:500])}
                if torch.version.cuda or getattr(torch.version, "hip", None):
                    try:
                        torch.cuda.init()
                        document["devices"] = [device_facts(torch, i) for i in range(torch.cuda.device_count())]
                    except Exception as error:
                        document["cuda_error"] = "%s: %s" % (type(error).__name__, str(error)[:500])
    document["warnings"] = [str(w.message)[:300] for w in caught][:20]
    with os.fdopen(out, "w") as pipe:
        json.dump(document, pipe)


def parent(source):
    """Run the child under the time limit and print the whole document."""
    import select
    import signal
    import subprocess

    began = time.monotonic()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", source, _CHILD, str(writer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    chunks = []
    errors = b""
    open_fds = [reader, process.stderr.fileno()]
    timed_out = False
    while open_fds and not timed_out:
        ready = select.select(open_fds, [], [], max(0.0, began + LIMIT_S - time.monotonic()))[0]
        timed_out = not ready
        for fd in ready:
            data = os.read(fd, 65536)
            if not data:
                open_fds.remove(fd)
            elif fd == reader:
                chunks.append(data)
            else:
                errors = (errors + data)[-2000:]
    if not timed_out:
        try:
            process.wait(max(0.1, began + LIMIT_S - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    code = process.wait()
    answered = True
    try:
        document = json.loads(b"".join(chunks).decode())
    except ValueError:
        # Half a document is no answer: without torch in it, it would look like an image without torch.
        answered = False
        document = {"torch": None, "devices": [], "cpu": None, "warnings": []}
    document["runtime"] = runtime()
    document["child"] = {
        "timed_out": timed_out,
        "exit_status": code,
        "answered": answered,
        "stderr": errors.decode("utf-8", "replace"),
    }
    document["duration_ms"] = int((time.monotonic() - began) * 1000)
    sys.stdout.write("\nROLLOUT-PROBE " + json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__" and len(sys.argv) > 2 and sys.argv[1] == _CHILD:
    child(int(sys.argv[2]))
elif __name__ == "__main__" and "ROLLOUT_SOURCE" in globals():
    parent(globals()["ROLLOUT_SOURCE"])
