#!/usr/bin/python
"""Ansible module: does a container really have the torch it should have?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: torch_check
short_description: Prove which torch a container has, by computing with it
description:
  - Feeds a probe to the container's own Python, as its own user. The probe runs torch in a child process with a hard
    time limit, multiplies matrices on the device and compares with a reference.
  - Needs the Python package docker (python3-docker) on the host.
options:
  container:
    description: Name or id of a running container.
    type: str
  image:
    description: An image; it is probed in a throw-away container without network.
    type: str
  expect:
    description: What torch should be there.
    type: str
    choices: [absent, cpu, cuda]
    required: true
  timeout:
    description: Seconds that torch may take.
    type: float
    default: 60
  python:
    description: The interpreter in the container.
    type: str
    default: python3
  gpu:
    description: Give the throw-away container all NVIDIA devices.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: The backend must not hold torch
  torch_check:
    image: ghcr.io/kpiteira/ktrdr-backend:latest
    expect: absent

- name: The GPU worker must compute on its GPU
  torch_check:
    container: ktrdr-gpu-worker-training-worker-gpu-1
    expect: cuda
"""

RETURN = r"""
verdict:
  description: C(pass), C(fail) or C(unknown). Only a pass lets the task succeed.
  type: str
  returned: always
reason:
  description: Why, as a code from a closed list.
  type: str
  returned: always
fault:
  description: Whose fault it is - C(image), C(stack) or C(host); none for a pass.
  type: str
  returned: always
remedy:
  description: What to do, in one sentence.
  type: str
  returned: always
expected:
  description: What was expected.
  type: str
  returned: always
observed:
  description: What was found.
  type: str
  returned: always
duration_ms:
  description: How long the probe took.
  type: int
  returned: when the probe answered
checks:
  description: Every check with id, status, expected, observed.
  type: list
  elements: dict
  returned: always
torch:
  description: version, cuda, hip, cudnn, arch_list; none without torch.
  type: dict
  returned: always
devices:
  description: For each CUDA device uuid, name, capability, memory_total_mib, memory_free_mib, kernel_ok, max_abs_err.
  type: list
  elements: dict
  returned: always
runtime:
  description: uid, arch, shm_bytes, device_nodes and environment in the container.
  type: dict
  returned: always
torch_warnings:
  description: What torch warned of.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout import module as frame
from ansible.module_utils.rollout import sdk, torch_verdict
from ansible.module_utils.rollout.errors import RolloutError


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Probe and judge."""
    params = module.params
    target = params["image"] or params["container"]
    verdict = sdk.check(
        target,
        params["expect"],
        image=bool(params["image"]),
        limit_s=params["timeout"],
        python=params["python"],
        gpu=params["gpu"],
    )
    # Ansible keeps the key "warnings" for its own.
    result = {k: v for k, v in verdict.items() if k != "warnings"}
    result["torch_warnings"] = verdict["warnings"]
    if verdict["verdict"] != torch_verdict.PASS:
        raise RolloutError(torch_verdict.sentence(verdict, target), **result)
    return {"changed": False, **result}


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            "container": {"type": "str"},
            "image": {"type": "str"},
            "expect": {"type": "str", "choices": list(torch_verdict.EXPECTATIONS), "required": True},
            "timeout": {"type": "float", "default": 60},
            "python": {"type": "str", "default": "python3"},
            "gpu": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("container", "image")],
        required_one_of=[("container", "image")],
    )


if __name__ == "__main__":
    main()
