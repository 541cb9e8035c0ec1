#!/usr/bin/python
"""Ansible module: a notification of how a run ended."""

from __future__ import annotations

DOCUMENTATION = r"""
module: notification
short_description: Tell people how a run ended
description:
  - Sends one message to each of O(urls) through Apprise, all at once, and waits O(timeout) seconds at most.
  - Runs on the controller. Whatever goes wrong is told in RV(unsent), never a failure, and never with a part of a URL.
options:
  urls:
    description: Where to, as Apprise writes it, for example V(ntfy://ntfy.example.org/rollouts). They hold secrets.
    type: list
    elements: str
    required: true
  title:
    description: The message's title.
    type: str
    required: true
  body:
    description: Its text.
    type: str
    default: ""
  kind:
    description: How the receiver marks it.
    type: str
    choices: [success, warning, failure]
    default: success
  timeout:
    description: Seconds that all of it may take.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
    description: Sends nothing.
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Tell people how it ended
  notification:
    urls: "{{ rollout_notify_urls }}"
    title: "ROLLOUT REVERTED: sha-abc1234 did not pass. sha-9f8e7d6 runs again, and its gates hold."
    body: "On host gpu, gate health: …"
    kind: failure
  delegate_to: localhost
  no_log: true
"""

RETURN = r"""
sent:
  description: How many receivers took it.
  type: int
  returned: success
unsent:
  description: A sentence for each receiver that did not, by its place in O(urls) and the name of its service.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.controller import notify


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Send it."""
    params = module.params
    if module.check_mode:
        return {"changed": False, "sent": 0, "unsent": []}
    unsent = notify.send(params["urls"], notify.Message(params["title"], params["body"], params["kind"]), params["timeout"])
    return {"changed": False, "sent": len(params["urls"]) - len(unsent), "unsent": unsent}


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            "urls": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "title": {"type": "str", "required": True},
            "body": {"type": "str", "default": ""},
            "kind": {"type": "str", "choices": ["success", "warning", "failure"], "default": "success"},
            "timeout": {"type": "float", "default": 10},
        },
    )


if __name__ == "__main__":
    main()
