"""The bundles of stacks: what a host needs of the folders in which their compose files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller.mounts import with_mounts
from ansible.module_utils.rollout.controller.source import collect, main_file
from ansible.module_utils.rollout.controller.templates import Templates
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import RolloutError

DOCUMENTATION = """
name: stack_source
short_description: Compose files of stacks, with all that they need
description:
  - Collects the compose files of each stack, the files that Compose needs in order to read them, and the variables.
  - With O(mounts), adds the files that are mounted and belong to the release.
options:
  _terms:
    description: Names of stacks.
    type: list
    elements: str
    required: true
  stacks:
    description: The variable C(rollout_stacks).
    type: dict
    required: true
  bundles:
    description: What this lookup said before, name of a stack to its bundle. Needed with O(mounts).
    type: dict
  mounts:
    description: Name of a stack to the mounts that a host found in its compose files.
    type: dict
author: [ktrdr]
"""

EXAMPLES = """
- name: Show the files of a stack
  ansible.builtin.debug:
    msg: "{{ lookup('stack_source', 'core', stacks=rollout_stacks).core.files | list }}"
"""

RETURN = """
_raw:
  description: One dictionary, name of a stack to its bundle.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **options: Any) -> list[dict[str, Any]]:
        """The bundles, in one dictionary.

        Raises:
            AnsibleError: all that is wrong with the files of these stacks, one fault a line.
        """
        known, wrong, found = variables or {}, Faults(), dict[str, Any]()
        reader = Templates(self._loader, self._templar, known)
        bundles, mounts = options.get("bundles") or {}, options.get("mounts")
        for stack in terms:
            spec = options["stacks"][stack]
            first = main_file(spec, str(known.get("inventory_dir") or ""), lambda name: self._template(known, name))
            with wrong.gather():
                if mounts is None:
                    found[stack] = collect(stack, spec, first, reader)
                else:
                    found[stack] = with_mounts(bundles[stack], mounts.get(stack) or [], stack, spec, first, reader)
        try:
            wrong.refuse()
        except RolloutError as error:
            raise AnsibleError(str(error)) from None
        return [found]

    def _template(self, variables: Mapping[str, Any], name: str) -> str:
        """Where Ansible's own lookup finds a template."""
        return str(self.find_file_in_search_path(variables, "templates", name, ignore_missing=True) or name)
