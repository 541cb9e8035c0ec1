"""From the probe's document, the host's facts and the expectation to a verdict on torch. Pure.

The cases are those that people report in the trackers of pytorch, of the NVIDIA container toolkit and of applications on
them. What a kernel proved stands, whatever else looks odd; facts about the host only explain what failed, or speak where
nothing could be tried. Unknown is never a pass.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout import cuda
from ansible.module_utils.rollout.errors import RolloutError

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
FLAVOURS = ("absent", "cpu", "cuda", "rocm")
# Inputs below 1, 64 terms, float32 (TF32 keeps 10 bits of mantissa): an honest product is well below this.
TOLERANCE = 0.1
# NVIDIA's number for a card that has fallen off the bus.
OFF_BUS = 79

# reason -> verdict, fault, remedy. A closed list: docs/gpu.md has a section for each.
REASONS: dict[str, tuple[str, Optional[str], str]] = {
    "ok": (PASS, None, ""),
    "torch_missing": (FAIL, "image", "Deploy the image that holds torch: this is probably the backend's image on a worker."),
    "torch_present": (FAIL, "image", "Deploy the image without torch: this is probably a worker's image on the backend."),
    "torch_is_cpu": (FAIL, "image", "Build the image with a GPU build of torch (TORCH_INDEX_URL in Dockerfile.worker-gpu)."),
    "torch_is_cuda": (FAIL, "image", "Build the image for the hardware that is there: this torch is for NVIDIA cards."),
    "torch_is_rocm": (FAIL, "image", "Build the image for the hardware that is there: this torch is for AMD cards."),
    "torch_too_old": (FAIL, "image", "Build the image with a newer torch, or lower min_torch."),
    "cuda_too_old": (FAIL, "image", "Build the image with a torch for a newer CUDA or ROCm, or lower min_cuda."),
    "import_failed": (FAIL, "image", "Import torch by hand in the image and mend what it reports, then build it again."),
    "kernel_failed": (FAIL, "image", "Torch cannot compute on what is there: build the image with a torch that supports it."),
    "arch_unsupported": (FAIL, "image", "Build the image with a torch whose architecture list has this card."),
    "cudnn_mismatch": (FAIL, "image", "Take the cuDNN out of the image that torch did not bring, and build it again."),
    "compat_library": (FAIL, "image", "Take the CUDA compat libraries (/usr/local/cuda/compat) out of the image's library path."),
    "crashed": (FAIL, "image", "Python died while torch was tried: run it by hand in the image; rebuild for this processor."),
    "no_python": (FAIL, "image", "Name the interpreter's path: x-rollout <service>.torch.python, or option python."),
    "wrong_result": (FAIL, "host", "The device computes wrongly: test the card and its memory, and reboot the host."),
    "hang": (
        FAIL,
        "host",
        "Look for Xid errors in the host's kernel log (dmesg), and reboot the host; if only its disk is slow, allow more time.",
    ),
    "no_driver": (
        FAIL,
        "host",
        "Install the NVIDIA driver on the host, or load it (sudo modprobe nvidia): nvidia-smi must work.",
    ),
    "driver_mismatch": (FAIL, "host", "The driver was upgraded and the old one is still loaded: reboot the host."),
    "driver_too_old": (FAIL, "host", "Upgrade the host's NVIDIA driver, or deploy an image with a torch for an older CUDA."),
    "requirement_unmet": (FAIL, "host", "Upgrade the host's NVIDIA driver, or deploy an image that asks for less."),
    "no_runtime": (
        FAIL,
        "host",
        "Install the NVIDIA container toolkit on the host, run sudo nvidia-ctk runtime configure, and restart Docker.",
    ),
    "cdi_stale": (
        FAIL,
        "host",
        "Write the CDI specification anew: sudo nvidia-ctk cdi generate --output=FILE, for the file that is named above.",
    ),
    "gpu_lost": (FAIL, "host", "The container's access to its card was taken away (systemctl daemon-reload does): recreate it."),
    "gpu_off_bus": (FAIL, "host", "The card fell off the bus: reboot the host, then look at its power supply and its heat."),
    "uvm_broken": (FAIL, "host", "Load the module anew (sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm), or reboot the host."),
    "cuda_unavailable": (FAIL, "host", "Check nvidia-smi on the host and the driver's version, then reboot the host."),
    "no_device": (
        FAIL,
        "stack",
        "Give the service the GPU: the nvidia device reservation in its compose file, and no variable that hides the card.",
    ),
    "devices_missing": (FAIL, "stack", "Give the service the GPUs that it expects, or expect what it has."),
    "device_denied": (FAIL, "stack", "Let the service's user open the card's device nodes: group_add in the compose file."),
    "capability_missing": (FAIL, "stack", "Set NVIDIA_DRIVER_CAPABILITIES to compute,utility in the compose file."),
    "memory_too_small": (FAIL, "stack", "Give the service a card with more memory, or lower min_memory_mib."),
    "shm_too_small": (FAIL, "stack", "Raise shm_size of the service in its compose file (Docker's default is 64 MiB)."),
    "killed": (FAIL, "stack", "Give the service more memory (mem_limit), or the host: the kernel killed Python."),
    "out_of_memory": (UNKNOWN, "stack", "The card's memory is taken: stop what else uses it, then run again."),
    "gpu_busy": (UNKNOWN, "stack", "Another process holds the card alone (compute mode): stop it, or set compute mode Default."),
    "card_full": (UNKNOWN, "stack", "Too little memory is free on the card beside what uses it now; try again when it is."),
    "no_answer": (UNKNOWN, None, "Run the check again; if it stays, import torch by hand in the container."),
}
# Busy is not broken: what was proven before in the same container, or will be after the switch, need not be proven now.
BUSY = ("out_of_memory", "gpu_busy", "card_full")
_KEYS: dict[str, tuple[tuple[type, ...], str]] = {
    "flavour": ((str,), "one of " + ", ".join(FLAVOURS)),
    "python": ((str,), "the path of the interpreter"),
    "min_torch": ((str,), "a version in quotes"),
    "min_cuda": ((str,), "a version in quotes"),
    "devices": ((int,), "a whole number"),
    "uuids": ((list, tuple), "a list of UUIDs"),
    "min_memory_mib": ((int,), "a whole number of MiB"),
    "min_free_mib": ((int,), "a whole number of MiB"),
    "min_shm_mib": ((int,), "a whole number of MiB"),
}


@dataclass(frozen=True)
class Expectation:
    """The torch contract of a service.

    ``flavour`` is ``absent``, ``cpu``, ``cuda`` or ``rocm``; ``python`` the interpreter in the container. The others are
    for GPUs: ``min_cuda`` is ROCm's version where the flavour is ``rocm``; ``devices`` at least so many; ``uuids`` these
    among them; ``min_memory_mib`` the size of each card; ``min_free_mib`` what must be free on it before torch starts there;
    ``min_shm_mib`` the size of /dev/shm. Empty and 0 ask for nothing.
    """

    flavour: str
    python: str = "python3"
    min_torch: str = ""
    min_cuda: str = ""
    devices: int = 0
    uuids: tuple[str, ...] = ()
    min_memory_mib: int = 0
    min_free_mib: int = 1024
    min_shm_mib: int = 0

    @property
    def on_gpu(self) -> bool:
        """Whether torch must compute on a GPU."""
        return self.flavour in ("cuda", "rocm")

    def __str__(self) -> str:
        return "no torch" if self.flavour == "absent" else f"torch for {self.flavour}"


def expectation(value: Any, where: str) -> Expectation:
    """Read what a gate or a module says: a flavour, or a mapping of `Expectation`'s fields.

    Raises:
        RolloutError: it cannot be meant; names ``where``, the key and the value.
    """
    if isinstance(value, str):
        value = {"flavour": value}
    if not isinstance(value, Mapping):
        raise RolloutError(f"{where} is {value!r}: expected one of {', '.join(FLAVOURS)}, or a mapping with flavour.")
    for key, item in value.items():
        if key not in _KEYS:
            raise RolloutError(f"{where} has '{key}'; known are {', '.join(_KEYS)}.")
        types, meaning = _KEYS[key]
        if not isinstance(item, types) or isinstance(item, bool) or (isinstance(item, int) and item < 0):
            raise RolloutError(f"{where}.{key} is {item!r}: expected {meaning}.")
        if key.startswith("min_") and isinstance(item, str) and item and not cuda.numbers(item):
            raise RolloutError(f"{where}.{key} is {item!r}: expected {meaning}.")
    if value.get("flavour") not in FLAVOURS:
        raise RolloutError(f"{where} is {value.get('flavour')!r}: expected {_KEYS['flavour'][1]}.")
    found: dict[str, Any] = {k: tuple(v) if k == "uuids" else v for k, v in value.items()}
    return Expectation(**found)


def read_probe(stdout: str) -> Optional[dict[str, Any]]:
    """The probe's document out of all that was printed, or None."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("ROLLOUT-PROBE "):
            try:
                document = json.loads(line[len("ROLLOUT-PROBE ") :])
            except (ValueError, RecursionError):
                return None
            return document if isinstance(document, dict) else None
    return None


