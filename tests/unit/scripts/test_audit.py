"""scripts/audit.py, with a pip-audit that is simulated."""

from __future__ import annotations

import json

import pytest

PIP_AUDIT = """
import json, os, sys
given = open(sys.argv[sys.argv.index("--requirement") + 1]).read().split()
plan = json.loads(os.environ["PLAN"])
if plan.get("broken"):
    sys.exit(plan["broken"])
found = []
for line in given:
    name, version = line.split("==")
    said = plan["said"].get(name, {"vulns": []})
    found.append({"name": name, "version": version, **said})
print(json.dumps({"dependencies": found}))
sys.exit(any(each.get("vulns") for each in found))
"""
LOCK = """
# a comment
jinja2==3.1.6 \\
    --hash=sha256:00
networkx==3.6.1 ; python_full_version < '3.12' \\
    --hash=sha256:00
networkx==3.7 ; python_full_version >= '3.12' \\
    --hash=sha256:00
torch==2.13.0+cpu \\
    --hash=sha256:00
psycopg[binary]==3.3.9
"""
OLD = {"vulns": [{"id": "CVE-1", "fix_versions": ["9.9"], "aliases": []}]}


@pytest.fixture
def audit(load, monkeypatch, tmp_path, capsys):
    """Runs the script over one lock, with what the database says by name; gives its status and its words."""
    script = load("scripts/audit.py")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/app.txt").write_text(LOCK)
    (tmp_path / "pip_audit.py").write_text(PIP_AUDIT)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "KNOWN_BAD", ("canary", "1"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(said=None, broken=None):
        monkeypatch.setenv("PLAN", json.dumps({"said": {"canary": OLD, **(said or {})}, "broken": broken}))
        status = script.main()
        return status, capsys.readouterr().out

    run.script = script
    return run


def test_nothing_known_is_told_with_the_number_of_packages(audit):
    assert audit() == (0, "5 packages: 0 vulnerabilities, 0 not known to the database\n")


def test_a_vulnerability_fails(audit):
    status, said = audit({"torch": OLD})
    assert status == 1
    # Databases know a version without its flavour.
    assert "torch 2.13.0: CVE-1; fixed in 9.9" in said


def test_both_versions_of_a_package_are_asked_about(audit):
    assert audit({"networkx": OLD})[1].count("networkx 3.") == 2


def test_a_package_that_the_database_does_not_know_fails(audit):
    status, said = audit({"psycopg": {"skip_reason": "not found"}})
    assert (status, said.splitlines()[0]) == (1, "psycopg: not found")


@pytest.mark.parametrize(
    ("said", "broken", "why"),
    [
        ({"canary": {"skip_reason": "Dependency not found"}}, None, "Dependency not found"),
        ({"canary": {"vulns": []}}, None, "it answers, and knows no vulnerability"),
        (None, "Could not connect", "Could not connect"),
    ],
)
def test_a_database_that_is_not_reached_is_skipped_with_the_reason(audit, said, broken, why):
    status, told = audit(said, broken)
    assert status == 0
    assert told == f"skipped: no database of vulnerabilities is reached from here ({why}).\n"


def test_a_pip_audit_that_cannot_be_run_is_no_skip(audit, tmp_path):
    (tmp_path / "pip_audit.py").write_text("import sys\nprint('usage: no such option', file=sys.stderr)\nsys.exit(2)\n")
    with pytest.raises(SystemExit, match="no such option"):
        audit()


def test_a_missing_pip_audit_is_no_skip(audit, tmp_path):
    (tmp_path / "pip_audit.py").unlink()
    with pytest.raises(SystemExit, match="No module named"):
        audit()
