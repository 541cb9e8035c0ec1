"""Documentation of the action plugin ``adoption``, which runs on the controller alone."""

DOCUMENTATION = """
module: adoption
short_description: Show the Compose projects of all hosts, and write the inventory of those that are taken over
description:
  - Reads what M(compose_project_info) found on the hosts of the play, in the variable C(adopt_found) of each.
  - Without O(project) nothing is written. An inventory is written whole or not at all, and never over one that is there.
  - It runs on the controller and asks no host.
options:
  project:
    description: Names of the Compose projects to take over.
    type: list
    elements: str
    default: []
  into:
    description: The folder in which inventories are written; empty for C(inventory) of this project.
    type: str
    default: ""
  overwrite:
    description: Write an inventory anew that is there. The former folder is kept under another name.
    type: bool
    default: false
"""

EXAMPLES = """
- name: Write the inventory
  adoption:
    project: [immich]
  run_once: true
"""

RETURN = """
msg:
  description: The screen.
  type: str
  returned: always
good:
  description: Whether every host could be looked at, and every inventory that was asked for is written.
  type: bool
  returned: always
"""
