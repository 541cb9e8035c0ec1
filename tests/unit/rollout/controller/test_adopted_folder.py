"""The folder of an inventory appears whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible.module_utils.rollout.controller import adopted_folder
from ansible.module_utils.rollout.errors import RolloutError

FILES = {"hosts.yml": (b"a", 0o644), ".files/shop/run.sh": (b"b\0", 0o755), "group_vars/all/vault.yml": (b"c", 0o600)}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_written_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        assert adopted_folder.write(tmp_path / "new", "shop", FILES, False) == ""
    finally:
        os.umask(before)
    shop = tmp_path / "new/shop"
    assert tree(shop) == {path: content for path, (content, _mode) in FILES.items()}
    assert stat.S_IMODE(shop.stat().st_mode) == 0o700
    assert {path: stat.S_IMODE((shop / path).stat().st_mode) for path in FILES} == {
        path: mode for path, (_c, mode) in FILES.items()
    }
    assert os.listdir(tmp_path / "new") == ["shop"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_is_not_written_over(tmp_path, kind):
    there = tmp_path / "shop"
    {"folder": there.mkdir, "file": there.touch, "link": lambda: there.symlink_to("/nowhere")}[kind]()
    with pytest.raises(RolloutError) as error:
        adopted_folder.write(tmp_path, "shop", FILES, False)
    assert str(error.value) == (
        f"{there} is there already, and nothing was written: somebody may have worked on it. To replace it, type "
        "-e overwrite=true: the folder that is there is kept beside it, under another name."
    )
    assert os.listdir(tmp_path) == ["shop"]


def test_the_former_folder_is_kept(tmp_path):
    adopted_folder.write(tmp_path, "shop", {"hosts.yml": (b"by hand", 0o644)}, False)
    before = adopted_folder.write(tmp_path, "shop", FILES, True)
    assert tree(tmp_path / "shop")["hosts.yml"] == b"a"
    assert Path(before, "hosts.yml").read_bytes() == b"by hand"
    # Ansible passes over it.
    assert os.path.basename(before).startswith(".shop.before-")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../x": (b"", 0o600)}, "'../x' is not a path below it"),
        ({"a/../../x": (b"", 0o600)}, "'a/../../x' is not a path below it"),
        ({"/etc/x": (b"", 0o600)}, "'/etc/x' is not a path below it"),
        ({"": (b"", 0o600)}, "'' is not a path below it"),
        ({"a//b": (b"", 0o600)}, "'a//b' is not a path below it"),
        ({"a\0b": (b"", 0o600)}, "embedded null byte"),
        ({"a": (b"", 0o600), "a/b": (b"", 0o600)}, "File exists"),
        ({"a" * 300: (b"", 0o600)}, "File name too long"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, files, why):
    with pytest.raises(RolloutError, match=r"shop was not written: ") as error:
        adopted_folder.write(tmp_path / "in", "shop", files, False)
    assert why in str(error.value)
    assert os.listdir(tmp_path) == ["in"]
    assert os.listdir(tmp_path / "in") == []


def test_the_former_folder_comes_back_if_the_new_one_cannot(tmp_path, monkeypatch):
    adopted_folder.write(tmp_path, "shop", FILES, False)
    real, calls = os.rename, []

    def rename(one, other):
        calls.append(one)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(one, other)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(RolloutError, match=r"shop was not written: No space left on device\."):
        adopted_folder.write(tmp_path, "shop", {"x": (b"", 0o600)}, True)
    assert tree(tmp_path / "shop")["hosts.yml"] == b"a"
    assert os.listdir(tmp_path) == ["shop"]
