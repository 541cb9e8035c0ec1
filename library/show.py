"""Documentation of the action plugin ``show``, which runs on the controller alone."""

DOCUMENTATION = """
module: show
short_description: Show a screen to the operator
description:
  - The text is the result's C(msg), so every callback shows it. The callback C(rollout) shows the last one as the very last
    thing of a playbook.
  - It runs on the controller and asks no host.
options:
  text:
    description: The screen.
    type: str
    required: true
  at_once:
    description: Show it now, and not as the last thing of the playbook.
    type: bool
    default: false
"""

EXAMPLES = """
- name: Show what was found
  show:
    text: "{{ found | join('\\n') }}"
  run_once: true
"""

RETURN = """
msg:
  description: The text.
  type: str
  returned: always
"""
