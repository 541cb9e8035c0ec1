"""status.yml as it is typed."""

from __future__ import annotations

import json
import shutil

import pytest
from ansible.module_utils.rollout.io.store import Store

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")


@pytest.fixture
def interrupted(tmp_path, released):
    """A run that never came to its end, after one that did."""
    store = Store(str(tmp_path / "state"))
    store.append("switching", "r9", name="sha-bbbbbbb", release="sha-bbbbbbb", service="web")


@pytest.mark.usefixtures("released")
def test_the_document_is_all_there_is_on_stdout(ansible, tmp_path):
    # Ansible warns of that group's name.
    done = ansible("status.yml", "--extra-vars", "format=json strict=true", groups=("backend", "my-nas"))
    document = json.loads(done.stdout)
    assert (document["as_released"], document["drift"]) == (True, [])
    assert document["hosts"]["localhost"]["ledger"]["stable"]["release"] == "sha-aaaaaaa"
    assert [row["service"] for row in document["hosts"]["localhost"]["services"]] == ["web"]
    assert "Invalid characters were found in group names" in done.stderr, "what people read goes elsewhere"
    assert done.returncode == 0
    assert not (tmp_path / "touched").exists()


def test_of_nothing_nobody_says_that_it_is_as_released(ansible, tmp_path):
    done = ansible("status.yml", "--extra-vars", "format=json strict=true")
    document = json.loads(done.stdout)
    assert (document["as_released"], document["drift"]) == (
        False,
        [
            f"localhost, -: no release was ever confirmed here, and nothing runs: {tmp_path}/state has no ledger that says otherwise "
            "(rollout_dir names it)."
        ],
    )
    assert document["hosts"]["localhost"]["ledger"]["stable"] is None
    assert done.returncode != 0


@pytest.mark.usefixtures("released")
def test_nor_of_what_another_application_released(ansible, tmp_path):
    done = ansible("status.yml", "--extra-vars", "format=json strict=true", facts={"rollout_application": "other"})
    document = json.loads(done.stdout)
    assert document["drift"][0] == (
        f"localhost, -: {tmp_path}/state (rollout_dir) holds the state of application app, not of other: nothing is known of other here."
    )
    assert (document["as_released"], done.returncode) == (False, 2)


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


@pytest.mark.usefixtures("released")
def test_the_view_of_torch_has_the_document_too(ansible):
    done = ansible("playbooks/gpu_check.yml", "--extra-vars", "format=json")
    assert json.loads(done.stdout)["as_released"] is True
    assert done.returncode != 0, "nothing has proven its torch"
