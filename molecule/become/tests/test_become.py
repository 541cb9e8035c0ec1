"""Steps over SSH, typed as an operator would with other ways to become root than the scenarios' own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SCENARIO = Path(__file__).resolve().parents[1]
ROOT = SCENARIO.parents[1]
KEY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "id"
WAYS = {
    "nothing becomes": ("plain", []),
    "sudo": ("by-sudo", ["--become", "--extra-vars", json.dumps({"ansible_become_password": "word of by-sudo"})]),
    "su": ("by-su", ["--become", "--become-method=su", "--extra-vars", json.dumps({"ansible_become_password": "word of root"})]),
    "doas": ("by-doas", ["--become", "--become-method=doas"]),
    "a shell that prints": ("talker", []),
    "a shell that prints, sudo": ("talker", ["--become"]),
    "a /tmp of its own": ("private", []),
}


@pytest.fixture
def lock(host, tmp_path):
    """Type the step: who connects, its run, its state and Ansible's options; to its result."""
    address = host.check_output("hostname -I").split()[0]

    def call(user, run, state, *options):
        command = ["ansible", "all", f"--inventory={address},", f"--user={user}", f"--private-key={KEY}", "-m", "lock"]
        command += [f"--tree={tmp_path}", f"--args=root=/var/tmp/{run} application=app run={run} state={state}"]
        environment = {
            **os.environ,
            "ANSIBLE_HOST_KEY_CHECKING": "false",
            "ANSIBLE_BECOME_PLUGINS": str(SCENARIO / "become_plugins"),
        }
        done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        said = tmp_path / address
        assert said.exists(), done.stdout + done.stderr
        return json.loads(said.read_text())

    return call


@pytest.mark.parametrize("way", WAYS)
def test_a_run_begins_goes_on_and_ends(host, lock, way):
    user, options = WAYS[way]
    run = way.replace(" ", "-").replace("/", "").replace(",", "")
    place = f"/var/tmp/{run}/.agent-{run}"
    # Nothing stays of a host's first step ever: an agent has no directory yet where it could listen.
    assert lock(user, run, "held", *options)["changed"]
    assert host.check_output(f"pgrep -f agent-{run}$ || true") == ""
    assert not lock(user, run, "renewed", *options)["changed"]
    owner = "root" if "--become" in options else user
    assert (host.file(f"/var/tmp/{run}/lock.json").user, host.file(place).user, host.file(place).mode) == (owner, owner, 0o700)
    agents = host.check_output(f"pgrep -f agent-{run}$")
    assert len(agents.split()) == 1
    assert not lock(user, run, "renewed", *options)["changed"]
    assert host.check_output(f"pgrep -f agent-{run}$") == agents, "the same one took it"
    assert lock(user, run, "released", *options)["released"]
    host.run_test("for n in $(seq 100); do test -e %s || exit 0; sleep 0.1; done", place)
    assert not host.file(place).exists
    assert host.check_output("find /tmp /tmp-inst -name '*rollout*' -o -name '*agent*'") == ""


def test_another_users_state_directory_is_refused_with_what_to_type(host, lock):
    assert lock("plain", "foreign", "held")["changed"]
    said = lock("talker", "foreign", "held", "--become")
    assert said["msg"].startswith(
        "/var/tmp/foreign belongs to plain and has mode 0700, so another user than root could replace the files that root runs "
        "and reads in the state directory /var/tmp/foreign. Type sudo chown root /var/tmp/foreign && sudo chmod go-w "
        "/var/tmp/foreign, or set"
    )
    assert not host.file("/var/tmp/foreign/lock.json").contains("root")


def test_an_agent_does_not_outlive_a_run_that_ends_without_a_word(host, lock):
    for _step in range(2):
        lock("plain", "lost", "held")
    assert len(host.check_output("pgrep -f agent-lost$").split()) == 1
    host.run_test("for n in $(seq 150); do pgrep -f agent-lost$ || exit 0; sleep 0.1; done")
    assert host.check_output("pgrep -f agent-lost$ || true") == ""
    assert host.check_output("ls -A /var/tmp/lost").split() == [".agent", ".lock", "lock.json", "releases"]


def test_a_python_that_is_not_there_is_refused_with_what_to_type(lock):
    said = lock("plain", "none", "held", "--extra-vars=ansible_python_interpreter=/opt/python3")
    assert said["msg"].startswith("No step can run on this host: it has no /opt/python3. Install Python 3.9 or newer there")
