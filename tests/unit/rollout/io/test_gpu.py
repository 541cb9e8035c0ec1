from __future__ import annotations

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import gpu
from fake_engine import FakeEngine

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@host)  Sun Jul 27\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12.2.0\n"
CARDS = "nvidia-smi --query-gpu=index,uuid,name,compute_cap,memory.total,memory.free,driver_version --format=csv,noheader,nounits"
APPS = "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv,noheader,nounits"
XID = "[12.3] NVRM: Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus.\n[12.4] other\n"


class Engine(FakeEngine):
    runtimes = "io.containerd.runc.v2 nvidia runc "

    def run(self, arguments, stdin="", timeout=None, extra=None):
        self.calls.append(" ".join(arguments))
        if arguments[0] == "info":
            return (0, self.runtimes, "") if self.runtimes else (1, "", "no daemon")
        return 0, "/gpu-worker\n", ""


@pytest.fixture
def said(monkeypatch, tmp_path):
    """What each command prints on this host; one that is not here prints nothing."""
    given = {}
    monkeypatch.setattr(gpu, "_said", lambda command: given.get(" ".join(command), ""))
    monkeypatch.setattr(gpu, "LOADED", tmp_path / "version")
    monkeypatch.setattr(gpu, "CDI", (tmp_path / "cdi", tmp_path / "none"))
    monkeypatch.setattr(gpu, "DEVICES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    return given


def test_a_host_without_nvidia(said):
    assert gpu.facts(Engine()) == {
        "driver": {"loaded": None, "installed": None, "cuda": None},
        "cards": [],
        "xids": [],
        "runtimes": ["io.containerd.runc.v2", "nvidia", "runc"],
        "hook": False,
        "cdi": [],
        "cdi_missing": [],
        "nodes": [],
    }


def test_a_host_with_a_card(said, tmp_path):
    (tmp_path / "version").write_text(CLOSED)
    library = tmp_path / "libnvidia-ml.so.535.183.01"
    library.write_text("")
    (tmp_path / "libnvidia-ml.so.1").symlink_to(library)
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / "dev" / name).write_text("")
    (tmp_path / "cdi").mkdir()
    gone = tmp_path / "libcuda.so.520.1"
    (tmp_path / "cdi" / "nvidia.yaml").write_text(f"kind: nvidia.com/gpu\n  - hostPath: {gone}\n    containerPath: /x\n")
    (tmp_path / "cdi" / "other.yaml").write_text("kind: vendor.example/net\n")
    said["ldconfig -p"] = f"\tlibnvidia-ml.so.1 (libc6,x86-64) => {tmp_path}/libnvidia-ml.so.1\n"
    said["dmesg"] = XID
    said[CARDS] = "0, GPU-1, NVIDIA GeForce RTX 3090, 8.6, 24576, 23000, 535.183.01\n"
    found = gpu.facts(Engine())
    assert found["driver"] == {"loaded": "535.183.01", "installed": "535.183.01", "cuda": "12.2"}
    assert found["cards"] == [
        {
            "index": "0",
            "uuid": "GPU-1",
            "name": "NVIDIA GeForce RTX 3090",
            "capability": "8.6",
            "memory_total_mib": 24576,
            "memory_free_mib": 23000,
            "driver": "535.183.01",
        }
    ]
    assert found["xids"] == [{"code": 79, "text": "Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus."}]
    assert found["cdi"] == [str(tmp_path / "cdi" / "nvidia.yaml")]
    assert found["cdi_missing"] == [str(gone)]
    assert found["nodes"] == ["/dev/nvidia0"]


def test_the_open_module_and_a_module_upgraded_on_disk(said, tmp_path):
    (tmp_path / "version").write_text(OPEN)
    said["modinfo --field version nvidia"] = "590.44.01\n"
    assert gpu.facts(Engine())["driver"] == {"loaded": "580.65.06", "installed": "590.44.01", "cuda": "13.0"}


def test_without_the_kernel_file_nvidia_smi_tells_the_driver(said):
    said[CARDS] = "0, GPU-1, Card, [N/A], [N/A], 1, 550.1\nan error\n"
    found = gpu.facts(Engine())
    assert found["driver"]["loaded"] == "550.1"
    assert (found["cards"][0]["capability"], found["cards"][0]["memory_total_mib"]) == (None, None)


