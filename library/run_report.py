"""Documentation of the action plugin ``run_report``, which runs on the controller alone."""

DOCUMENTATION = """
module: run_report
short_description: Write the report of a run, and show its last screen
description:
  - Writes reports/<run>/report.json, report.html and the list of runs; the environment variable C(ROLLOUT_REPORTS) names another
    directory, and empty no report is written.
  - When each step began and ended is known if Ansible has loaded the callback C(rollout); if not, the report says so.
  - It runs on the controller, asks no host, and never fails because a report cannot be written.
options:
  run:
    description: What the filter C(rollout_verdict) returned.
    type: dict
    required: true
  seconds:
    description: How long the run took so far.
    type: float
    required: true
"""

EXAMPLES = """
- name: Write the report
  run_report:
    run: "{{ results | rollout_verdict(lost, run, hostvars) }}"
    seconds: "{{ rollout_began | rollout_since }}"
  run_once: true
"""

RETURN = """
msg:
  description: The last screen, with the path of the report.
  type: str
  returned: always
verdict:
  description: The verdict of the run.
  type: str
  returned: always
good:
  description: Whether the run ends with exit status 0.
  type: bool
  returned: always
message:
  description: Title, body and kind for people elsewhere.
  type: dict
  returned: always
"""
