"""What becomes of a run that somebody ends or unlocks, through the real ansible-playbook: one that waits for a registry."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket

import jsonschema
import pytest
from ansible.module_utils.rollout.io.store import Store
from story import until

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")


@pytest.fixture
def waiting(ansible, tmp_path):
    """A run that has its lock, as long as it is asked for: its process, and its id."""
    state = tmp_path / "state"

    @contextlib.contextmanager
    def begin():
        with socket.create_server(("127.0.0.1", 0)) as registry:
            registry.settimeout(60)
            given = {"rollout_registry": f"127.0.0.1:{registry.getsockname()[1]}", "rollout_registry_insecure": True}
            process = ansible.begin("rollout.yml", facts=given, sha="abc1234")
            try:
                connection, _address = registry.accept()
                run = Store(str(state)).lock()["run"]
                with connection:
                    yield process, run
            finally:
                process.kill()
                process.communicate()
        # A host's first step leaves no agent; one that gave the lock back has ended within a second.
        until(lambda: not list(state.glob(".agent-*")))

    return begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_says_what_it_has_touched_and_leaves_a_report(waiting, root, tmp_path, number):
    with waiting() as (process, run):
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        lock = Store(str(tmp_path / "state")).lock()
    assert process.returncode == 99, out + err
    assert "Traceback" not in out + err
    (report,) = (tmp_path / "reports").glob("*/report.html")
    said = "ROLLOUT INTERRUPTED: nothing was touched, what ran before still runs. Its locks were given back."
    assert out == f"\n{said}\n\nReport: {report}\n"
    document = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8")))
    assert (document["verdict"], document["run"], report.parent.name) == ("interrupted", run, run)
    assert "Rollout interrupted" in report.read_text(encoding="utf-8")
    assert f"{run}/report.html" in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert lock is None, "nobody has to wait for it"


def test_its_lock_stays_while_it_is_at_work_unless_that_is_meant(waiting, ansible, tmp_path):
    store = Store(str(tmp_path / "state"))
    with waiting() as (process, run):
        refused = ansible("playbooks/unlock.yml")
        assert refused.returncode == 2
        assert (
            f"localhost: not removed. It is still running on this machine (pid {process.pid}): run {run} (rollout) of "
            in refused.stdout
        )
        assert f"(kill {process.pid}; it then reports what it changed)" in refused.stdout
        assert store.lock()["run"] == run
        removed = ansible("playbooks/unlock.yml", force=True)
        assert removed.returncode == 0, removed.stdout + removed.stderr
        assert f"localhost: the lock of run {run} (rollout) of " in removed.stdout
        assert store.lock() is None


def test_its_lock_goes_once_it_is_dead(waiting, ansible, tmp_path):
    with waiting() as (process, run):
        process.kill()
        process.wait()
        removed = ansible("playbooks/unlock.yml")
        assert removed.returncode == 0, removed.stdout + removed.stderr
        assert f"localhost: the lock of run {run} (rollout) of " in removed.stdout
        assert Store(str(tmp_path / "state")).lock() is None
