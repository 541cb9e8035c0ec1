"""Two ordinary users of a host, one of whom connects for the runs and becomes root: they can do nothing."""

import json
import subprocess

import pytest
from conftest import GOOD, VAULT, all_of, leaks, readable
from operators import Running

LISTENS = """
import os, socket, sys
os.umask(0)
os.makedirs(sys.argv[1], exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + "/agent")
listener.listen()
listener.settimeout(120)
connection, _address = listener.accept()
open("/home/mallory/told", "wb").write(connection.recv(65536) or b"somebody came")
"""


def as_mallory(*argv, **options):
    return subprocess.run(["docker", "exec", "--user", "mallory", *options.pop("with_", ()), GOOD.container, *argv], check=True)


@pytest.fixture
def lock(runs):
    """Type the first step of a run with that id."""

    def call(run):
        step = f"--args=root=/var/lib/rollout/mine application=mine run={run}"
        inventory = f"--inventory={runs.both.inventory}"
        return runs.ended(f"lock {run}", Running(["ansible", "good", inventory, *VAULT, "--module-name=lock", step]))

    return call


def test_nobody_else_can_keep_a_run_from_its_agent(lock):
    """Files in /tmp with the names that agents once had there do not matter."""
    for place in ("/tmp/rollout-mine-1", "/tmp/rollout-unlock"):
        as_mallory("python3", "-c", LISTENS, place, with_=("--detach",))
    for _step in range(2):
        result = lock("mine-1")
        assert result.rc == 0, result.said
    assert GOOD.exec("ls", "/var/lib/rollout/mine/.agent-mine-1")
    assert not GOOD.exec("sh", "-c", "cat /home/mallory/told 2> /dev/null || true")


@pytest.mark.parametrize("state", ["/home/mallory/state", "/home/mallory/parent/state"])
def test_a_state_directory_of_somebody_else_is_refused(runs, state):
    as_mallory("mkdir", "--parents", "--mode=0755", "/home/mallory/state", "/home/mallory/parent")
    typed = ("-e", "sha=aaaaaa1", "-e", f"rollout_dir={state}", "-e", "rollout_application=other", "-e", "hostile_port=8302")
    result = runs.type(state, runs.both, "rollout.yml", "--limit", "good", *typed)
    said = readable(result)
    assert result.rc == 2
    assert "ROLLOUT REFUSED: nothing was touched" in said
    assert "/home/mallory" in said
    assert "mallory" in said.replace("/home/mallory", "")
    assert GOOD.exec("sh", "-c", f"find {state} -type f | head -n 3 || true") == ""


def test_the_connecting_user_is_not_in_group_docker():
    assert "docker" not in GOOD.exec("id", "--name", "--groups", "ktrdr").split()


def test_all_that_root_runs_is_roots(runs):
    rows = GOOD.exec("sh", "-c", "find /var/lib/rollout -maxdepth 2 -printf '%u %m %p\\n'").splitlines()
    assert len(rows) > 5
    for row in rows:
        owner, mode, path = row.split(" ", 2)
        assert (owner, int(mode, 8) & 0o022) == ("root", 0), row
        assert not path.endswith(".env") or int(mode, 8) & 0o077 == 0
    unit = GOOD.exec("cat", "/etc/systemd/system/rollout-guard-hostile.service")
    assert "User=root" in unit


@pytest.fixture(scope="module")
def found():
    """The tries of each user that were not refused, over all runs."""
    GOOD.exec("touch", "/run/enough")
    rows = {}
    for user in ("mallory", "ktrdr"):
        script = f"for n in $(seq 100); do grep -q tries /home/{user}/found && break; sleep 0.1; done; cat /home/{user}/found"
        rows[user] = [json.loads(line) for line in GOOD.exec("sh", "-c", script).splitlines()]
    return rows


@pytest.mark.parametrize("user", ["mallory", "ktrdr"])
def test_every_try_is_refused(found, user):
    *rows, tries = found[user]
    assert (tries["what"], int(tries["path"]) > 20, int(tries["found"]) > 1000) == ("tries", True, True)
    assert [row for row in rows if row["what"] != "command line"] == []


@pytest.mark.parametrize("user", ["mallory", "ktrdr"])
def test_no_command_line_shows_a_secret(found, user, canaries):
    lines = [row["found"] for row in found[user] if row["what"] == "command line"]
    assert any("docker" in line for line in lines)
    assert leaks("\n".join(lines), canaries) == {}


def test_the_other_host_holds_nothing_that_is_not_its_own(found, canaries):
    """In files that another user may read, nothing; in those of root, the secrets of its own stack."""
    find = "find /etc /home /opt /root /run /tmp /var/lib/rollout /var/log /var/tmp -xdev -type f"
    public = all_of(GOOD, find + " -readable -exec cat {} + 2> /dev/null || true", "mallory")
    assert len(public) > 10_000
    assert leaks(public, canaries) == {}
    private = all_of(GOOD, find + " -exec cat {} + 2> /dev/null || true")
    assert set(leaks(private, canaries)) == {"vault_password", "vault_key", "vault_token"}
    assert GOOD.exec("sh", "-c", "ls -d /var/lib/rollout/*/.login* 2> /dev/null || true") == ""
