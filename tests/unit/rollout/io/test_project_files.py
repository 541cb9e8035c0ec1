"""Files of a project: read in bounds, and never written."""

from __future__ import annotations

import base64
import os

import pytest
from ansible.module_utils.rollout.io import project_files


def read(*paths):
    files = project_files.Files()
    for path in paths:
        files.take(str(path))
    return files.found


def test_a_file(tmp_path):
    file = tmp_path / "a.conf"
    file.write_bytes("\u00e9\r\n".encode())
    file.chmod(0o640)
    assert read(file, file) == {str(file): {"base64": base64.b64encode("\u00e9\r\n".encode()).decode(), "mode": "0640"}}
    assert project_files.is_file(str(file))
    assert not project_files.is_file(str(tmp_path))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "absent"),
        (lambda path: path.write_bytes(b"a\0"), "binary"),
        (lambda path: path.write_bytes(b"\xff"), "binary"),
        (lambda path: path.write_bytes(b"a" * (project_files.FILE_MOST + 1)), "large"),
        (os.mkfifo, "strange"),
        (lambda path: path.symlink_to("/dev/zero"), "strange"),
        (lambda path: path.symlink_to("nowhere"), "absent"),
        (lambda path: path.symlink_to(path.name), "denied"),
    ],
)
def test_what_is_no_configuration(tmp_path, make, why):
    make(tmp_path / "a")
    assert read(tmp_path / "a") == {str(tmp_path / "a"): {"why": why}}


def test_below_a_file_there_is_nothing(tmp_path):
    (tmp_path / "a").write_text("")
    assert read(tmp_path / "a/b")[str(tmp_path / "a/b")] == {"why": "absent"}


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("")

    def denied(*_arguments, **_how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert read(tmp_path / "a") == {str(tmp_path / "a"): {"why": "denied"}}


def test_a_folder_is_read_whole_or_not_at_all(tmp_path):
    (tmp_path / "conf/deep").mkdir(parents=True)
    (tmp_path / "conf/a").write_text("1")
    (tmp_path / "conf/deep/b").write_text("2")
    assert list(read(tmp_path / "conf")) == [str(tmp_path / f"conf{name}") for name in ("/a", "/deep/b", "")]
    assert read(tmp_path / "conf")[str(tmp_path / "conf")] == {"folder": True}
    (tmp_path / "conf/photo").write_bytes(b"\xff\xd8")
    assert read(tmp_path / "conf") == {str(tmp_path / "conf"): {"why": "binary"}}


def test_a_link_to_a_folder_is_not_followed(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/all").symlink_to("/")
    assert read(tmp_path / "conf") == {str(tmp_path / "conf"): {"why": "strange"}}


def test_all_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(project_files, "ALL_MOST", 10)
    for name in "abc":
        (tmp_path / name).write_text("12345678")
    assert [one.get("why") for one in read(*(tmp_path / name for name in "abc")).values()] == [None, "large", "large"]
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/one").write_text("123456")
    (tmp_path / "conf/two").write_text("123456")
    (tmp_path / "d").write_text("12345678")
    # What was read of a folder that is too large is not counted.
    assert [one.get("why") for one in read(tmp_path / "conf", tmp_path / "d").values()] == ["large", None]


def test_a_folder_of_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(project_files, "NUMBER_MOST", 3)
    for name in "abcd":
        (tmp_path / name).write_text("")
    assert read(tmp_path) == {str(tmp_path): {"why": "large"}}


def test_a_name_that_is_no_plain_text(tmp_path):
    (tmp_path / "a\nb").write_text("")
    assert read(tmp_path / "a\nb") == {str(tmp_path / "a\nb"): {"why": "strange"}}
