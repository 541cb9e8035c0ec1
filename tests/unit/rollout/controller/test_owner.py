from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible.module_utils.rollout.controller import owner
from ansible.module_utils.rollout.io import machine

ROOT = Path(__file__).resolve().parents[4]
# What a filter does in a worker that Ansible forked.
PLAYBOOK = f"""#!{sys.executable}
import json, os, sys
import ansible.module_utils
ansible.module_utils.__path__.append({str(ROOT / "module_utils")!r})
from ansible.module_utils.rollout.controller import owner
if os.fork() == 0:
    print(json.dumps([os.getppid(), owner.owner()]), flush=True)
    os._exit(0)
os.wait()
sys.stdin.read()
"""


def test_owner_outside_a_playbook():
    found = owner.owner()
    assert set(found) == {"user", "host", "machine", "process", "alive"}
    assert found["user"]
    assert found["machine"] == f"{machine.clock().boot} {os.readlink('/proc/self/ns/pid')}"
    json.dumps(found)


def test_owner_is_the_playbook_and_not_its_worker(tmp_path):
    program = tmp_path / "ansible-playbook"
    program.write_text(PLAYBOOK)
    program.chmod(0o755)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as playbook:
        assert playbook.stdout
        pid, found = json.loads(playbook.stdout.readline())
        assert pid == playbook.pid
        assert found["process"].split(":")[0] == str(playbook.pid)
        assert found["process"] in found["alive"], "and not only its worker"
        assert found["process"] in owner.owner()["alive"], "others see it"
        assert found["machine"] == owner.owner()["machine"]
        playbook.communicate()
    assert found["process"] not in owner.owner()["alive"]


def test_an_owner_without_a_name(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4242424)
    assert owner.owner()["user"] == "4242424"
