"""The script for hosts without Ansible, run by a Python without packages; its docker is a stand-in that runs the probe here."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fake_docker
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "rollout"))
from interpreter import bare_python

DOCKER = """
    "exec "*hangs*) exit 1 ;;
    "exec "*gone*) echo "Error response from daemon: No such container: gone" >&2; exit 1 ;;
    "exec "*) exec PYTHON - ;;
    "compose "*" run "*) exec PYTHON - ;;
    "compose "*" config "*) echo '{"services": {"web": {"image": "r/web"}}}' ;;
    *) ;;
"""


@pytest.fixture
def torch_check(root, tmp_path):
    fake_docker.install(tmp_path, DOCKER.replace("PYTHON", bare_python()))

    def run(*arguments):
        return subprocess.run(
            [bare_python(), str(root / "scripts" / "torch-check"), *arguments],
            capture_output=True,
            text=True,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
            timeout=60,
        )

    return run


@pytest.mark.parametrize(
    "target", [("--container", "web"), ("--image", "r/web"), ("--compose-file", "/x/docker-compose.yml", "--service", "web")]
)
def test_what_is_proven(torch_check, target):
    done = torch_check(*target, "--expect", "absent")
    assert (done.returncode, done.stderr) == (0, "")
    name = target[-1]
    assert done.stdout.startswith(
        f"PASS  {name}: expected no torch, found no torch (ok).\n\n  pass  answer: one (expected: an answer in time)\n"
    )
    assert "  runs as: user " in done.stdout


def test_what_is_not(torch_check):
    done = torch_check("--container", "web", "--expect", "cpu")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL  web: expected torch for cpu, found no torch (torch_missing). The fault is the image's. ")


def test_what_is_not_known(torch_check):
    done = torch_check("--container", "gone", "--expect", "cpu")
    assert done.returncode == 2
    assert done.stdout.startswith(
        "UNKNOWN  gone: expected torch for cpu, found Error response from daemon: No such container: gone"
    )


def test_json(torch_check):
    found = json.loads(torch_check("--container", "web", "--expect", "absent", "--json").stdout)
    assert (found["target"], found["verdict"], found["reason"]) == ("web", "pass", "ok")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "the following arguments are required: --expect"),
        (("--expect", "cpu"), "name one of --container, --image, --compose-file"),
        (("--expect", "cpu", "--container", "a", "--image", "b"), "name one of --container, --image, --compose-file"),
        (("--expect", "cpu", "--compose-file", "a"), "--compose-file and --service go together"),
        (("--expect", "gpu", "--image", "a"), "invalid choice: 'gpu'"),
        (
            ("--expect", "cuda", "--image", "a", "--min-torch", "new"),
            "expected.min_torch is 'new': expected a version in quotes.",
        ),
        (
            ("--expect", "cpu", "--compose-file", "/x/c.yml", "--service", "worker"),
            "/x/c.yml has no service worker; it has web.",
        ),
    ],
)
def test_refusals(torch_check, arguments, sentence):
    done = torch_check(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_without_docker(root, tmp_path):
    done = subprocess.run(
        [bare_python(), str(root / "scripts" / "torch-check"), "--container", "web", "--expect", "cpu"],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        timeout=60,
    )
    assert (done.returncode, "docker: command not found" in done.stdout) == (2, True)
