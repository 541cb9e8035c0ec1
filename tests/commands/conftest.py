from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import fake_dial
import pytest

STACK = {"wave": "backend", "template": "x.j2", "images": ["a"]}


@pytest.fixture
def ansible(root, tmp_path):
    """Run a playbook of the root on this machine, with an engine on which nothing runs. Whatever else is asked of it is noted."""
    docker = tmp_path / "docker"
    docker.write_text(
        f"""#!/bin/sh\ncase "$*" in\n'system dial-stdio') exec {sys.executable} {fake_dial.__file__} "$0";;\n"""
        """info*) echo '{"ServerVersion": "24.0.7", "Architecture": "x86_64"}';;\nps*) ;;\n"""
        f"'compose version --short') echo 2.26.1;;\n*) echo \"$*\" >> {tmp_path}/touched; exit 64;;\nesac\n"
    )
    docker.chmod(0o755)
    inventory = tmp_path / "hosts.json"

    def begin(playbook, *options, groups=("backend",), facts=None, hosts=None, **variables):
        """``facts`` are the inventory's, ``hosts`` each one's own, ``variables`` those of -e."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": shutil.which("python3")}
        known = {
            "rollout_application": "app",
            "rollout_registry": "localhost:1",
            "rollout_dir": str(tmp_path / "state"),
            "rollout_stacks": {"core": STACK},
            **(facts or {}),
        }
        own = {name: {**local, **mine} for name, mine in (hosts or {"localhost": {}}).items()}
        children = {group: {"hosts": {name: {} for name in own}} for group in groups}
        inventory.write_text(json.dumps({"all": {"hosts": own, "children": children, "vars": known}}))
        return subprocess.Popen(
            ["ansible-playbook", "--inventory", str(inventory), playbook, "--extra-vars", json.dumps(variables), *options],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ROLLOUT_REPORTS": str(tmp_path / "reports"),
                "LC_ALL": "C.UTF-8",
            },
        )

    def run(*typed, **given):
        process = begin(*typed, **given)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    run.begin = begin
    return run