def test_an_engine_that_does_not_say(said):
    engine = Engine()
    engine.runtimes = ""
    assert gpu.facts(engine)["runtimes"] is None


def test_processes(said):
    said[APPS] = "4711, python3, 9000\n4712, [Not Found], [N/A]\nNo running processes found\n"
    assert gpu.processes() == [
        {"pid": 4711, "name": "python3", "memory_mib": 9000},
        {"pid": 4712, "name": "[Not Found]", "memory_mib": None},
    ]


@pytest.mark.parametrize(
    ("free", "why"),
    [("1024", ""), ("1023", "Card has 1023 MiB free of the 1024 needed"), ("[N/A]", "")],
)
def test_too_full(said, free, why):
    said[CARDS] = f"0, GPU-1, Card, 8.6, 24576, {free}, 535.1\n"
    assert gpu.too_full(1024) == why


@pytest.mark.parametrize(("only", "full"), [((), True), (["0"], True), (["GPU-1"], True), (["1"], False), (["GPU-2"], False)])
def test_a_card_that_the_service_does_not_get_may_be_full(said, clock, only, full):
    said[CARDS] = "0, GPU-1, Card, 8.6, 24576, 10, 535.1\n1, GPU-2, Card, 8.6, 24576, 20000, 535.1\n"
    assert bool(gpu.too_full(1024, only)) == full
    if not full:
        assert gpu.await_release([], 1024, 60, Engine(), only=only) == 0


def test_a_host_without_nvidia_smi_is_not_waited_for(said, clock):
    assert gpu.await_release([1], 1024, 60, Engine()) == 0
    assert clock.time == 0


def test_it_waits_for_the_old_processes_not_for_others(said, clock, monkeypatch):
    looks = [[{"pid": 1, "name": "a", "memory_mib": 1}, {"pid": 2, "name": "b", "memory_mib": 1}]] * 3
    looks.append([{"pid": 2, "name": "b", "memory_mib": 1}])
    monkeypatch.setattr(gpu, "processes", lambda: looks.pop(0))
    assert gpu.await_release([1], 1024, 60, Engine()) == round(clock.time, 2) > 0
    assert looks == []


def test_it_says_who_holds_the_card(said, clock, tmp_path, monkeypatch):
    said[CARDS] = "0, GPU-1, Card, 8.6, 24576, 100, 535.1\n"
    said[APPS] = "4711, python3, 9000\n4712, ollama, [N/A]\n"
    real = gpu._text
    monkeypatch.setattr(
        gpu, "_text", lambda file: f"0::/docker/{'a' * 64}\n" if str(file) == "/proc/4711/cgroup" else real(tmp_path / "none")
    )
    with pytest.raises(RolloutError) as error:
        gpu.await_release([], 1024, 30, Engine())
    assert str(error.value) == (
        "the card was not free 30 s after the old container was stopped (Card has 100 MiB free of the 1024 needed): it is held by "
        "pid 4711 (python3, 9000 MiB, container gpu-worker); pid 4712 (ollama). End that process, or raise "
        "rollout_gpu_release_timeout"
    )
    assert 30 <= clock.time < 35


def test_it_says_that_nobody_is_named(said, clock):
    said[CARDS] = "0, GPU-1, Card, 8.6, 24576, 100, 535.1\n"
    with pytest.raises(RolloutError, match="it is held by nobody that nvidia-smi names"):
        gpu.await_release([], 1024, 1, Engine())


def test_a_run_that_lost_its_lock_waits_no_longer(said):
    def fence():
        raise RolloutError("fenced")

    with pytest.raises(RolloutError, match="fenced"):
        gpu.await_release([], 1024, 60, Engine(), fence)


@pytest.mark.parametrize(
    ("command", "out"),
    [(["echo", "a"], "a\n"), (["sh", "-c", "echo a; exit 1"], ""), (["no-such-command"], ""), (["sleep", "9"], "")],
)
def test_a_command_that_is_absent_fails_or_hangs_says_nothing(command, out, monkeypatch):
    monkeypatch.setattr(gpu, "LIMIT_S", 0.5)
    assert gpu._said(command) == out
