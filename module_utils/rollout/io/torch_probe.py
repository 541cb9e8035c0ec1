"""The torch probe. It runs INSIDE a container, under the container's own Python (3.8 or later).

Self-contained: this file's text is fed to `python -` on standard input. The parent process starts a child with a
hard time limit, so that a hang, a crash or a flood on stdout still ends in one JSON document on the parent's stdout.
The child writes what it finds, step by step, to a pipe of its own: what torch prints does not disturb it, and where it
hangs or dies, what it was doing is known. Nothing is written to the container's disk.
"""

import sys

# A json.py in the working directory must not stand in for the library's.
_PATH = list(sys.path)
# Nor may this process leave .pyc files behind; whoever imports this may.
sys.dont_write_bytecode = sys.dont_write_bytecode or __name__ == "__main__"
sys.path[:] = [p for p in sys.path if p]

import json
import os
import time

LIMIT_S = 60.0
_CHILD = "--rollout-probe-child"
_NAMES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def runtime():
    """What the container looks like, without torch."""
    import glob
    import platform

    try:
        shm = os.statvfs("/dev/shm")  # nosec B108 # its size is read
        shm_bytes = shm.f_frsize * shm.f_blocks
    except OSError:
        shm_bytes = None
    nodes = []
    for pattern in ("/dev/nvidia*", "/dev/nvhost-ctrl-gpu", "/dev/dxg", "/dev/kfd"):
        nodes += [node for node in glob.glob(pattern) if not os.path.isdir(node)]
    return {
        "uid": os.getuid(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "shm_bytes": shm_bytes,
        "device_nodes": sorted(nodes),
        "environment": {k: v for k, v in os.environ.items() if k in _NAMES or k.startswith("NVIDIA_")},
    }


def opened(node):
    """What opening a device node says: empty, or the error's name."""
    import errno

    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return ""


def driver():
    """The driver's library as the dynamic linker finds it here, and what its cuInit says (0 is success)."""
    import ctypes

    fact = {"libcuda_path": None, "cuinit": None, "cuda_api": None, "error": None}
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        fact["error"] = str(error)[:300]
        return fact
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "libcuda.so" in line:
                fact["libcuda_path"] = os.path.realpath(line.split()[-1])
                break
    version = ctypes.c_int(0)
    if library.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
        fact["cuda_api"] = "%d.%d" % (version.value // 1000, version.value % 1000 // 10)
    fact["cuinit"] = library.cuInit(0)
    return fact


def told(error):
    """An exception in one line."""
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:500])


def compute(torch, device):
    """A matrix product and a convolution on a device against the CPU's, synchronised and freed.

    Returns:
        kernel_ok, max_abs_err (inputs are in [0, 1), 64 and 9 terms), error, conv_error.
    """
    fact = {"kernel_ok": False, "max_abs_err": None, "error": None, "conv_error": None}
    generator = torch.Generator().manual_seed(20)
    a, b = torch.rand(64, 64, generator=generator), torch.rand(64, 64, generator=generator)
    image, weight = torch.rand(1, 1, 8, 8, generator=generator), torch.rand(1, 1, 3, 3, generator=generator)

    def difference(got, want):
        return float((got.to("cpu").double() - want).abs().max())

    try:
        worst = difference(a.to(device) @ b.to(device), a.double() @ b.double())
    except Exception as error:
        fact["error"] = told(error)
        return fact
    try:
        conv2d = torch.nn.functional.conv2d
        other = difference(conv2d(image.to(device), weight.to(device)), conv2d(image.double(), weight.double()))
        if device != "cpu":
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
    except Exception as error:
        fact["conv_error"] = told(error)
        return fact
    # NaN is greater than nothing: max() alone would lose it.
    fact["max_abs_err"] = max(worst, other, key=lambda e: (e != e, e))
    fact["kernel_ok"] = True
    return fact


def device_facts(torch, index):
    """One device: what it is, and whether a kernel really ran on it."""
    properties = torch.cuda.get_device_properties(index)
    fact = {
        "uuid": str(getattr(properties, "uuid", "")) or None,
        "name": properties.name,
        "capability": "%d.%d" % (properties.major, properties.minor),
        "memory_total_mib": properties.total_memory // 2**20,
        "memory_free_mib": None,
    }
    try:
        fact["memory_free_mib"] = torch.cuda.mem_get_info(index)[0] // 2**20
    except Exception as error:
        fact.update({"kernel_ok": False, "max_abs_err": None, "error": told(error), "conv_error": None})
        return fact
    fact.update(compute(torch, "cuda:%d" % index))
    return fact


