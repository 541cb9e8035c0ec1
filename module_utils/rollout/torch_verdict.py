"""From the probe's document and the expectation to a verdict on torch. Pure.

The shape of the result and the cases are those people report in the trackers of pytorch and of the NVIDIA container
toolkit. Unknown is never a pass: whatever is not proven is a failure or unknown.
"""

from __future__ import annotations

import json
from typing import Any, Optional

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
EXPECTATIONS = ("absent", "cpu", "cuda")
# Inputs below 1, 64 terms, float32 (TF32 keeps 10 bits of mantissa): an honest product is well below this.
TOLERANCE = 0.1

# reason -> fault, remedy. A closed list: the documentation has a section for each.
REASONS: dict[str, tuple[Optional[str], str]] = {
    "ok": (None, ""),
    "torch_missing": ("image", "Deploy the image that holds torch: this is probably the backend's image on a worker."),
    "torch_present": ("image", "Deploy the image without torch: this is probably a worker's image on the backend."),
    "torch_is_cpu": ("image", "Build the image with a CUDA build of torch (TORCH_INDEX_URL in Dockerfile.worker-gpu)."),
    "torch_is_cuda": ("image", "Build the image with torch's CPU build (TORCH_INDEX_URL in Dockerfile.worker-cpu)."),
    "torch_is_rocm": ("image", "This image holds torch for AMD cards: build it for the hardware that is there."),
    "import_failed": ("image", "Import torch by hand in the image and mend what it reports, then build it again."),
    "kernel_failed": ("image", "The card is there but torch cannot compute on it: build for a torch that supports it."),
    "wrong_result": ("host", "The device computes wrongly: test the card and its memory, and reboot the host."),
    "out_of_memory": ("stack", "The card's memory is taken: stop what else uses it, then run again."),
    "cuda_unavailable": ("host", "Check nvidia-smi on the host and the driver's version, then reboot the host."),
    "no_device": ("stack", "Give the service the GPU: the nvidia device reservation and the NVIDIA container toolkit."),
    "hang": (
        "host",
        "torch did not answer in time: look for Xid errors in the host's kernel log, and reboot the host.",
    ),
    "crashed": ("image", "Python died while torch was tried: run it by hand in the image; rebuild for this processor."),
    "no_python": ("image", "The interpreter could not be started: set the path of python in the image."),
    "no_answer": (None, "Run the check again; if it stays, run `python -c 'import torch'` in the container by hand."),
}


