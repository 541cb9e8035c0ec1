"""A service that prints secrets and escape sequences, one whose health never ends and one whose health is elsewhere: each fails
its gate and nothing else. And a step that hangs, whose controller dies."""

import html
import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import BOUND_S, FIRST, GOOD, GUARDED, leaks, readable, runs_on_good

ALONE = ("--limit", "good", "-e", "hostile_deadline=4")


pytestmark = pytest.mark.usefixtures("stable")


@pytest.fixture(scope="module")
def told(runs, servers, canaries):
    """The screen, the report as document and as page, and the notification of the release that prints."""
    _registry, elsewhere = servers
    notified = ("-e", json.dumps({"rollout_notify_urls": [f"json://{elsewhere.host}/notified"]}))
    result = runs.type("talks", runs.both, "rollout.yml", *ALONE, "-e", "sha=ba51e55", *notified)
    report = next(line for line in result.out.split() if line.endswith("report.html"))
    texts = [Path(report).with_suffix(kind).read_text(encoding="utf-8") for kind in (".json", ".html")]
    return result, [result.out, *texts, *elsewhere.told]


def test_what_a_service_prints_is_reverted_and_read(told):
    result, texts = told
    assert result.rc == 2
    said = readable(result)
    assert f"REVERTED: sha-ba51e55 did not pass. {FIRST} runs again" in said
    assert runs_on_good() == [FIRST]
    # Otherwise the searches prove nothing.
    assert len(texts) == 4
    assert all("postgresql://" in text for text in texts[:2])
    assert "\\x1b]52" in said


@pytest.mark.parametrize("which", ["screen", "document", "page", "notification"])
def test_no_line_of_a_secret_in_any_form(told, canaries, which):
    text = told[1][["screen", "document", "page", "notification"].index(which)]
    # As a person reads it: without the breaks of a narrow screen.
    for seen in (text, html.unescape(text), "".join(text.split("\n"))):
        assert leaks(seen, canaries) == {}


def test_reports_hold_no_escape_sequence(told):
    for text in told[1][1:]:
        assert re.findall(r"[^\n\t\r -~\xa0-\U0010ffff]", text) == []
    assert "<script>alert" not in told[1][2]


def test_health_that_never_ends_is_reverted_in_time(runs):
    result = runs.type("drips", runs.both, "rollout.yml", *ALONE, "-e", "sha=d0d0d0d")
    said = readable(result)
    assert result.rc == 2
    assert f"REVERTED: sha-d0d0d0d did not pass. {FIRST} runs again" in said
    assert "an answer from http://127.0.0.1:8300" in said
    assert result.seconds < BOUND_S
    assert runs_on_good() == [FIRST]


def test_a_redirect_is_not_followed_and_the_message_says_where_it_points(runs):
    result = runs["redirects"]
    said = readable(result)
    assert result.rc == 2
    assert "sha-e15e0e1 did not pass. It was taken away" in said
    assert "HTTP 302" in said
    assert "127.0.0.1:8304/elsewhere" in said


def test_a_terminal_obeys_nothing_of_what_a_service_prints(runs):
    out = runs["terminal"].out
    # Our own: colours, and what is written over.
    assert re.findall(r"[^\n\t\r -~\xa0-\U0010ffff]", re.sub(r"\x1b\[(0|0;3[0-9]|1;3[0-9]|2K|1A)?[mKA]?", "", out)) == []
    assert "sha-ba51e55 did not pass" in " ".join(out.split())
    assert "postgresql://" in out, "otherwise this proves nothing"


def test_the_status_of_a_service_that_is_silent_hides_the_token_of_its_url(runs, canaries):
    process = GOOD.exec("docker", "inspect", "--format", "{{.State.Pid}}", "hostile-web-web-1")
    GOOD.exec("pkill", "-STOP", "-P", process)
    try:
        started = {
            shape: runs.both.start("status.yml", "--limit", "good", "-e", f"format={shape}") for shape in ("table", "json")
        }
        results = [runs.ended(f"silent {shape}", running) for shape, running in started.items()]
    finally:
        GOOD.exec("pkill", "-CONT", "-P", process)
    for result in results:
        assert "not healthy" in readable(result)
        assert "127.0.0.1:8300/health" in result.said
        assert leaks("".join(result.out.split("\n")), canaries) == {}


def test_a_guard_ends_the_step_that_hangs_and_reverts(guarded):
    """Of a run that is dead: docker hangs in its switch."""
    found = guarded.result(150)
    assert runs_on_good("guarded") == [FIRST]
    entries = GUARDED.ledger()
    assert (entries[-1]["by"], entries[-1]["name"], entries[-1]["fault"]) == ("guard", FIRST, "")
    # That is in the ledger too.
    assert [(entry["event"], entry["run"], entry["by"]) for entry in entries[-2:-1]] == [("ended", entries[-1]["run"], "guard")]
    gone = subprocess.run(["docker", "exec", GUARDED.container, "test", "-e", f"/proc/{found['hung']:.0f}"]).returncode
    assert gone, "what hung is still there"
