"""From the probe's document, the host's facts and the expectation to a verdict on torch. Pure.

The cases are those that people report in the trackers of pytorch, of the NVIDIA container toolkit and of applications on
them. What a kernel proved stands, whatever else looks odd; facts about the host only explain what failed, or speak where
nothing could be tried. Unknown is never a pass.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import cuda
from ansible.module_utils.rollout.domain.torch.host import OFF_BUS, asks_too_much, host_fault, worst_xid
from ansible.module_utils.rollout.domain.torch.reasons import BUSY, FAIL, PASS, REASONS, engine_error

# Inputs below 1, 64 terms, float32 (TF32 keeps 10 bits of mantissa): an honest product is well below this.
TOLERANCE = 0.1


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
            return engine_error(self.error)
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
        xid = worst_xid(self.host)
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
            xid = worst_xid(self.host)
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
        if worst_xid(self.host).get("code") == OFF_BUS:
            return "gpu_off_bus", worst_xid(self.host)["text"]
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


def _computes(capabilities: Optional[str]) -> bool:
    # Not set: the toolkit's default is utility,compute.
    return capabilities is None or bool({"compute", "all"} & {c.strip() for c in capabilities.split(",")})


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


def sentence(verdict: Mapping[str, Any]) -> str:
    """The verdict as sentences: what was expected, what was found, whose fault, what to do, what would not help."""
    fault = f" The fault is the {verdict['fault']}'s." if verdict["fault"] else ""
    vain = "Rolling back will not help: " if verdict["fault"] == "host" else ""
    remedy = f" {vain}{verdict['remedy']}" if verdict["remedy"] else ""
    return f"expected {verdict['expected']}, found {verdict['observed']} ({verdict['reason']}).{fault}{remedy}"


def readable(verdict: Mapping[str, Any]) -> str:
    """A verdict for a person at a terminal: the sentence, every check, what was seen on the way.

    Args:
        verdict: of `judge`, with ``target``, the name of what was tried.
    """
    lines = [f"{str(verdict['verdict']).upper()}  {verdict['target']}: {sentence(verdict)}", ""]
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


def torch_column(verdict: Mapping[str, Any]) -> str:
    """A torch verdict in one word or two: the version, ``absent``, or the reason it did not pass."""
    if verdict.get("verdict") != "pass":
        return f"{verdict.get('verdict')}: {verdict.get('reason')}"
    return str((verdict.get("torch") or {}).get("version") or "absent")