def read_probe(stdout: str) -> Optional[dict[str, Any]]:
    """The probe's document out of all that was printed, or None."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("ROLLOUT-PROBE "):
            try:
                document = json.loads(line[len("ROLLOUT-PROBE ") :])
            except ValueError:
                return None
            return document if isinstance(document, dict) else None
    return None


def judge(probe: Optional[dict[str, Any]], expected: str, error: str = "") -> dict[str, Any]:
    """The verdict on one container.

    Args:
        probe: what the probe printed, or None where it printed nothing readable.
        expected: ``absent``, ``cpu`` or ``cuda``.
        error: what the engine said where the probe could not be run.

    Returns:
        verdict (pass, fail, unknown), reason (a key of `REASONS`), fault (image, stack, host or None), remedy,
        expected, observed, duration_ms, checks, torch, devices, runtime, warnings.
    """
    document = probe or {}
    checks: list[dict[str, Any]] = []
    try:
        reason, observed = _reason(document, expected, error, checks)
    except (AttributeError, KeyError, TypeError, ValueError):
        # The document comes out of the image: it may be anything.
        reason, observed = "no_answer", "an answer that cannot be read"
    fault, remedy = REASONS[reason]
    verdict = PASS if reason == "ok" else UNKNOWN if reason in ("no_answer", "out_of_memory") else FAIL
    return {
        "verdict": verdict,
        "reason": reason,
        "fault": fault,
        "remedy": remedy,
        "expected": expected,
        "observed": observed,
        "duration_ms": document.get("duration_ms"),
        "checks": checks,
        "torch": document.get("torch"),
        "devices": document.get("devices") or [],
        "runtime": document.get("runtime") or {},
        "warnings": document.get("warnings") or [],
    }


def _reason(document: dict[str, Any], expected: str, error: str, checks: list[dict[str, Any]]) -> tuple[str, str]:
    def check(name: str, good: bool, want: str, got: str) -> bool:
        checks.append({"id": name, "status": PASS if good else FAIL, "expected": want, "observed": got})
        return good

    child = document.get("child") or {}
    if not child:
        missing = "executable file not found" in error or ("stat " in error and "no such file or directory" in error)
        return ("no_python" if missing else "no_answer"), error or "no answer"
    if child.get("timed_out"):
        check("answer", False, "an answer in time", "none")
        return "hang", "no answer in time"
    if not child.get("answered"):
        tail = (child.get("stderr") or "").strip().splitlines()[-1:]
        got = f"exit status {child.get('exit_status')}{': ' + tail[0] if tail else ''}"
        check("answer", False, "an answer", got)
        return "crashed", got
    torch, failed = document.get("torch"), document.get("import_error")
    if expected == "absent":
        got = f"torch {torch['version']}" if torch else "torch, broken" if failed else "no torch"
        return ("ok" if check("flavour", got == "no torch", "no torch", got) else "torch_present"), got
    if failed:
        check("import", False, "import torch", failed)
        return "import_failed", failed
    if not torch:
        check("flavour", False, f"torch for {expected}", "no torch")
        return "torch_missing", "no torch"
    flavour = "rocm" if torch.get("hip") else "cuda" if torch.get("cuda") else "cpu"
    got = f"torch {torch.get('version')} ({flavour})"
    if not check("flavour", flavour == expected, expected, got):
        return f"torch_is_{flavour}", got
    if expected == "cpu":
        cpu = document.get("cpu") or {}
        return _kernel(cpu, "cpu", check, got)
    return _cuda(document, check, got)


def _cuda(document: dict[str, Any], check: Any, got: str) -> tuple[str, str]:
    devices = document.get("devices") or []
    if document.get("cuda_error"):
        nodes = (document.get("runtime") or {}).get("device_nodes") or []
        check("device", False, "CUDA to start", document["cuda_error"])
        return ("cuda_unavailable" if nodes else "no_device"), f"{got}, {document['cuda_error']}"
    if not check("device", bool(devices), "a CUDA device", f"{len(devices)} devices"):
        return "no_device", f"{got}, no device"
    for device in devices:
        reason, observed = _kernel(device, str(device.get("name")), check, got)
        if reason != "ok":
            return reason, observed
    return "ok", f"{got} on {', '.join(str(d.get('name')) for d in devices)}"


def _kernel(fact: dict[str, Any], name: str, check: Any, got: str) -> tuple[str, str]:
    error = str(fact.get("error") or "no result")
    if not check(f"kernel {name}", fact.get("kernel_ok") is True, "a product", "done" if fact.get("kernel_ok") else error):
        return ("out_of_memory" if "out of memory" in error.lower() else "kernel_failed"), f"{got}, {error}"
    difference: Any = fact.get("max_abs_err")
    good = type(difference) in (int, float) and 0 <= difference <= TOLERANCE
    if not check(f"result {name}", good, f"within {TOLERANCE}", str(difference)):
        return "wrong_result", f"{got}, result off by {difference}"
    return "ok", got


def sentence(verdict: dict[str, Any], where: str) -> str:
    """The verdict as one sentence: what was expected, what was found, whose fault, what to do."""
    wanted = "no torch" if verdict["expected"] == "absent" else f"torch for {verdict['expected']}"
    fault = f" The fault is the {verdict['fault']}'s." if verdict["fault"] else ""
    return f"{where}: expected {wanted}, found {verdict['observed']} ({verdict['reason']}).{fault} {verdict['remedy']}".rstrip()
