"""Who is told of a run, through the real ansible-playbook: a rollout that is refused, because it is the cheapest."""

from __future__ import annotations

import shutil
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from receiver import receiver

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
TITLE = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


def screen_of(done):
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 2
    screen = done.stdout
    assert TITLE in screen
    return screen


def test_people_are_told_and_no_secret_is(ansible, tmp_path):
    with receiver() as well, receiver(500) as ill:
        urls = [well.url, ill.url, "unknown://canary-host/canary-token"]
        done = ansible("rollout.yml", "-vvv", facts={"rollout_notify_urls": urls}, sha="xyz")
    screen = screen_of(done)
    assert well.got[0]["title"] == TITLE
    assert well.got[0]["message"].startswith("On host localhost: sha 'xyz' is not a commit")
    assert "Not notified: JSON (URL 2 of rollout_notify_urls) did not take it: is it there, is the URL right?" in screen
    assert "Not notified: URL 3 of rollout_notify_urls is not one that Apprise knows." in screen
    assert "canary" not in done.stdout + done.stderr
    # The inventory is where they come from.
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "hosts.json"]
    assert "report.json" in {path.name for path in files}
    assert not any(b"canary" in path.read_bytes() for path in files)


def test_a_receiver_that_hangs_costs_its_limit_and_nothing_else(ansible):
    facts = {"rollout_notify_timeout": 1}
    with receiver(0) as slow:
        began = time.monotonic()
        done = ansible("rollout.yml", facts={**facts, "rollout_notify_urls": [slow.url]}, sha="xyz")
        took = time.monotonic() - began
    assert "Not notified: JSON (URL 1 of rollout_notify_urls) did not take it within 1 s." in screen_of(done)
    assert took < 50, "the receiver hangs for 60 s"


@pytest.mark.parametrize(("verdicts", "told"), [(["refused"], 1), (["reverted", "unknown"], 0), ([], 0)])
def test_only_of_the_verdicts_that_were_chosen(ansible, verdicts, told):
    with receiver() as one:
        screen_of(ansible("rollout.yml", facts={"rollout_notify_urls": [one.url], "rollout_notify_on": verdicts}, sha="xyz"))
    assert len(one.got) == told


def test_check_mode_tells_nobody(ansible, tmp_path):
    with receiver() as one:
        facts = {"rollout_notify_urls": [one.url], "rollout_metrics_dir": str(tmp_path)}
        screen_of(ansible("rollout.yml", "--check", facts=facts, sha="xyz"))
    assert one.got == []
    assert not list(tmp_path.glob("*.prom"))


def test_a_verdict_that_there_is_not(ansible):
    done = ansible("rollout.yml", facts={"rollout_notify_on": ["broken"]}, sha="xyz")
    assert done.returncode != 0
    assert "value of rollout_notify_on must be one or more of: succeeded, unchanged, refused," in " ".join(done.stdout.split())


def test_urls_that_are_no_list(ansible):
    screen = screen_of(ansible("rollout.yml", facts={"rollout_notify_urls": 5}, sha="xyz"))
    assert "Not notified: URL 1 of rollout_notify_urls is not one that Apprise knows." in screen


def test_metrics(ansible, tmp_path):
    screen = screen_of(ansible("rollout.yml", facts={"rollout_metrics_dir": str(tmp_path)}, sha="xyz"))
    assert "metrics" not in screen.partition("Report: ")[0]
    families = {f.name: f for f in text_string_to_metric_families((tmp_path / "rollout_app.prom").read_text())}
    (verdict,) = [s.labels["verdict"] for s in families["rollout_last_run_verdict"].samples if s.value]
    assert verdict == "refused"
    (took,) = families["rollout_last_run_duration_seconds"].samples
    assert 0 < took.value < 300
    assert took.labels == {"application": "app", "host": "localhost"}


def test_metrics_that_cannot_be_written(ansible, tmp_path):
    screen = screen_of(ansible("rollout.yml", facts={"rollout_metrics_dir": str(tmp_path / "absent")}, sha="xyz"))
    assert f"localhost has no metrics of this run: {tmp_path}/absent/rollout_app.prom cannot be written (No such file" in screen
