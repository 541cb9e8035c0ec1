#!/usr/bin/python
"""Ansible module: the Compose projects that run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project_info
short_description: Compose projects of a host, and the files from which they were started
description:
  - Lists the Compose projects whose containers the engine has, no matter who started them. Changes nothing.
  - The controller asks again for the files that Compose files name; so does its action plugin.
options:
  project:
    description:
      - Projects whose Compose files and environment files are read. Without any, the Compose files of every project are read, and
        no environment file.
    type: list
    elements: str
    default: []
  files:
    description: Absolute paths of files and folders that are read too, as far as they are text and small.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Look at what runs
  compose_project_info:
    project: [immich]
  register: found
  no_log: true
"""

RETURN = r"""
projects:
  description:
    - One entry a project - name, folder, compose (paths of its files), env_files, services (image, digest, state, health, ports,
      mounts, and what its health check asks), notes, and whether this tool rolls it out already (ours).
  type: list
  elements: dict
  returned: success
files:
  description:
    - Path of a file to its content (base64) and mode, or to the reason why it was not read; a folder whose files are here too is
      marked as such. Contents may hold secrets.
  type: dict
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import running_projects


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Look."""
    found = running_projects.look(Engine(), list(filter(None, module.params["project"])), module.params["files"])
    return answers.taken("compose_project_info", {"changed": False, **found}, masking.masked)


def main() -> None:
    """Run the module."""
    names = {"type": "list", "elements": "str", "default": []}
    frame.run(verb, {"project": names, "files": dict(names)})


if __name__ == "__main__":
    main()
