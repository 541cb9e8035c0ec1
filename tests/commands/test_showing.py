"""What a run shows and leaves, through the real ansible-playbook: a rollout that is refused, because it is the cheapest."""

from __future__ import annotations

import json
import shutil

import jsonschema
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
TITLE = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


@pytest.fixture
def refused(ansible, root, tmp_path, monkeypatch):
    """The stdout of a rollout that is refused: what stands above its last screen, and that screen."""
    for name in ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_VERBOSITY"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))

    def run(*options):
        done = ansible("rollout.yml", *options, sha="xyz")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        above, _, screen = done.stdout.rpartition(f"\n{TITLE}\n")
        (report,) = (tmp_path / "reports").glob("*/report.html")
        assert screen.endswith(f"\n\nReport: {report}\n")
        document = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(document)
        assert (document["verdict"], document["run"], document["check"]) == ("refused", report.parent.name, "--check" in options)
        assert f"{report.parent.name}/report.html" in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
        assert list(temporary.iterdir()) == []
        return above, screen

    return run


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_nothing_but_the_last_screen(refused, options):
    above, screen = refused(*options)
    assert above == "", "nothing of waves without hosts, no recap"
    assert "On host localhost: sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f, for example" in screen


@pytest.mark.parametrize(("options", "stdout"), [(["-v"], None), ([], "default")])
def test_ansibles_own_lines_and_the_screen_below_them(refused, monkeypatch, options, stdout):
    if stdout:
        monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", stdout)
    above, _screen = refused(*options)
    assert above.index("PLAY [Plan the rollout] ***") < above.index("fatal: [localhost]: FAILED!") < above.index("PLAY RECAP ***")
    assert "  localhost  FAILED:" not in above


def test_a_run_that_may_not_begin_leaves_nothing(ansible, tmp_path, monkeypatch):
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    done = ansible("rollout.yml", "--tags", "switch")
    assert done.stdout.startswith("ROLLOUT REFUSED: nothing was touched. --tags would run a part of rollout.yml")
    assert list((tmp_path / "t").iterdir()) == []
    assert not (tmp_path / "reports").exists()