def child(out):
    """Import torch and try it; write what is found, one JSON object a line, to the file descriptor ``out``."""
    import glob
    import importlib.util
    import warnings

    pipe = os.fdopen(out, "w")
    # What torch itself writes to the pipe does not begin with it.
    token = sys.stdin.readline().strip()
    took = {}

    def tell(**facts):
        pipe.write("\n" + token + json.dumps(facts) + "\n")
        pipe.flush()

    def step(name):
        tell(stage=name)
        took[name] = -time.monotonic()

    def done(name, **facts):
        took[name] = int((took[name] + time.monotonic()) * 1000)
        tell(**facts)

    def cuda(torch):
        step("devices")
        nodes = {node: opened(node) for node in sorted(glob.glob("/dev/nvidia*")) if not os.path.isdir(node)}
        done("devices", node_errors={node: error for node, error in nodes.items() if error})
        if torch.version.cuda:
            step("cuInit")
            done("cuInit", driver=driver())
        step("CUDA start")
        try:
            torch.cuda.init()
            count = torch.cuda.device_count()
        except Exception as error:
            done("CUDA start", cuda_error=told(error))
            return
        done("CUDA start")
        devices = []
        for index in range(count):
            step("device %d" % index)
            try:
                devices.append(device_facts(torch, index))
            except Exception as error:
                done("device %d" % index, cuda_error=told(error))
                return
            done("device %d" % index, devices=devices)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sys.path[:] = _PATH
        step("find torch")
        try:
            there = importlib.util.find_spec("torch") is not None
        except ValueError:
            there = True
        done("find torch")
        if there:
            step("import torch")
            try:
                import torch

                facts = {
                    "version": str(torch.__version__),
                    "cuda": torch.version.cuda,
                    "hip": getattr(torch.version, "hip", None),
                    "cudnn": None,
                    "arch_list": [],
                }
            except BaseException as error:
                done("import torch", import_error=told(error))
            else:
                done("import torch", torch=facts)
                step("CPU")
                try:
                    done("CPU", cpu=compute(torch, "cpu"))
                except Exception as error:
                    done("CPU", cpu={"kernel_ok": False, "max_abs_err": None, "error": told(error), "conv_error": None})
                if facts["cuda"] or facts["hip"]:
                    facts["arch_list"] = [str(arch) for arch in torch.cuda.get_arch_list()]
                    tell(torch=facts)
                    step("cuDNN")
                    try:
                        facts["cudnn"] = torch.backends.cudnn.version()
                        done("cuDNN", torch=facts)
                    except Exception as error:
                        done("cuDNN", cudnn_error=told(error))
                    cuda(torch)
    # An image without NumPy is a sound one.
    texts = [str(w.message)[:300] for w in caught if "initialize NumPy" not in str(w.message)]
    tell(warnings=texts[:20], ms=took, done=True)
    pipe.close()


def adopt():
    """Become the parent of what torch leaves behind, in whatever session, so that `sweep` finds it."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    except Exception:  # nosec B110 # another kernel
        pass


def sweep():
    """End every process that torch left behind."""
    import signal

    until = time.monotonic() + 2  # one in the kernel, where no signal reaches it, is not waited for
    while time.monotonic() < until:  # the killed ones' children come to this process in turn
        found = []
        try:
            names = os.listdir("/proc")
        except OSError:
            return
        for pid in [name for name in names if name.isdigit()]:
            try:
                with open("/proc/%s/stat" % pid) as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                        found.append(int(pid))
            except (OSError, ValueError, IndexError):
                pass
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass
        time.sleep(0.005)


def parent(source):
    """Run the child under the time limit and print the whole document."""
    import select
    import signal
    import subprocess
    import threading

    adopt()
    token = os.urandom(16).hex()
    began = time.monotonic()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        # -B: importing torch as root must not leave .pyc files behind.
        [sys.executable or "/proc/self/exe", "-B", "-c", source, _CHILD, str(writer)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    try:
        process.stdin.write((token + "\n").encode())
        process.stdin.close()
    except OSError:
        pass
    # Not the end of the pipes: a process that torch started may hold them open.
    ended, ending = os.pipe()
    threading.Thread(target=lambda: (process.wait(), os.close(ending)), daemon=True).start()
    found = b""
    errors = b""
    open_fds = [reader, process.stderr.fileno()]
    over = False
    while open_fds:
        left = began + LIMIT_S - time.monotonic()
        ready = select.select(open_fds if over else open_fds + [ended], [], [], 0.0 if over else max(0.0, left))[0]
        over = over or ended in ready
        # Once it has ended, all that it wrote lies in the pipes. A flood keeps them ready.
        if left < 0 or not ready:
            break
        for fd in ready:
            data = os.read(fd, 65536) if fd != ended else b"-"
            if not data:
                open_fds.remove(fd)
            elif fd == reader:
                found = (found + data)[:4000000]
            elif fd != ended:
                errors = (errors + data)[-2000:]
    try:
        process.wait(max(0.1, began + LIMIT_S - time.monotonic()))
        timed_out = False
    except subprocess.TimeoutExpired:
        timed_out = True
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        # In the kernel, where no signal reaches it: a driver that hangs.
        code = None
    sweep()
    document = {"torch": None, "devices": [], "cpu": None, "warnings": [], "stage": "start"}
    for line in found.decode("utf-8", "replace").splitlines():
        if not line.startswith(token):
            continue
        try:
            facts = json.loads(line[len(token) :])
        except ValueError:
            continue
        if isinstance(facts, dict):
            document.update(facts)
    document["runtime"] = runtime()
    document["child"] = {
        "timed_out": timed_out,
        "exit_status": code,
        # Half a document is no answer: without torch in it, it would look like an image without torch.
        "answered": document.pop("done", False) is True,
        "stderr": errors.decode("utf-8", "replace"),
    }
    document["duration_ms"] = int((time.monotonic() - began) * 1000)
    sys.stdout.write("\nROLLOUT-PROBE " + json.dumps(document) + "\n")
    sys.stdout.flush()
    # At once: no hook of the image's Python has the last word, and no thread is waited for.
    os._exit(0)


if __name__ == "__main__" and len(sys.argv) > 2 and sys.argv[1] == _CHILD:
    child(int(sys.argv[2]))
elif __name__ == "__main__" and "ROLLOUT_SOURCE" in globals():
    parent(globals()["ROLLOUT_SOURCE"])
sys.path[:] = _PATH
