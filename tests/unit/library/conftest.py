from __future__ import annotations

import importlib
import json
import sys

import fake_dial
import pytest
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def run(capsys):
    """Run a module in this process: its name and arguments, to its result."""

    def run_module(name, check=False, /, **arguments):
        module = importlib.import_module(name)
        with (
            patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}),
            pytest.raises(SystemExit) as end,
        ):
            module.main()
        result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        assert bool(end.value.code) == bool(result.get("failed"))
        return result

    return run_module


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a `docker` first on PATH that answers by the cases of a shell `case "$*"`; info and compose it knows."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def make(cases=""):
        script = tmp_path / "bin" / "docker"
        script.write_text(
            f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in\n\'system dial-stdio\') exec {sys.executable} {fake_dial.__file__} "$0";;\n'
            + cases
            + """info*) echo '{"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/"}';;\n"""
            "'compose version --short') echo 2.26.1;;\nps*) exit 0;;\n*) echo \"unexpected: $*\" >&2; exit 64;;\nesac\n"
        )
        script.chmod(0o755)

    return make
