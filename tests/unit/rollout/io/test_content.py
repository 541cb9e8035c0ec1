from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain.bundle import File, digest
from ansible.module_utils.rollout.io import content as contents
from ansible.module_utils.rollout.io.content import Content, is_same, strange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOLDER = {
    "dash.json": File(b"{}"),
    "run.sh": File(b"#!/bin/sh\n", "0755"),
    "key": File(b"canary", "0600"),
    "sub/deep/x": File(b"\0\xff"),
    "sub/l": File(link="../run.sh"),
    "broken": File(link="none"),
}


@pytest.fixture
def content(tmp_path):
    return Content(tmp_path)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def put(content, path, files):
    place = content.place(path, files)
    content.put(place, files)
    return content.root / place


def test_a_place_is_the_content_and_the_name(content):
    one = {"": File(b"x")}
    assert content.place("conf/a.conf", one) == f"{digest(one)}/a.conf"
    assert content.place("a.conf", one) == f"{digest(one)}/a.conf"
    assert content.place("conf/a.conf", {"": File(b"y")}) != content.place("conf/a.conf", one)


def test_a_file_is_put_and_read_back(content):
    there = put(content, "conf/a.conf", {"": File(b"x", "0755")})
    assert (there.read_bytes(), mode(there), there.name) == (b"x", 0o755, "a.conf")
    assert content.read(str(there.relative_to(content.root))) == {"": File(b"x", "0755")}


def test_a_folder_is_put_and_read_back_with_its_modes_and_links(content):
    there = put(content, "dash", FOLDER)
    place = str(there.relative_to(content.root))
    assert content.read(place) == dict(sorted(FOLDER.items()))
    assert not content.edited(place)
    assert os.readlink(there / "sub/l") == "../run.sh"
    assert {mode(there / path) for path in ("", "sub", "sub/deep")} == {0o755}


@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_modes_do_not_depend_on_the_umask(content, mask):
    before = os.umask(mask)
    try:
        there = put(content, "dash", FOLDER)
    finally:
        os.umask(before)
    found = {path: mode(there / path) for path in ("", "sub", "dash.json", "run.sh", "key")}
    assert found == {"": 0o755, "sub": 0o755, "dash.json": 0o644, "run.sh": 0o755, "key": 0o600}
    assert mode(there.parent) == 0o755


def test_an_empty_folder_is_a_folder(content):
    there = put(content, "dash", {})
    assert there.is_dir()
    assert content.read(f"{there.parent.name}/dash") == {}
    assert not content.edited(f"{there.parent.name}/dash")


def test_what_is_there_is_not_touched(content):
    there = put(content, "dash", FOLDER)
    before = {path: path.lstat() for path in [content.root, *content.root.rglob("*")]}
    put(content, "dash", FOLDER)
    assert {path: path.lstat() for path in [content.root, *content.root.rglob("*")]} == before
    assert there.exists()


def test_two_files_of_one_content_lie_side_by_side(content):
    one, other = (put(content, name, {"": File(b"x")}) for name in ("a.conf", "b.conf"))
    assert one.parent == other.parent
    assert (one.read_bytes(), other.read_bytes()) == (b"x", b"x")


def test_a_folder_and_a_file_of_one_name_are_told_apart(content):
    assert content.place("a", {"": File(b"x")}) != content.place("a", {"a": File(b"x")})


EDITS = {
    "content": lambda top: (top / "dash.json").write_text("[]"),
    "mode": lambda top: (top / "run.sh").chmod(0o644),
    "gone": lambda top: (top / "key").unlink(),
    "more": lambda top: (top / "sub/more").write_text(""),
    "more folders": lambda top: ((top / "new").mkdir(), (top / "new/x").write_text("")),
    "link": lambda top: ((top / "sub/l").unlink(), (top / "sub/l").symlink_to("/etc/passwd")),
    "link for a file": lambda top: ((top / "dash.json").unlink(), (top / "dash.json").symlink_to("/etc/hostname")),
    "folder for a file": lambda top: ((top / "dash.json").unlink(), (top / "dash.json").mkdir()),
    "file for a folder": lambda top: (
        (top / "sub/deep/x").unlink(),
        (top / "sub/deep").rmdir(),
        (top / "sub/deep").write_text(""),
    ),
}


@pytest.mark.parametrize("edit", [pytest.param(edit, id=name) for name, edit in EDITS.items()])
def test_what_was_edited_is_known_and_written_anew(content, edit):
    there = put(content, "dash", FOLDER)
    place = str(there.relative_to(content.root))
    edit(there)
    assert content.edited(place)
    content.put(place, FOLDER)
    assert not content.edited(place)
    assert Path("/etc/hostname").is_symlink() is False
    assert list(content.root.iterdir()) == [there.parent]


@pytest.mark.parametrize("how", ["content", "mode", "link", "folder", "gone"])
def test_so_is_a_file_alone(content, how):
    files = {"": File(b"x")}
    there = put(content, "a.conf", files)
    if how == "content":
        there.write_text("y")
    elif how == "mode":
        there.chmod(0o600)
    else:
        there.unlink()
    if how == "link":
        there.symlink_to("/etc/passwd")
    elif how == "folder":
        there.mkdir()
    place = f"{there.parent.name}/a.conf"
    assert content.edited(place)
    content.put(place, files)
    assert not content.edited(place)
    assert not there.is_symlink()