def judge(
    probe: Optional[Mapping[str, Any]],
    expected: Expectation,
    error: str = "",
    host: Optional[Mapping[str, Any]] = None,
    image: Optional[Mapping[str, str]] = None,
    skipped: str = "",
) -> dict[str, Any]:
    """The verdict on one container.

    Args:
        probe: what the probe printed, or None where it printed nothing readable.
        error: what the engine said where the probe could not be run.
        host: what `gpu.facts` found, where a GPU is expected.
        image: the image's environment, for what it asks of the host.
        skipped: why the probe got no GPU, where it got none on purpose: then only what can be known without is judged.

    Returns:
        verdict (pass, fail, unknown), reason (a key of `REASONS`), fault (image, stack, host or None), remedy,
        expected, on_gpu (whether a GPU was), observed, duration_ms, checks, torch, driver, devices, runtime, warnings.
    """
    judging = _Judging(probe or {}, expected, error, host or {}, image or {}, skipped)
    try:
        reason, observed = judging.reason()
        warnings = [*(judging.probe.get("warnings") or []), *judging.warnings(reason)]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        # The document comes out of the image: it may be anything.
        reason, observed, warnings = "no_answer", "an answer that cannot be read", []
    verdict, fault, remedy = REASONS[reason]
    return {
        "verdict": verdict,
        "reason": reason,
        "fault": fault,
        "remedy": remedy,
        "expected": str(expected),
        "on_gpu": expected.on_gpu,
        "observed": observed,
        "duration_ms": judging.probe.get("duration_ms"),
        "checks": judging.checks,
        "torch": judging.probe.get("torch"),
        "driver": judging.driver(),
        "devices": [d for d in _listed(judging.probe.get("devices")) if isinstance(d, Mapping)],
        "runtime": _mapped(judging.probe.get("runtime")),
        "warnings": warnings,
    }


