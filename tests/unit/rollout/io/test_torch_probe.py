"""The probe, run as it runs in a container: fed to an interpreter on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.torch.verdict import read_probe
from ansible.module_utils.rollout.io import torch_check
from interpreter import bare_python

# Just enough of torch for the CPU check.
TORCH = """
class version:
    cuda = None
    hip = None
__version__ = "9.9+fake"
class Generator:
    def manual_seed(self, seed):
        return self
class Tensor:
    def __init__(self, value=0.0):
        self.value = value
    def to(self, device):
        if device.startswith("cuda") and not hasattr(version, "works"):
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
        return self
    def __matmul__(self, other): return self
    def __sub__(self, other): return self
    def double(self): return self
    def abs(self): return self
    def max(self): return self.value
def rand(*shape, generator=None): return Tensor()
class nn:
    class functional:
        conv2d = staticmethod(lambda image, kernel: image)
"""
CUDA = (
    TORCH
    + """
version.cuda = "12.4"
class backends:
    class cudnn:
        version = staticmethod(lambda: 90100)
class Properties:
    name, major, minor, total_memory, uuid = "Fake", 9, 0, 2**30, "u-1"
class cuda:
    init = staticmethod(lambda: None)
    get_arch_list = staticmethod(lambda: ["sm_90"])
    device_count = staticmethod(lambda: 1)
    get_device_properties = staticmethod(lambda index: Properties)
    mem_get_info = staticmethod(lambda index: (2**29, 2**30))
    synchronize = staticmethod(lambda index: None)
    empty_cache = staticmethod(lambda: None)
"""
)


def judge(document, flavour):
    return torch_verdict.judge(document, Expectation(flavour))


def run(tmp_path, torch, limit_s=20.0):
    if torch is not None:
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text(torch)
    done = subprocess.run(
        [bare_python(), "-"],
        input=torch_check.probe_source(limit_s),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        timeout=60,
        check=True,
    )
    document = read_probe(done.stdout)
    assert document is not None, done.stdout + done.stderr
    return document


def test_no_torch_is_found_out(tmp_path):
    document = run(tmp_path, None)
    assert judge(document, "absent")["verdict"] == "pass"
    assert judge(document, "cpu")["reason"] == "torch_missing"
    assert document["runtime"]["python"] == ".".join(str(n) for n in sys.version_info[:3])


@pytest.mark.parametrize(
    ("torch", "expected", "reason", "observed"),
    [
        (TORCH, "cpu", "ok", "torch 9.9+fake (cpu)"),
        (TORCH, "cuda", "torch_is_cpu", "(cpu)"),
        (TORCH, "absent", "torch_present", "torch 9.9+fake"),
        ("import os\nos.abort()", "cpu", "crashed", "exit status -6"),
        ("import os\nos.abort()", "absent", "crashed", "exit status -6"),
        ("import os\nos._exit(0)", "cpu", "crashed", "exit status 0"),
        ("import sys\nsys.exit('no')", "cpu", "import_failed", "SystemExit: no"),
        (
            "raise OSError('libcublas.so.12: cannot open shared object file')",
            "cpu",
            "import_failed",
            "OSError: libcublas",
        ),
        ("raise OSError('x')", "absent", "torch_present", "torch, broken"),
        ("print('x' * 10**7)\nimport sys\nsys.stderr.write('y' * 10**6)\n" + TORCH, "cpu", "ok", "9.9"),
        ("print('ROLLOUT-PROBE {\"torch\": null}')\n" + TORCH, "cpu", "ok", "9.9"),
        ("import warnings\nwarnings.warn('old driver')\n" + TORCH, "cpu", "ok", "9.9"),
        # A document that breaks off is no answer, least of all "no torch".
        (
            "import os\nfor fd in range(3, 20):\n  try: os.write(fd, b'{\"torch\": nu')\n  except OSError: pass\nos.abort()",
            "absent",
            "crashed",
            "exit status -6",
        ),
        (TORCH.replace("return self.value", "return 4.0"), "cpu", "wrong_result", "off by 4.0"),
        (
            TORCH.replace("return self.value", "raise RuntimeError('illegal instruction')"),
            "cpu",
            "kernel_failed",
            "illegal",
        ),
        (CUDA + "version.works = 1", "cuda", "ok", "torch 9.9+fake (cuda) on Fake"),
        (CUDA, "cuda", "kernel_failed", "no kernel image"),
        (CUDA.replace("sm_90", "sm_100"), "cuda", "arch_unsupported", "Fake is 9.0, torch is built for sm_100"),
        (CUDA + "cuda.device_count = staticmethod(lambda: 0)", "cuda", "no_device", "no device"),
        (
            CUDA + "def init(): raise RuntimeError('No CUDA GPUs are available')\ncuda.init = init",
            "cuda",
            "no_device",
            "No CUDA GPUs",
        ),
    ],
)
def test_fake_torch(tmp_path, torch, expected, reason, observed):
    document = run(tmp_path, torch)
    if reason == "no_device":
        document["runtime"]["device_nodes"] = []  # this machine may have a card
    verdict = judge(document, expected)
    assert verdict["reason"] == reason
    assert observed in verdict["observed"]


def test_warnings_are_kept(tmp_path):
    assert run(tmp_path, "import warnings\nwarnings.warn('old driver')\n" + TORCH)["warnings"] == ["old driver"]


@pytest.mark.parametrize("where", ["at import", "at exit", "deaf"])
def test_a_hang_ends_at_the_limit(tmp_path, where):
    torch = {
        "at import": "import time\ntime.sleep(60)",
        "at exit": TORCH + "import atexit, time\natexit.register(time.sleep, 60)",
        "deaf": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
    }[where]
    began = time.monotonic()
    document = run(tmp_path, torch, 0.4)
    assert time.monotonic() - began < 5
    assert judge(document, "cpu")["reason"] == judge(document, "absent")["reason"] == "hang"


@pytest.mark.parametrize(
    ("torch", "stage"),
    [
        ("import os\nos.abort()", "import torch"),
        (TORCH.replace("return self.value", "import os; os.abort()"), "CPU"),
        (CUDA + "version.works = 1\ndef init():\n  import os\n  os.abort()\ncuda.init = init", "CUDA start"),
        (CUDA + "version.works = 1\ndef dies(index):\n  import os\n  os.abort()\ncuda.get_device_properties = dies", "device 0"),
    ],
)
def test_where_it_died_is_known(tmp_path, torch, stage):
    document = run(tmp_path, torch)
    assert document["stage"] == stage
    assert f"exit status -6 ({stage})" in judge(document, "cuda")["observed"]


def test_it_leaves_nothing_behind(tmp_path):
    run(tmp_path, CUDA)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["torch", "torch/__init__.py"]


def test_not_a_number_is_a_wrong_result(tmp_path):
    document = run(tmp_path, TORCH.replace("return self.value", "return float('nan')"))
    assert judge(document, "cpu")["reason"] == "wrong_result"


def test_the_probe_is_old_python(root):
    import ast

    ast.parse((root / "module_utils/rollout/io/torch_probe.py").read_text(), feature_version=(3, 8))


FORGE = """
import json, os
for number in range(3, 64):
    try:
        os.write(number, ("\\n" + json.dumps(CLAIM) + "\\n").encode())
    except OSError:
        pass
