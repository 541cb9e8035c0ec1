#!/usr/bin/python
"""Ansible module: does a container really have the torch and the GPU it should have?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: torch_check
short_description: Prove which torch a container has, by computing with it
description:
  - Feeds a probe to the container's own Python, as its own user. The probe runs torch in a child process with a hard
    time limit, computes on each device and compares with a reference.
  - Where a GPU is expected, the host's driver, cards, kernel log and container runtime are looked at too, so that the
    result says whose fault it is. docs/gpu.md has a section for each reason.
  - Needs the docker command on the host, and nothing in the container but Python 3.8 or later.
options:
  container:
    description: Name or id of a running container.
    type: str
  image:
    description:
      - An image; it is probed in a throw-away container without network. With O(compose_file), the image of O(service)
        unless this is given.
    type: str
  compose_file:
    description:
      - A rendered compose file. The throw-away container gets the devices, runtime, user, size of /dev/shm and
        environment of O(service) there; variables come from the C(.env) file beside it.
    type: path
  service:
    description: A service of O(compose_file).
    type: str
  gpu:
    description: Give the throw-away container of O(image) all NVIDIA devices, where there is no O(compose_file).
    type: bool
    default: false
  expect:
    description: What torch should be there.
    type: str
    choices: [absent, cpu, cuda, rocm]
    required: true
  min_torch:
    description: The oldest version of torch that will do.
    type: str
    default: ""
  min_cuda:
    description: The oldest CUDA (or, with V(rocm), ROCm) version that torch may be built for.
    type: str
    default: ""
  devices:
    description: How many devices there must be at least.
    type: int
    default: 0
  uuids:
    description: UUIDs that must be among the devices, as nvidia-smi -L prints them.
    type: list
    elements: str
    default: []
  min_memory_mib:
    description: Memory that each device must have, in MiB.
    type: int
    default: 0
  min_free_mib:
    description:
      - Memory, in MiB, that must be free on the card for a throw-away container to be given it. Where less is free, the
        result is V(card_full), and only what can be known without the card is checked.
    type: int
    default: 1024
  min_shm_mib:
    description: Size that /dev/shm must have, in MiB.
    type: int
    default: 0
  timeout:
    description: Seconds that torch may take.
    type: float
    default: 60
  python:
    description: The interpreter in the container.
    type: str
    default: python3
attributes:
  check_mode:
    support: full
    details: It changes nothing, and runs in check mode too.
author: [ktrdr]
"""

EXAMPLES = r"""
- name: The backend must not hold torch
  torch_check:
    image: ghcr.io/kpiteira/ktrdr-backend:latest
    expect: absent

- name: The GPU worker must compute on a card of 20 GiB or more
  torch_check:
    container: ktrdr-gpu-worker-training-worker-gpu-1
    expect: cuda
    min_memory_mib: 20000

- name: The next GPU worker must, too, as its compose file starts it
  torch_check:
    compose_file: /var/lib/rollout/ktrdr/releases/sha-abc1234/docker-compose.gpu-worker.yml
    service: training-worker-gpu
    expect: cuda
"""

RETURN = r"""
verdict:
  description: C(pass), C(fail) or C(unknown). Only a pass lets the task succeed.
  type: str
  returned: always
reason:
  description: Why, as a code from a closed list; see docs/gpu.md.
  type: str
  returned: always
fault:
  description: Whose fault it is - C(image) (roll back), C(stack) (fix the compose file) or C(host) (rolling back is in vain).
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
on_gpu:
  description: Whether torch must compute on a GPU.
  type: bool
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
  description: Every check with id, status, expected, observed, and ms where it was timed. The first that failed decides.
  type: list
  elements: dict
  returned: always
torch:
  description: version, cuda, hip, cudnn, arch_list; none without torch.
  type: dict
  returned: always
driver:
  description: version (loaded) and installed on the host; cuda_api, cuinit and libcuda_path as the container has them.
  type: dict
  returned: always
devices:
  description:
    - For each device uuid, name, capability, memory_total_mib, memory_free_mib, kernel_ok, max_abs_err, error, conv_error.
  type: list
  elements: dict
  returned: always
runtime:
  description: uid, arch, python, shm_bytes, device_nodes and environment (NVIDIA_*, *_VISIBLE_DEVICES) in the container.
  type: dict
  returned: always
torch_warnings:
  description: What torch warned of, and what would fail at the next restart.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.domain.gate import FLAVOURS, expectation
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io import torch_check
from ansible.module_utils.rollout.io.engine import Engine

_TARGET = ("container", "image", "compose_file", "service")
_EXPECTED = ("python", "min_torch", "min_cuda", "devices", "uuids", "min_memory_mib", "min_free_mib", "min_shm_mib")
BROKEN = Refusal(
    "The card, any day",
    "{target}: {expected}",
    "look up the code in the last brackets in [GPU and torch](gpu.md)",
)


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Probe and judge."""
    params = module.params
    gate = {"flavour": params["expect"], **{key: params[key] for key in _EXPECTED}}
    expected = expectation(gate, "torch_check")
    target = torch_check.Target(**{key: params[key] or "" for key in _TARGET}, gpu=params["gpu"])
    verdict = torch_check.check(Engine(), target, expected, params["timeout"])
    # Ansible keeps the key "warnings" for its own.
    result = {k: v for k, v in verdict.items() if k != "warnings"}
    result["torch_warnings"] = verdict["warnings"]
    if verdict["verdict"] != reasons.PASS:
        raise BROKEN(target=target, expected=torch_verdict.sentence(verdict), facts=result)
    return {"changed": False, **result}


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            "container": {"type": "str"},
            "image": {"type": "str"},
            "compose_file": {"type": "path"},
            "service": {"type": "str"},
            "gpu": {"type": "bool", "default": False},
            "expect": {"type": "str", "choices": list(FLAVOURS), "required": True},
            "min_torch": {"type": "str", "default": ""},
            "min_cuda": {"type": "str", "default": ""},
            "devices": {"type": "int", "default": 0},
            "uuids": {"type": "list", "elements": "str", "default": []},
            "min_memory_mib": {"type": "int", "default": 0},
            "min_free_mib": {"type": "int", "default": 1024},
            "min_shm_mib": {"type": "int", "default": 0},
            "timeout": {"type": "float", "default": 60},
            "python": {"type": "str", "default": "python3"},
        },
        mutually_exclusive=[("container", "image"), ("container", "compose_file")],
        required_one_of=[("container", "image", "compose_file")],
        required_together=[("compose_file", "service")],
    )


if __name__ == "__main__":
    main()
