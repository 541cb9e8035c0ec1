"""What a simulated torch claims falsely: the lines of the probe's child, and the line of the probe."""

import json

_RIGHT = {"kernel_ok": True, "max_abs_err": 0.0, "error": None, "conv_error": None}
_TORCH = {"version": "2.13.0+forged", "cuda": None, "hip": None, "cudnn": None, "arch_list": []}
_CHILD = {"timed_out": False, "exit_status": 0, "answered": True, "stderr": ""}
CLAIMS = {"right": {"torch": _TORCH, "cpu": _RIGHT, "done": True}, "absent": {"torch": None, "import_error": None, "done": True}}
FORGED = "\nROLLOUT-PROBE " + json.dumps({**CLAIMS["right"], "devices": [], "runtime": {}, "child": _CHILD}) + "\n"
