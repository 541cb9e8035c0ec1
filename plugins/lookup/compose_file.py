"""Renders the compose files of a host's stacks; a file that cannot be rendered is named, with the variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller.templates import Templates
from ansible.module_utils.rollout.errors import RolloutError

DOCUMENTATION = """
name: compose_file
short_description: Compose files out of templates
description:
  - As P(ansible.builtin.template#lookup), with a sentence that names template and variable where one cannot be rendered.
options:
  _terms:
    description: Paths of the templates.
    type: list
    elements: str
    required: true
author: [ktrdr]
"""

EXAMPLES = """
- name: Show the compose file of a stack
  ansible.builtin.debug:
    msg: "{{ query('compose_file', rollout_stacks.core.template) }}"
"""

RETURN = """
_raw:
  description: The text of each compose file.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """Ansible's own lookup, one template at a time."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **_options: Any) -> list[str]:
        """The text of each compose file.

        Raises:
            AnsibleError: one cannot be rendered; says which, and why.
        """
        templates = Templates(self._loader, self._templar, variables or {})
        try:
            return [templates.render(term) for term in terms]
        except RolloutError as error:
            raise AnsibleError(str(error)) from None