def test_a_container_that_mounts_it_sees_what_was_written_anew(content):
    """It has the file itself, whatever lies in its place since."""
    files = {"": File(b"x")}
    there, folder = put(content, "a.conf", files), put(content, "dash", FOLDER)
    mounted = there.stat().st_ino, folder.stat().st_ino, (folder / "dash.json").stat().st_ino
    there.write_text("y")
    (folder / "dash.json").write_text("y")
    put(content, "a.conf", files)
    put(content, "dash", FOLDER)
    assert mounted == (there.stat().st_ino, folder.stat().st_ino, (folder / "dash.json").stat().st_ino)


def test_what_cannot_be_read_is_not_what_was_put(content, monkeypatch):
    there = put(content, "a.conf", {"": File(b"x")})

    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(contents, "_read", denied)
    assert content.edited(f"{there.parent.name}/a.conf")


def test_what_is_not_there_is_nothing(content):
    assert content.read("0a/x") == {}
    assert content.edited("0a/x")


class KilledError(BaseException):
    """The process, at this moment."""


@pytest.mark.parametrize("files", [{"": File(b"x")}, FOLDER], ids=["file", "folder"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KilledError()], ids=["full", "killed"])
def test_it_is_there_whole_or_not_at_all(content, monkeypatch, files, error):
    """Wherever it ends: a file alone is as whole as a folder."""
    place, steps = content.place("d", files), 0
    while True:
        left = [steps]

        def counted(call, left=left):
            def act(*given, **more):
                left[0] -= 1
                if left[0] < 0:
                    raise error
                return call(*given, **more)

            return act

        with monkeypatch.context() as patch:
            # A killed process tidies nothing up.
            patch.setattr(contents.shutil, "rmtree", lambda *given, **more: None)
            for module, name in [
                (contents.tempfile, "mkdtemp"),
                *((contents.os, one) for one in ("fsync", "symlink", "replace")),
            ]:
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                content.put(place, files)
            except (OSError, KilledError):
                pass
            else:
                break
        there = content.root / place
        assert os.path.lexists(there) is not content.edited(place), "what is there is whole"
        if there.exists():
            there.parent.rename(content.root / f".new.{steps}")
        steps += 1
    assert steps >= 5
    assert not content.edited(place)
    content.prune([place])
    assert [path.name for path in content.root.iterdir()] == [place.partition("/")[0]], "what they left is gone"


def test_what_an_error_left_is_gone_at_once(content, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(contents.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(content, "dash", FOLDER)
    assert list(content.root.iterdir()) == []


def test_prune_keeps_what_is_needed_and_nothing_else(content):
    kept, gone = put(content, "a", {"": File(b"x")}), put(content, "dash", FOLDER)
    beside = put(content, "b", {"": File(b"x")})
    (content.root / ".new.left").mkdir()
    # A container may mount what lies in a folder.
    content.prune([f"{kept.parent.name}/a/below"])
    assert kept.exists()
    assert beside.exists(), "it shares the content"
    assert not gone.exists()
    assert list(content.root.iterdir()) == [kept.parent]
    content.prune([])
    assert list(content.root.iterdir()) == []


def test_without_files_there_is_nothing_to_prune(content):
    content.prune([])
    assert not content.root.exists()


@pytest.mark.parametrize(
    ("paths", "own", "found"),
    [
        (["a", "b/c"], ["a", "b/c"], []),
        (["a", "b/c", "x"], ["a", "b/c"], ["x"]),
        (["a", "b/c", "b/x"], ["a", "b/c"], ["b/x"]),
        # Of a strange folder its name alone.
        (["a", "x/y", "x/z"], ["a"], ["x"]),
        (["b/x/y", "b/c/d"], ["b/c/d"], ["b/x"]),
        ([], ["a"], []),
    ],
)
def test_what_is_strange_in_a_folder(tmp_path, paths, own, found):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert strange(tmp_path, own) == found


SEGMENT = st.sampled_from(["a", "b", "c.conf", ".x"])
FILE = st.one_of(
    st.builds(File, st.binary(max_size=3), st.sampled_from(["0644", "0755", "0600", "0700"])),
    st.builds(File, link=st.sampled_from(["a", "../b", "none"])),
)


@st.composite
def folders(draw):
    """Files by path, of which none lies below another one."""
    paths = draw(st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), max_size=5, unique=True))
    alone = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    return {path: draw(FILE) for path in alone}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(folders(), folders())
def test_any_folder_is_read_as_it_was_put_and_two_share_a_place_only_if_they_are_the_same(tmp_path, one, other):
    content = Content(tmp_path)
    places = [content.place("d", files) for files in (one, other)]
    for place, files in zip(places, (one, other), strict=True):
        content.put(place, files)
        assert content.read(place) == dict(sorted(files.items()))
        assert not content.edited(place)
    assert (places[0] == places[1]) is (one == other)
    content.prune(places[:1])
    assert content.read(places[0]) == dict(sorted(one.items()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(folders(), folders())
def test_a_folder_that_somebody_else_wrote_is_the_same_by_what_is_in_it(tmp_path, one, other):
    content = Content(tmp_path)
    place = content.place("d", one)
    content.put(place, one)
    plain = [{path: (file.content, file.link) for path, file in files.items()} for files in (one, other)]
    assert is_same(tmp_path / "files" / place, other) is (plain[0] == plain[1])


@pytest.mark.parametrize(("text", "same"), [(b"a", True), (b"b", False), (None, False)])
def test_a_file_that_somebody_else_wrote_is_the_same_whatever_its_mode(tmp_path, text, same):
    if text is not None:
        (tmp_path / "f").write_bytes(text)
        (tmp_path / "f").chmod(0o640)
    assert is_same(tmp_path / "f", {"": File(b"a", "0600")}) is same
