from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import ownership
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def store(tmp_path):
    """A state directory, with a file of each kind and a release."""
    (tmp_path / "parent").mkdir()
    found = Store(str(tmp_path / "parent" / "state"))
    found.require_writable()
    for name in ownership.FILES:
        (found.root / name).write_text("")
        (found.root / name).chmod(0o600)
    (found.root / "proxy").mkdir()
    (found.releases / "v1").mkdir()
    return found


def refused(store):
    with pytest.raises(RolloutError) as error:
        store.require_own()
    return str(error.value)


def test_the_sentence_says_whose_it_is_and_what_to_type(store):
    store.root.chmod(0o777)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert refused(store) == (
        f"{store.root} belongs to {me} and has mode 0777, so another user than {me} could replace the files that {me} runs "
        f"and reads in the state directory {store.root}. Type sudo chown {me} {store.root} && sudo chmod go-w {store.root}, or set rollout_dir to a "
        f"directory of {me}'s own (such as /var/lib/rollout/APPLICATION, which playbooks/prepare.yml makes)."
    )


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o711])
def test_others_may_read_it(store, mode):
    for path in (store.root, store.root.parent, store.releases, store.directory("v1")):
        path.chmod(mode)
    store.path.chmod(0o644)
    store.require_own()


PARTS = ["..", ".", "releases", "proxy", "releases/v1", *ownership.FILES]


@pytest.mark.parametrize("part", PARTS)
def test_nobody_else_may_write_to_any_part(store, part):
    path = (store.root / part).resolve()
    path.chmod(path.stat().st_mode | 0o002)
    assert refused(store).startswith(f"{path} belongs to ")


@as_root
@pytest.mark.parametrize("part", PARTS)
def test_no_part_is_somebody_elses(store, part):
    path = (store.root / part).resolve()
    os.chown(path, NOBODY, NOBODY)
    assert refused(store).startswith(f"{path} belongs to nobody and has mode ")


@as_root
def test_all_that_is_to_be_given_back_is_named_at_once(store):
    for name in ("ledger.jsonl", "releases"):
        os.chown(store.root / name, NOBODY, NOBODY)
    both = f"{store.path} {store.releases}"
    assert f"Type sudo chown root {both} && sudo chmod go-w {both}, or" in refused(store)


@as_root
def test_a_user_without_a_name_is_a_number(store):
    os.chown(store.root, 54321, 54321)
    assert " belongs to user 54321 " in refused(store)


@as_root
def test_what_is_roots_another_user_may_trust(store, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    store.require_own()


@as_root
def test_a_directory_that_is_not_there_yet_is_not_made_below_somebody_elses(store):
    os.chown(store.root.parent, NOBODY, NOBODY)
    other = Store(str(store.root.parent / "other" / "state"))
    assert refused(other).startswith(f"{store.root.parent} belongs to nobody")


def test_one_that_is_not_there_yet_is_no_fault(tmp_path):
    Store(str(tmp_path / "a" / "b")).require_own()
    (tmp_path / "file").write_text("")
    Store(str(tmp_path / "file" / "state")).require_own()


def test_in_a_sticky_directory_others_only_make_files(store):
    store.root.parent.chmod(0o1777)
    store.require_own()
    store.root.chmod(0o1777)
    assert refused(store).startswith(f"{store.root} belongs to ")


def test_a_link_to_it_may_be_ones_own(store, tmp_path):
    (tmp_path / "link").symlink_to("parent/state")
    Store(str(tmp_path / "link")).require_own()
    (tmp_path / "link2").symlink_to(tmp_path / "link" / ".." / "state")
    Store(str(tmp_path / "link2")).require_own()


@as_root
def test_a_link_to_it_of_somebody_else_is_refused(store, tmp_path):
    (tmp_path / "link").symlink_to("parent/state")
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)
    assert refused(Store(str(tmp_path / "link"))).startswith(f"{tmp_path}/link belongs to nobody")


