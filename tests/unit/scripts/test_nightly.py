"""scripts/nightly.py: the parts of a night, and the table of what became of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest


@pytest.fixture
def nightly(load, monkeypatch, tmp_path):
    """The script, in a repository of its own with one commit, whose parts are true and false."""
    script = load("scripts/nightly.py")
    page, kept = tmp_path / "docs/nightly.md", tmp_path / "kept"
    page.parent.mkdir()
    page.write_text(f"Before.\n\n{script.HEAD}\nBehind.\n")
    (tmp_path / ".gitignore").write_text("kept\n")
    for name, value in {"ROOT": tmp_path, "PAGE": page, "KEPT": kept}.items():
        monkeypatch.setattr(script, name, value)
    parts = {"good": ["echo", "== 2 passed, 1 skipped in 0.1s =="], "none": ["echo", "nothing"], "bad": ["false"]}
    monkeypatch.setattr(script, "commands", lambda: parts)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return script


def typed(nightly, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["nightly.py", *words])
    return nightly.main()


def results(nightly):
    return {part: row.result for part, row in nightly.known().items()}


def test_every_part_is_run_and_told(nightly, monkeypatch):
    assert typed(nightly, monkeypatch) == 1
    assert results(nightly) == {"good": "passed", "none": "failed", "bad": "failed"}
    assert nightly.known()["good"].tests == "2 passed, 1 skipped"
    assert nightly.known()["good"].commit == nightly.commit()
    text = nightly.PAGE.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\n\nBehind.\n")


def test_an_interrupted_night_goes_on(nightly, monkeypatch):
    assert typed(nightly, monkeypatch, "good") == 0
    ran = []
    monkeypatch.setattr(nightly, "run", lambda part: ran.append(part) or nightly.Row(part, result="passed"))
    assert typed(nightly, monkeypatch) == 0
    assert ran == ["none", "bad"]
    assert typed(nightly, monkeypatch, "good") == 0
    assert ran[2:] == ["good"]


def test_what_passed_at_another_commit_or_with_changes_is_run_again(nightly, monkeypatch):
    (nightly.ROOT / "new").touch()
    assert typed(nightly, monkeypatch, "good") == 0
    assert nightly.known()["good"].commit.endswith("+")
    ran = []
    monkeypatch.setattr(nightly, "run", lambda part: ran.append(part) or nightly.Row(part, result="passed"))
    typed(nightly, monkeypatch)
    assert ran == ["good", "none", "bad"]


def test_a_part_that_never_ran_says_so(nightly):
    nightly.publish()
    assert nightly.PAGE.read_text().count(nightly.NEVER) == 3


def test_the_newer_of_page_and_file_counts(nightly):
    rows = [nightly.Row("good", "2026-01-02 00:00", "a", "failed", 3, "1 failed"), nightly.Row("good", "2026-01-01 00:00")]
    nightly.KEPT.mkdir()
    for row in rows:
        (nightly.KEPT / "good.json").write_text(json.dumps(asdict(row)))
        nightly.publish()
        assert nightly.known()["good"] == rows[0]


def test_an_unknown_part_is_named(nightly, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        typed(nightly, monkeypatch, "god")
    assert "There is no part god: it is one of good, none, bad." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("  \x1b[2m│\x1b[0m \x1b[32m3 passed\x1b[0m, 5 deselected in 12.01s (0:00:12)", "3 passed"),
        ("1 failed, 2 passed in 3.1s\n4 passed in 2.0s", "1 failed, 6 passed"),
        ("5 mutants: 5 killed, 0 survived, 0 timeout", "5 mutants: 5 killed, 0 survived, 0 timeout"),
        ("all is well", ""),
    ],
)
def test_counts(nightly, log, found):
    assert nightly.counts(log) == found


def test_a_part_that_was_skipped_is_neither_passed_nor_failed(nightly, monkeypatch):
    parts = {"audit": ["echo", "skipped: no database is reached"], "broken": ["sh", "-c", "echo skipped: no; false"]}
    monkeypatch.setattr(nightly, "commands", lambda: parts)
    assert typed(nightly, monkeypatch, "audit") == 0
    assert typed(nightly, monkeypatch) == 1
    assert results(nightly) == {"audit": "skipped", "broken": "failed"}


def test_the_figures_of_the_audit_are_counts(nightly):
    assert nightly.counts("a 1.0: CVE\n7 packages: 1 vulnerabilities, 0 not known to the database\n").startswith("7 packages: 1")
