"""The command of the benchmark, where it cannot measure."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--only", "nobody"],
            "No contestant is called nobody. There are shell, compose-wait, plain-ansible, rollout, start-first,",
        ),
        ([], "The Docker engine at /nowhere/docker.sock does not answer (No such file or directory): make prepare."),
    ],
)
def test_it_says_why_in_a_sentence(root, tmp_path, options, said):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--results", str(tmp_path), *options],
        cwd=root,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