class _Judging:
    """One verdict in the making; ``checks`` grow as it goes, the first one that fails decides."""

    def __init__(
        self,
        probe: Mapping[str, Any],
        expected: Expectation,
        error: str,
        host: Mapping[str, Any],
        image: Mapping[str, str],
        skipped: str,
    ) -> None:
        self.probe, self.expected, self.error, self.image, self.skipped = probe, expected, error, image, skipped
        # What is known of a host is known of NVIDIA's driver: it explains nothing about AMD's cards.
        self.host = host if expected.flavour == "cuda" else {}
        self.checks: list[dict[str, Any]] = []

    def check(self, name: str, good: bool, wanted: object, got: object, step: str = "") -> bool:
        ms = (self.probe.get("ms") or {}).get(step) if step else None
        status = PASS if good else FAIL
        self.checks.append({"id": name, "status": status, "expected": str(wanted), "observed": str(got), "ms": ms})
        return good

    def driver(self) -> dict[str, Any]:
        inside = _mapped(self.probe.get("driver"))
        host = self.host.get("driver") or {}
        return {
            "version": host.get("loaded"),
            "installed": host.get("installed"),
            "cuda_api": inside.get("cuda_api") or host.get("cuda"),
            "cuinit": inside.get("cuinit"),
            "libcuda_path": inside.get("libcuda_path"),
        }

    def warnings(self, reason: str) -> list[str]:
        """What works now and will not for long."""
        fault = host_fault(self.host) if reason == "ok" else None
        return [f"a restart of this container would fail: {fault[1]} ({fault[0]}). {REASONS[fault[0]][2]}"] if fault else []

    def reason(self) -> tuple[str, str]:
        child = self.probe.get("child") or {}
        if not child:
            return _engine_error(self.error)
        if child.get("timed_out"):
            at = f"no answer in time ({self.probe.get('stage')})"
            self.check("answer", False, "an answer in time", at)
            return self._hang(at)
        if not child.get("answered"):
            return self._died(child)
        self.check("answer", True, "an answer in time", "one")
        torch, failed = self.probe.get("torch"), self.probe.get("import_error")
        if self.expected.flavour == "absent":
            got = f"torch {torch['version']}" if torch else "torch, broken" if failed else "no torch"
            return ("ok" if self.check("flavour", got == "no torch", "no torch", got) else "torch_present"), got
        if failed:
            self.check("import", False, "import torch", failed, "import torch")
            return "import_failed", failed
        if not torch:
            self.check("flavour", False, self.expected, "no torch")
            return "torch_missing", "no torch"
        return self._torch(torch)

    def _torch(self, torch: Mapping[str, Any]) -> tuple[str, str]:
        flavour = "rocm" if torch.get("hip") else "cuda" if torch.get("cuda") else "cpu"
        got = f"torch {torch.get('version')} ({flavour})"
        if not self.check("flavour", flavour == self.expected.flavour, self.expected.flavour, got, "import torch"):
            return f"torch_is_{flavour}", got
        wanted = self.expected.min_torch
        if wanted and not self.check("torch", not cuda.older(torch.get("version"), wanted), f">= {wanted}", torch.get("version")):
            return "torch_too_old", f"{got}, older than {wanted}"
        if not self.expected.on_gpu:
            reason, why = self._kernel(self.probe.get("cpu") or {}, "CPU", "CPU")
            if reason:
                return reason, f"{got}, {why}"
            return self._shm(got)
        version, wanted = torch.get("cuda") or torch.get("hip"), self.expected.min_cuda
        if wanted and not self.check("cuda", not cuda.older(version, wanted), f">= {wanted}", version):
            return "cuda_too_old", f"{got} for {version}, older than {wanted}"
        if self.skipped:
            return self._unproven(torch, got)
        return self._gpu(torch, got)

    def _gpu(self, torch: Mapping[str, Any], got: str) -> tuple[str, str]:
        error, devices = self.probe.get("cuda_error"), self.probe.get("devices") or []
        if not self.check("start", not error, "CUDA starts", error or "it does", "CUDA start"):
            return self._explained("cuda_unavailable" if self._nodes() else "no_device", torch, got, str(error))
        if not self.check("device", bool(devices), "a device", f"{len(devices)} devices"):
            return self._explained("no_device", torch, got, "no device")
        for index, device in enumerate(devices):
            name = str(device.get("name"))
            reason, why = self._kernel(device, name, f"device {index}")
            built, capability = torch.get("arch_list"), str(device.get("capability"))
            # The rules are NVIDIA's.
            if reason == "kernel_failed" and torch.get("cuda") and built and not cuda.runs_on(built, capability):
                reason = "arch_unsupported"
                why = f"{name} is {capability}, torch is built for {' '.join(built)}: {why}"
            if reason == "kernel_failed":
                return self._explained(reason, torch, got, why)
            if reason:
                return reason, f"{got}, {why}"
        if self.probe.get("cudnn_error"):
            self.check("cudnn", False, "a cuDNN that fits", self.probe["cudnn_error"], "cuDNN")
            return "cudnn_mismatch", f"{got}, {self.probe['cudnn_error']}"
        return self._expected_devices(devices, got)

    def _expected_devices(self, devices: Sequence[Mapping[str, Any]], got: str) -> tuple[str, str]:
        wanted = self.expected
        if wanted.devices and not self.check("count", len(devices) >= wanted.devices, f">= {wanted.devices}", len(devices)):
            return "devices_missing", f"{got}, {len(devices)} of {wanted.devices} devices"
        there = {_uuid(device.get("uuid")) for device in devices}
        for uuid in wanted.uuids:
            if not self.check("uuid", _uuid(uuid) in there, uuid, ", ".join(str(d.get("uuid")) for d in devices)):
                return "devices_missing", f"{got}, no device {uuid}"
        for device in devices:
            name, total, least = device.get("name"), device.get("memory_total_mib"), wanted.min_memory_mib
            if least and not self.check(f"memory {name}", (total or 0) >= least, f">= {least} MiB", f"{total} MiB"):
                return "memory_too_small", f"{got}, {name} has {total} MiB of {least}"
        return self._shm(f"{got} on {', '.join(str(d.get('name')) for d in devices)}")

    def _shm(self, got: str) -> tuple[str, str]:
        wanted, size = self.expected.min_shm_mib, (self.probe.get("runtime") or {}).get("shm_bytes")
        mib = (size or 0) / 2**20
        if wanted and not self.check("shm", mib >= wanted, f">= {wanted} MiB", f"{mib:.0f} MiB"):
            return "shm_too_small", f"{got}, /dev/shm has {mib:.0f} MiB of {wanted}"
        return "ok", got

    def _kernel(self, fact: Mapping[str, Any], name: str, step: str) -> tuple[str, str]:
        """Reason and what was seen, both empty where it computed rightly."""
        error, conv = fact.get("error"), fact.get("conv_error")
        why = str(error or conv or "no result")
        well = fact.get("kernel_ok") is True
        if not self.check(f"kernel {name}", well, "a product and a convolution", "done" if well else why, step):
            lowered = why.lower()
            if "out of memory" in lowered or "alloc_failed" in lowered:
                return "out_of_memory", why
            if "busy or unavailable" in lowered or "devices are busy" in lowered:
                return "gpu_busy", why
            if "cudnn" in lowered and "cudnn_status_not_supported" not in lowered:
                return "cudnn_mismatch", why
            return "kernel_failed", why
        difference: Any = fact.get("max_abs_err")
        good = type(difference) in (int, float) and 0 <= difference <= TOLERANCE
        if not self.check(f"result {name}", good, f"within {TOLERANCE}", difference, step):
            return "wrong_result", f"result off by {difference}"
        return "", ""

    def _died(self, child: Mapping[str, Any]) -> tuple[str, str]:
        tail = (child.get("stderr") or "").strip().splitlines()[-1:]
        status = child.get("exit_status")
        got = f"exit status {status} ({self.probe.get('stage')}){': ' + tail[0] if tail else ''}"
        self.check("answer", False, "an answer", got)
        return ("killed" if status == -9 else "crashed"), got

    def _hang(self, at: str) -> tuple[str, str]:
        xid = _xid(self.host)
        return ("gpu_off_bus" if xid.get("code") == OFF_BUS else "hang"), f"{at}{', ' + xid['text'] if xid else ''}"

    def _nodes(self) -> list[str]:
        return list((self.probe.get("runtime") or {}).get("device_nodes") or [])

    def _explained(self, reason: str, torch: Mapping[str, Any], got: str, why: str) -> tuple[str, str]:
        """Why CUDA fails, by the first thing that is known to make it fail; ``reason`` where nothing is."""
        found = self._cause(torch, why)
        if found:
            self.check("cause", False, "none", f"{found[0]}: {found[1]}")
            return found[0], f"{got}, {why} ({found[1]})"
        return reason, f"{got}, {why}"

    def _cause(self, torch: Mapping[str, Any], why: str) -> Optional[tuple[str, str]]:
        """Reason and evidence. In the container first, because that is where it failed; then what the host says."""
        lowered, inside = why.lower(), self.probe.get("driver") or {}
        environment = (self.probe.get("runtime") or {}).get("environment") or {}
        errors = self.probe.get("node_errors") or {}
        code, path = inside.get("cuinit"), str(inside.get("libcuda_path") or "")
        too_old = self._too_old(torch.get("cuda"), inside.get("cuda_api"))
        if "out of memory" in lowered:
            return "out_of_memory", "the card's memory is taken"
        if "ecc error" in lowered:
            return "wrong_result", "the card's memory reports an error that it cannot correct"
        if "busy or unavailable" in lowered or "devices are busy" in lowered:
            return "gpu_busy", "the card is held by another process"
        if code in (803, 804):
            if "compat" in path or code == 804:
                return "compat_library", f"cuInit {code}, {path}"
            return "driver_mismatch", f"cuInit 803, {path}"
        cards = {node: error for node, error in sorted(errors.items()) if "uvm" not in node}
        said = ", ".join(f"{node}: {error}" for node, error in sorted(errors.items()))
        # The device cgroup says EPERM, file permissions say EACCES, a card that is gone says another thing.
        if "EPERM" in cards.values():
            return "gpu_lost", said
        if {"ENODEV", "ENXIO", "EIO"} & set(cards.values()):
            xid = _xid(self.host)
            return ("gpu_off_bus", xid["text"]) if xid.get("code") == OFF_BUS else ("cuda_unavailable", said)
        if "EACCES" in errors.values():
            uid = (self.probe.get("runtime") or {}).get("uid")
            return "device_denied", ", ".join(f"{n}: {e} for user {uid}" for n, e in sorted(errors.items()) if e == "EACCES")
        if code == 802:
            return "cuda_unavailable", "cuInit 802: does nvidia-fabricmanager run on the host?"
        if code == 999 or any("uvm" in node for node in errors):
            uvm = next((f", {node}: {error}" for node, error in sorted(errors.items()) if "uvm" in node), "")
            return "uvm_broken", f"cuInit {code}{uvm}"
        if not path and self._nodes() and not _computes(environment.get("NVIDIA_DRIVER_CAPABILITIES")):
            return "capability_missing", f"NVIDIA_DRIVER_CAPABILITIES={environment.get('NVIDIA_DRIVER_CAPABILITIES')}"
        if too_old:
            return "driver_too_old", too_old
        fault = host_fault(self.host)
        if fault:
            return fault
        if _xid(self.host).get("code") == OFF_BUS:
            return "gpu_off_bus", _xid(self.host)["text"]
        for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
            if environment.get(name) in ("", "-1", "void", "none"):
                return "no_device", f"{name}={environment[name]}"
        return None

    def _too_old(self, built: object, brought: object) -> str:
        """What shows that the host's driver is too old for a torch built for a CUDA version; empty where nothing does."""
        loaded = (self.host.get("driver") or {}).get("loaded")
        if loaded and cuda.driver_too_old(loaded, built):
            return f"CUDA {built} needs driver {cuda.driver_for(built)}, the host has {loaded}"
        # Without the host's facts the driver's library tells which CUDA it brings; another minor will do.
        if not loaded and cuda.numbers(brought) and cuda.numbers(brought)[:1] < cuda.numbers(built)[:1]:
            return f"torch is built for CUDA {built}, the driver brings {brought}"
        return ""

    def _unproven(self, torch: Mapping[str, Any], got: str) -> tuple[str, str]:
        """What can be known without a device: whether this host could run the image at all."""
        fault = asks_too_much(self.image, torch, self.host) or host_fault(self.host)
        if fault:
            self.check("host", False, "a host that can run it", fault[1])
            return fault[0], f"{got}, {fault[1]}"
        for card in self.host.get("cards") or []:
            if card.get("capability") and torch.get("arch_list") and not cuda.runs_on(torch["arch_list"], card["capability"]):
                self.check("arch", False, card["capability"], " ".join(torch["arch_list"]))
                return "arch_unsupported", f"{got}, {card.get('name')} is {card['capability']}"
        return "card_full", f"{got}, not tried on the card: {self.skipped}"


