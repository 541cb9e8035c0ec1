"""Renders the compose files of a host's stacks; a file that cannot be rendered is named, with the variable."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Mapping, Optional

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import rendering

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
        template = lookup_loader.get("template", loader=self._loader, templar=self._templar)
        return [self._one(template, term, variables or {}) for term in terms]

    def _one(self, template: Any, term: str, variables: Mapping[str, Any]) -> str:
        try:
            # Ansible hands an error over as a value, which is not a text.
            return str(*template.run([term], variables))
        except Exception as error:  # whatever a template may raise
            raise AnsibleError(rendering.refusal(term, self._texts(term), error, self._value)) from None

    def _texts(self, term: str) -> list[str]:
        found: list[str] = []
        with contextlib.suppress(OSError, AnsibleError, UnicodeDecodeError):
            found.append(Path(term).read_text(encoding="utf-8"))
            found += [Path(term).with_name(name).read_text(encoding="utf-8") for name in rendering.referenced(found[0])]
        return found

    def _value(self, name: str) -> Any:
        with contextlib.suppress(Exception):  # an undefined one, above all
            return self._templar.template(self._templar.available_variables.get(name))
        return None