@as_root
def test_where_a_link_leads_is_looked_at_too(store, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a").symlink_to("../parent/b")
    (store.root.parent / "b").symlink_to("state")
    os.chown(store.root.parent, NOBODY, NOBODY)
    assert refused(Store(str(tmp_path / "links" / "a"))).startswith(f"{store.root.parent} belongs to nobody")


def test_links_that_lead_nowhere_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    Store(str(tmp_path / "a")).require_own()


@pytest.mark.parametrize("name", [*ownership.FILES, "releases"])
def test_a_link_in_it_is_refused(store, tmp_path, name):
    path = store.root / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refused(store) == (
        f"{path} is a symbolic link, and the rollout does not write such a file: check what it is (ls -l), and remove it (sudo rm {path})."
    )


@pytest.mark.parametrize("name", ["ledger.jsonl", "lock.json", "guard.pyz"])
def test_a_file_with_a_second_name_is_refused(store, tmp_path, name):
    os.link(store.root / name, tmp_path / "second")
    assert f"{name} is a file with 2 names, and" in refused(store)


def test_a_file_of_another_kind_is_refused(store):
    store.path.unlink()
    os.mkfifo(store.path)
    assert f"{store.path} is not a plain file, and" in refused(store)
    store.path.unlink()
    store.path.mkdir()
    assert f"{store.path} is a directory, and" in refused(store)


def test_a_directory_that_is_a_file_is_refused(store):
    (store.root / "proxy").rmdir()
    (store.root / "proxy").write_text("")
    assert f"{store.root}/proxy is not a directory, and" in refused(store)


# Where a user's files are the group's too (umask 002), and the group is the user's alone.


@pytest.fixture
def group(monkeypatch, store):
    """The state directory is writable by a group; its members by list and by being their first group."""
    store.root.chmod(0o775)
    me = pwd.getpwuid(os.getuid())

    def call(listed, first):
        monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_mem=[me.pw_name if m == "me" else m for m in listed]))
        users = [SimpleNamespace(pw_name=me.pw_name if m == "me" else m, pw_gid=store.root.stat().st_gid) for m in first]
        monkeypatch.setattr(pwd, "getpwall", lambda: [*users, SimpleNamespace(pw_name="eve", pw_gid=54321)])

    return call


@pytest.mark.parametrize(("listed", "first"), [([], ["me"]), (["me"], []), ([], []), (["root"], ["me"])])
def test_a_group_of_its_owner_alone_may_write(store, group, listed, first):
    group(listed, first)
    store.require_own()


@pytest.mark.parametrize(("listed", "first"), [(["eve"], ["me"]), ([], ["me", "eve"])])
def test_a_group_with_somebody_else_may_not(store, group, listed, first):
    group(listed, first)
    assert "has mode 0775" in refused(store)


def test_a_group_that_nobody_knows_has_no_other_member(store, group, monkeypatch):
    group([], [])

    def unknown(gid):
        raise KeyError(gid)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    store.require_own()


# The guard.


def test_the_guard_does_not_start_in_one(store):
    store.guard.write_bytes(guard.program())
    store.root.chmod(0o777)
    done = subprocess.run([sys.executable, "-IS", str(store.guard)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.match(rf"The guard does not start: {re.escape(str(store.root))} belongs to \w+ and has mode 0777", done.stderr)


def test_what_it_looks_at_is_all_that_the_tool_names(root):
    """A file that the store comes to write has its place in the list."""
    text = (
        Path(root / "module_utils/rollout/io/store.py").read_text()
        + Path(root / "module_utils/rollout/verbs/guard.py").read_text()
    )
    named = set(re.findall(r'root / "([\w.]+)"', text)) | set(re.findall(r'mutex\("([\w.]+)"', text))
    assert len(named) > 8
    assert named <= {*ownership.FILES, *ownership.DIRECTORIES}