"""
CLAIMS = {
    "cpu": {"torch": {"version": "9"}, "cpu": {"kernel_ok": True, "max_abs_err": 0.0}, "done": True},
    "absent": {"torch": None, "done": True},
}


@pytest.mark.parametrize("flavour", CLAIMS)
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 11)"])
def test_what_torch_writes_into_the_probes_own_pipe_is_no_answer(tmp_path, flavour, end):
    document = run(tmp_path, FORGE.replace("CLAIM", repr(CLAIMS[flavour])) + end)
    assert judge(document, flavour)["reason"] == "crashed"


def test_a_process_that_torch_leaves_behind_is_ended_and_not_waited_for(tmp_path):
    left = f"{tmp_path}/left"
    daemon = (
        "import os, signal\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        f"    open({left!r}, 'w').write(str(os.getpid()))\n"
        "    signal.pause()\n"
        f"while not os.path.exists({left!r}) or not open({left!r}).read():\n"
        "    pass\n"
    )
    document = run(tmp_path, daemon + TORCH, limit_s=50.0)
    assert judge(document, "cpu")["reason"] == "ok"
    assert document["duration_ms"] < 30000
    with open(left) as file, pytest.raises(ProcessLookupError):
        os.kill(int(file.read()), 0)


def test_the_images_own_hooks_have_not_the_last_word(tmp_path):
    forged = "ROLLOUT-PROBE " + json.dumps({"torch": None, "child": {"answered": True}, "runtime": {}})
    (tmp_path / "sitecustomize.py").write_text(f"import atexit\natexit.register(print, {forged!r})\n")
    done = subprocess.run(
        [bare_python(), "-"],
        input=torch_check.probe_source(20.0),
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        timeout=60,
    )
    assert "runtime" in read_probe(done.stdout)
    assert read_probe(done.stdout)["runtime"] != {}


def test_nothing_is_left_on_the_disk(tmp_path):
    run(tmp_path, TORCH)
    assert [p.name for p in tmp_path.rglob("*")] == ["torch", "__init__.py"]
