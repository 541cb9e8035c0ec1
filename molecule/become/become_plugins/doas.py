"""Become by doas, without a password, as the plugin of community.general does it (which the project does not install)."""

from __future__ import annotations

import shlex

from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
name: doas
short_description: Do As user
description: Runs a command by doas.
author: [ktrdr]
options:
  become_user:
    description: The user to become.
    default: root
    vars: [{name: ansible_become_user}]
  become_exe:
    description: The program.
    default: doas
    vars: [{name: ansible_become_exe}]
  become_flags:
    description: Its flags.
    default: ""
    vars: [{name: ansible_become_flags}]
  become_pass:
    description: Its password, which is not asked for.
    vars: [{name: ansible_become_password}]
"""


class BecomeModule(BecomeBase):
    """Builds the command."""

    name = "doas"

    def build_become_command(self, cmd: str, shell: object) -> str:
        """The command as the other user."""
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        return f"doas -n -u {shlex.quote(self.get_option('become_user'))} {self._build_success_command(cmd, shell)}"
