from __future__ import annotations

import json
import re

import jsonschema
import pytest
import run_documents
from ansible.module_utils.rollout.controller.report import write

MINE = "20260101T000000Z-abcd"


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Where the reports of this test lie; nothing is there yet."""
    monkeypatch.setenv("ROLLOUT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def document(**changed):
    return run_documents.succeeded() | changed


def listed(reports):
    return re.findall(r'href="([^"]*)/report.html"', (reports / "index.html").read_text())


def test_document_page_and_list(reports, root):
    made = document(run=MINE)
    assert write.write(made) == f"Report: {reports}/{MINE}/report.html"
    schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    found = json.loads((reports / f"{MINE}/report.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)
    assert found == made
    assert [path.stat().st_mode & 0o777 for path in (reports, reports / MINE)] == [0o700, 0o700]
    assert "<html" in (reports / f"{MINE}/report.html").read_text(encoding="utf-8")
    assert listed(reports) == [MINE]
    assert sorted(path.name for path in (reports / MINE).iterdir()) == ["report.html", "report.json"]


def test_runs_are_listed_newest_first(reports):
    for day, name in ((2, "b"), (3, "c"), (1, "a")):
        write.write(document(run=f"2026010{day}T000000Z-000{name}", started=f"2026-01-0{day}T00:00:00Z"))
    assert [name[-1] for name in listed(reports)] == ["c", "b", "a"]


def test_only_the_newest_are_listed_and_the_others_stay(reports, monkeypatch):
    monkeypatch.setattr(write, "LISTED", 2)
    for name in ("20260101T000000Z-aaaa", "20260103T000000Z-aaaa", "20260102T000000Z-aaaa"):
        write.write(document(run=name))
    assert sorted(listed(reports)) == ["20260102T000000Z-aaaa", "20260103T000000Z-aaaa"]
    assert len(list(reports.glob("*/report.json"))) == 3


@pytest.mark.parametrize("text", ['{"run": "half', "", "[]", "{}", "5", '"run"', "null", b"\xff"])
def test_what_is_no_report_is_passed_over(reports, text):
    (reports / "other").mkdir(parents=True)
    (reports / "other" / "report.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    (reports / "unreadable" / "report.json").mkdir(parents=True)
    assert write.write(document(run=MINE)) == f"Report: {reports}/{MINE}/report.html"
    assert listed(reports) == [MINE]


def test_the_same_run_twice(reports):
    for head in ("first", "second"):
        write.write(document(run=MINE, head=head))
    assert json.loads((reports / f"{MINE}/report.json").read_text())["head"] == "second"


def test_no_reports_are_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLOUT_REPORTS", "")
    assert write.write(document()) == ""
    assert list(tmp_path.iterdir()) == []


def test_reports_lie_in_the_project_and_are_named_from_where_one_is(tmp_path, monkeypatch, root):
    assert root == write.ROOT
    monkeypatch.setattr(write, "ROOT", tmp_path)
    monkeypatch.delenv("ROLLOUT_REPORTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert write.write(document(run=MINE)) == f"Report: reports/{MINE}/report.html"
    monkeypatch.setenv("ROLLOUT_REPORTS", "elsewhere")
    assert write.write(document(run=MINE)) == f"Report: elsewhere/{MINE}/report.html"
    assert (tmp_path / "elsewhere" / "index.html").is_file()


def test_reports_that_cannot_be_written_are_one_sentence(reports):
    reports.write_text("a file")
    assert write.write(document(run=MINE)) == f"The report could not be written: Not a directory ({reports}/{MINE})."


def test_a_list_of_runs_that_cannot_be_written_is_one_sentence(reports):
    (reports / "index.html").mkdir(parents=True)
    assert write.write(document(run=MINE)).startswith("The report could not be written: Is a directory (")
    assert (reports / MINE / "report.json").is_file()


@pytest.mark.parametrize(
    "run", ["../elsewhere", "/tmp/x", "", "20260101T000000Z-abcd/../x", "20260101T000000Z-abcd\n", "mine", 5, None]
)
def test_what_is_no_id_of_a_run_is_no_directory(reports, run):
    assert write.write(document(run=run)) == f"The report could not be written: {run!r} is not the id of a run."
    assert not reports.exists()


def test_a_run_that_ended_before_it_had_an_id_has_a_report(reports):
    assert write.write(document(run="20260101T000000Z-none")) == f"Report: {reports}/20260101T000000Z-none/report.html"
