from __future__ import annotations

import os
import stat

import pytest
from ansible.module_utils.rollout import files
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store, write_atomic


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path / "state"))
    found.require_writable()
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("options", "wanted"), [({}, 0o600), ({"mode": 0o644}, 0o644)])
def test_write_atomic_sets_the_mode_whatever_the_umask(tmp_path, options, wanted):
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "x", "é\r\n", **options)
    finally:
        os.umask(before)
    assert (tmp_path / "x").read_bytes() == "é\r\n".encode()
    assert mode(tmp_path / "x") == wanted


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_write_atomic_leaves_the_old_file_and_nothing_else_on_failure(tmp_path, monkeypatch, broken):
    (tmp_path / "x").write_text("old")

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "x", "new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_text_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "x", "\udc80")
    assert list(tmp_path.iterdir()) == []


def test_an_absent_ledger_is_empty(tmp_path):
    assert Store(str(tmp_path)).ledger().last_seq == 0


def test_append_counts_and_keeps_others_out(store):
    store.append("staged", "r1", name="a", release="a")
    store.append("confirmed", "r1", name="a", release="a", action="rollout")
    assert store.ledger().last_seq == 2
    assert store.ledger().stable.name == "a"
    assert mode(store.path) == 0o600
    assert mode(store.releases) == 0o700


def test_append_after_a_torn_tail_at_every_byte(store):
    store.append("confirmed", "r1", name="a", release="a")
    store.append("staged", "r2", name="b")
    whole = store.path.read_bytes()
    for cut in range(len(whole)):
        store.path.write_bytes(whole[:cut])
        seen = store.ledger().last_seq
        store.append("removed", "r3", name="z")
        after = store.ledger()
        assert after.last_seq == seen + 1
        assert store.path.read_bytes().startswith(whole[:cut])
        assert (after.stable is not None) == (seen > 0)


def test_a_ledger_that_cannot_be_written_is_a_sentence(store, monkeypatch):
    monkeypatch.setattr(os, "write", lambda fd, data: 1)
    with pytest.raises(RolloutError) as error:
        store.append("staged", "r")
    assert str(error.value) == f"The ledger {store.path} cannot be written: No space left on device."


def test_a_ledger_that_cannot_be_read_is_a_sentence(store, monkeypatch):
    def fail(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store.path), "read_text", fail)
    with pytest.raises(RolloutError) as error:
        store.ledger()
    assert str(error.value) == f"The ledger {store.path} cannot be read (Permission denied)."


def test_a_state_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RolloutError) as error:
        Store(str(tmp_path / "file" / "state")).require_writable()
    assert str(error.value) == (
        f"The state directory {tmp_path}/file/state is not writable (Not a directory): run ansible-playbook "
        "playbooks/prepare.yml, or set rollout_dir to a directory of your own."
    )


def test_require_writable_leaves_nothing(store):
    assert [p.name for p in store.root.iterdir()] == ["releases"]


def test_write_release_and_read_it_back(store):
    store.write_release("a", {".env": 'X="é\r"\n', "f.yml": "a: 1\r\n"}, {"release": "a"})
    assert store.names() == ["a"]
    assert store.read("a", "f.yml") == "a: 1\r\n"
    assert store.read("a", "g.yml") is None
    assert set(store.manifest("a")["files"]) == {".env", "f.yml"}
    assert mode(store.directory("a") / ".env") == mode(store.directory("a") / "release.json") == 0o600
    assert mode(store.directory("a")) == 0o700
    assert store.edited("a") == []


def test_edited_names_changed_and_lost_files(store):
    store.write_release("a", {"x": "1", "y": "2", "z": "3"}, {})
    (store.directory("a") / "x").write_text("1\n")
    (store.directory("a") / "z").unlink()
    assert store.edited("a") == ["x", "z"]


def test_write_release_is_whole_or_not_at_all(store, monkeypatch):
    def fail(path, text, mode=0o600):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_atomic", fail)
    with pytest.raises(RolloutError) as error:
        store.write_release("a", {"x": "1"}, {})
    assert str(error.value) == f"Release a cannot be written to {store.releases}: No space left on device."
    assert list(store.releases.iterdir()) == []
    assert store.names() == []


def test_a_release_that_is_incomplete_does_not_count_and_is_a_sentence(store):
    (store.releases / "a").mkdir()
    assert store.names() == []
    with pytest.raises(RolloutError, match=r"Release a is incomplete: .*/a/release.json cannot be read"):
        store.manifest("a")


def test_a_release_that_is_incomplete_is_written_anew(store):
    (store.releases / "a").mkdir()
    (store.releases / "a" / "left").write_text("")
    store.write_release("a", {"x": "1"}, {})
    assert store.edited("a") == []
    assert store.read("a", "left") is None


def test_a_release_is_removed_at_once_or_not_at_all(store, monkeypatch):
    store.write_release("a", {"x": "1"}, {})
    monkeypatch.setattr(files.shutil, "rmtree", lambda *a, **o: None)
    store.remove("a")
    assert store.names() == []
    assert not store.directory("a").exists()


def test_removed_is_gone(store):
    store.write_release("a", {"x": "1"}, {})
    store.remove("a")
    assert list(store.releases.iterdir()) == []


def test_names_without_a_state_directory(tmp_path):
    assert Store(str(tmp_path / "none")).names() == []


def test_free_bytes_of_a_path_that_is_not_there_yet(store, tmp_path):
    assert store.free_bytes(str(tmp_path / "a" / "b")) > 0


def test_what_power_loss_left_is_no_release_and_goes_at_the_next_write(store):
    left = store.releases / ".a.x7z"
    left.mkdir()
    (left / "release.json").write_text("{}")
    assert store.names() == []
    store.write_release("b", {}, {})
    assert [p.name for p in store.releases.iterdir()] == ["b"]
