"""status.yml as it is typed, on a host on which nothing runs."""

from __future__ import annotations

import json
import shutil

import pytest
from ansible.module_utils.rollout.io.store import Store

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")


@pytest.fixture
def interrupted(tmp_path):
    """A run that never came to its end."""
    store = Store(str(tmp_path / "state"))
    store.require_writable()
    store.append("switching", "r9", name="sha-bbbbbbb", release="sha-bbbbbbb", service="web")


def test_the_document_is_all_there_is_on_stdout(ansible):
    done = ansible("status.yml", "--extra-vars", "format=json strict=true")
    document = json.loads(done.stdout)
    assert (document["as_released"], document["drift"]) == (True, [])
    assert document["hosts"]["localhost"]["ledger"]["stable"] is None
    assert "Could not match supplied host pattern" in done.stderr, "what people read goes elsewhere"
    assert done.returncode == 0


@pytest.mark.parametrize(("strict", "fails"), [("true", True), ("false", False), ("yes", True)])
@pytest.mark.usefixtures("interrupted")
def test_drift_fails_a_strict_status_alone(ansible, strict, fails):
    done = ansible("status.yml", "--extra-vars", f"strict={strict}")
    screen = done.stdout
    assert "localhost: Interrupted switching web, by run r9 on its way to sha-bbbbbbb. Roll out or roll back again." in screen
    assert bool(done.returncode) is fails, done.stdout


@pytest.mark.usefixtures("interrupted")
def test_a_strict_document(ansible):
    done = ansible("status.yml", "--extra-vars", "format=json", "--extra-vars", "strict=true")
    assert json.loads(done.stdout)["drift"] == [
        "localhost: Interrupted switching web, by run r9 on its way to sha-bbbbbbb. Roll out or roll back again."
    ]
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("format=xml", "value of format must be one of: table, json, got: xml"),
        ("strict=perhaps", "strict is 'perhaps': not of the type bool. docs/inventory.md"),
        ("format=json strict=perhaps", "strict is 'perhaps': not of the type bool. docs/inventory.md"),
    ],
)
def test_a_wrong_value_is_refused(ansible, typed, sentence):
    done = ansible("status.yml", "--extra-vars", typed)
    assert done.returncode != 0
    said, other = (done.stderr, done.stdout) if "json" in typed else (done.stdout, done.stderr)
    assert sentence in " ".join(said.split())
    assert "Traceback" not in said
    if "json" in typed:
        assert other == "", "no document, nothing on stdout"


def test_the_view_of_torch_has_the_document_too(ansible):
    done = ansible("playbooks/gpu_check.yml", "--extra-vars", "format=json")
    assert json.loads(done.stdout)["as_released"] is True
    assert done.returncode != 0, "nothing has proven its torch"