def host_fault(host: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """What is wrong with a GPU host whatever the image: reason and evidence, or None (also where nothing is known).

    No new container would get its card; one that runs may go on.
    """
    driver = host.get("driver") or {}
    if not host:
        return None
    if not driver.get("loaded"):
        # Under WSL and on Jetson there is no such module.
        return None if host.get("nodes") else ("no_driver", "no NVIDIA driver is loaded on the host")
    loaded, installed = str(driver["loaded"]), driver.get("installed")
    if installed and cuda.numbers(loaded) != cuda.numbers(installed):
        return "driver_mismatch", f"loaded is {loaded}, installed {installed}"
    given = "nvidia" in (host.get("runtimes") or []) or host.get("hook")
    if host.get("runtimes") is not None and not given and not host.get("cdi"):
        return "no_runtime", "Docker has neither the runtime nvidia nor a CDI specification"
    if host.get("cdi_missing") and not given:
        return "cdi_stale", f"{', '.join(host['cdi'])} names {host['cdi_missing'][0]}, which is not there"
    return None


def asks_too_much(image: Mapping[str, str], torch: Mapping[str, Any], host: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """Whether an image is known to need a newer driver than the host's: reason and evidence."""
    driver = host.get("driver") or {}
    loaded = driver.get("loaded")
    if loaded and cuda.driver_too_old(loaded, torch.get("cuda")):
        return "driver_too_old", f"CUDA {torch['cuda']} needs driver {cuda.driver_for(torch['cuda'])}, the host has {loaded}"
    cards = host.get("cards") or []
    facts = {
        "cuda": driver.get("cuda") or cuda.brought_by(loaded),
        "driver": loaded,
        "arch": cards[0].get("capability") if cards else None,
    }
    unmet = cuda.unmet(image, facts)
    if not unmet:
        return None
    return "requirement_unmet", f"the image asks for {unmet}, the host has CUDA {facts['cuda']}, driver {loaded}"


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


def _engine_error(error: str) -> tuple[str, str]:
    lowered = error.lower()
    for text, reason in _ENGINE_ERRORS:
        if text in lowered:
            return reason, error
    if re.search(r'exec: "[^"]+": |(?<!fork/)exec /\S+: no such file', lowered):
        return "no_python", error
    return "no_answer", error or "no answer"


def _computes(capabilities: Optional[str]) -> bool:
    # Not set: the toolkit's default is utility,compute.
    return capabilities is None or bool({"compute", "all"} & {c.strip() for c in capabilities.split(",")})


def _xid(host: Mapping[str, Any]) -> dict[str, Any]:
    """The GPU error in the kernel log that tells most: a card off the bus, which only a reboot brings back, or the last."""
    xids = host.get("xids") or []
    return dict(next((xid for xid in xids if xid.get("code") == OFF_BUS), xids[-1] if xids else {}))


def _uuid(value: object) -> str:
    """A device's UUID as it can be compared: nvidia-smi writes GPU-… or MIG-…, torch only the rest."""
    return str(value).lower().removeprefix("gpu-").removeprefix("mig-")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _mapped(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def passed_or_busy(verdict: Mapping[str, Any]) -> bool:
    """Whether it passed, or only the card was busy. Never enough for a gate after a start."""
    return verdict["verdict"] == PASS or verdict["reason"] in BUSY


def sentence(verdict: Mapping[str, Any], where: str) -> str:
    """The verdict as sentences: what was expected, what was found, whose fault, what to do, what would not help."""
    fault = f" The fault is the {verdict['fault']}'s." if verdict["fault"] else ""
    vain = "Rolling back will not help: " if verdict["fault"] == "host" else ""
    remedy = f" {vain}{verdict['remedy']}" if verdict["remedy"] else ""
    return f"{where}: expected {verdict['expected']}, found {verdict['observed']} ({verdict['reason']}).{fault}{remedy}"


def readable(verdict: Mapping[str, Any]) -> str:
    """A verdict for a person at a terminal: the sentence, every check, what was seen on the way.

    Args:
        verdict: of `judge`, with ``target``, the name of what was tried.
    """
    lines = [f"{str(verdict['verdict']).upper()}  {sentence(verdict, verdict['target'])}", ""]
    for check in verdict["checks"]:
        took = f", {check['ms']} ms" if check["ms"] is not None else ""
        lines.append(f"  {check['status']}  {check['id']}: {check['observed']} (expected: {check['expected']}{took})")
    driver, runtime = verdict["driver"], verdict["runtime"]
    facts = {
        "driver": f"{driver['version']} (CUDA {driver['cuda_api']}), {driver['libcuda_path']}" if driver["version"] else "",
        "devices": "; ".join(
            f"{d.get('name')} {d.get('uuid')}, {d.get('memory_free_mib')} of {d.get('memory_total_mib')} MiB free"
            for d in verdict["devices"]
        ),
        "runs as": f"user {runtime['uid']}, Python {runtime.get('python')}, {runtime.get('arch')}" if "uid" in runtime else "",
        "took": f"{verdict['duration_ms']} ms" if verdict["duration_ms"] is not None else "",
        "warnings": "; ".join(str(w) for w in verdict["warnings"]),
    }
    seen = [f"  {name}: {text}" for name, text in facts.items() if text]
    return "\n".join([*lines, *([""] if verdict["checks"] else []), *seen]).rstrip()
