#!/usr/bin/python
"""Ansible module: the metrics of a host, in a file for node_exporter."""

from __future__ import annotations

DOCUMENTATION = r"""
module: metrics_file
short_description: The metrics of a host after a run
description:
  - Writes C(rollout_APPLICATION.prom) for node_exporter's textfile collector, in one step, readable by everybody. It tells
    the stable release, the last run with its verdict and durations, and what the ledger counts.
  - Of a drill it writes C(rollout_APPLICATION.drill.prom) - when it was, how long it took, and whether it passed.
options:
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  directory:
    description: Where node_exporter reads. It must exist, and the connecting user must be allowed to write there.
    type: path
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  run:
    description: The run - run (id), action (C(rollout), C(rollback) or C(drill)), release, verdict, seconds.
    type: dict
    required: true
  result:
    description: What the run did on the host.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Writes nothing.
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Write the metrics
  metrics_file:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    directory: /var/lib/prometheus/node-exporter
    host: "{{ inventory_hostname }}"
    run: {run: 20261123T101500Z-a1b2, action: rollout, release: sha-abc1234, verdict: succeeded, seconds: 61.5}
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.domain import metrics
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io.atomic import write_atomic
from ansible.module_utils.rollout.io.store import Store

UNWRITABLE = Refusal(
    "Metrics",
    "{path} cannot be written ({reason}): rollout_metrics_dir must exist, and the connecting user must be allowed to write "
    "there.",
    "make the directory, or give it to that user; the verdict stands",
)


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Write the file."""
    params = module.params
    drilled = params["run"]["action"] == "drill"
    path = Path(params["directory"]) / metrics.files(params["application"])[drilled]
    store = Store(params["root"])
    store.require_own()
    ledger = store.ledger()
    if not module.check_mode:
        who = (params["application"], params["host"], params["run"])
        text = metrics.drill(*who) if drilled else metrics.text(*who, params["result"], ledger)
        try:
            write_atomic(path, text, 0o644)
        except OSError as error:
            raise UNWRITABLE(path=path, reason=error.strerror) from error
    return {"changed": True, "path": str(path)}


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            **frame.STORE,
            "directory": {"type": "path", "required": True},
            "host": {"type": "str", "required": True},
            "run": {"type": "dict", "required": True},
            "result": {"type": "dict", "default": {}},
        },
    )


if __name__ == "__main__":
    main()
