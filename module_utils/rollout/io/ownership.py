"""The owners of a state directory: no other user may change the files that root, or any user, runs and reads there."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from typing import Iterator

from ansible.module_utils.rollout.errors import Refusal, RolloutError

CHANGEABLE = Refusal(
    "Host",
    "{path} belongs to {owner} and has mode {mode}, so another user than {user} could replace the files that {user} runs and "
    "reads in the state directory {root}. Type {commands}, or set rollout_dir to a directory of {user}'s own "
    "(such as /var/lib/rollout/APPLICATION, which playbooks/prepare.yml makes).",
    "look at it first (`ls -ld`): another user could have written what is in there. With `ansible_become` a `rollout_dir` below "
    "somebody's home will not do, because that user can replace it. A group may write only if it has no other member",
)
NOT_PLAIN = Refusal(
    "Host",
    "{path} is {what}, and the rollout does not write such a file: check what it is (ls -l), and remove it (sudo rm {path}).",
    "find out which user made it; ledger and releases are plain files and directories in the state directory",
)
# What a removal writes down of the data that it left.
RECORD = "removed.json"
# The names that the tool itself makes in a state directory.
FILES = (
    *("ledger.jsonl", "lock.json", "progress.json", "progress.new", "guard.pyz", "guard.armed", "guard.log"),
    *(".agent", ".guard", ".lock", ".step"),
    RECORD,
)
DIRECTORIES = ("releases", "proxy")


def check(root: str) -> None:
    """Refuse a state directory that somebody else can change: it, what is in it, or where its path leads.

    Nothing of it changes under us afterwards, for no other user may write to any directory on the way. A file that is absent, or
    that this user may not look at, passes; the step that needs it says so. That is the rule of sshd for its files (`StrictModes`
    of sshd_config(5)), with the exception of Debian's for a group that has its owner alone.

    Raises:
        RolloutError: says what it is, whose, and what to type.
    """
    inside: list[tuple[str, os.stat_result]] = []
    with contextlib.suppress(OSError):
        for path, found in _led(os.path.abspath(root)):
            # In a sticky directory only its owner renames a file (inode(7)); a link has no mode.
            if not _mine(found, stat.S_ISLNK(found.st_mode) or bool(found.st_mode & stat.S_ISVTX)):
                raise _changeable(root, [path], found)
        # Where the path has led.
        inside = [(root, os.stat(root)), *_inside(root)]
    for path, found in inside:
        what = _odd(found, os.path.basename(path) not in FILES or path == root)
        if what:
            raise NOT_PLAIN(path=path, what=what)
    others = [(path, found) for path, found in inside if not _mine(found, False)]
    if others:
        raise _changeable(root, [path for path, _found in others], others[0][1])


def _inside(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """The tool's own files in a state directory, but not those inside a release, which may be a container's."""
    releases = os.path.join(root, "releases")
    names = [*FILES, *DIRECTORIES]
    with contextlib.suppress(OSError):
        names += [f"releases/{name}" for name in sorted(os.listdir(releases))]
    for name in names:
        path = os.path.join(root, name)
        with contextlib.suppress(FileNotFoundError):
            yield path, os.lstat(path)


def _led(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each directory and link that decides where an absolute path leads."""
    at, parts, links = "/", path.split("/")[::-1], 0
    yield at, os.lstat(at)
    while parts:
        part = parts.pop()
        if part == "..":
            at = os.path.dirname(at)
        if part in ("", ".", ".."):
            continue
        at = os.path.join(at, part)
        found = os.lstat(at)
        yield at, found
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > 40:  # as many as Linux follows (path_resolution(7))
                return
            target = os.readlink(at)
            at = "/" if target.startswith("/") else os.path.dirname(at)
            parts += target.split("/")[::-1]


def _odd(found: os.stat_result, directory: bool) -> str:
    """The fault in the kind of a file; empty if there is none."""
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link"
    if stat.S_ISDIR(found.st_mode) != directory:
        return "a directory" if not directory else "not a directory"
    if not directory and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
        return f"a file with {found.st_nlink} names" if stat.S_ISREG(found.st_mode) else "not a plain file"
    return ""


def _mine(found: os.stat_result, shared: bool) -> bool:
    """Whether nobody but this user, or root, can change a file.

    Args:
        shared: whether its mode does not matter.
    """
    return found.st_uid in (0, os.geteuid()) and (
        shared or not (found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _alone(found)))
    )


def _changeable(root: str, paths: list[str], first: os.stat_result) -> RolloutError:
    user, mode, given = _name(os.geteuid()), stat.S_IMODE(first.st_mode), " ".join(map(shlex.quote, paths))
    commands = f"sudo chown {user} {given} && sudo chmod go-w {given}"
    return CHANGEABLE(path=paths[0], owner=_name(first.st_uid), mode=f"{mode:04o}", user=user, root=root, commands=commands)


def _name(uid: int) -> str:
    # Loaded only for a refusal.
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _alone(found: os.stat_result) -> bool:
    """Whether a group has no member but the file's owner, as where each user has a group of its own (umask 002)."""
    import grp
    import pwd

    try:
        members = set(grp.getgrgid(found.st_gid).gr_mem)
    except KeyError:
        members = set()
    members |= {user.pw_name for user in pwd.getpwall() if user.pw_gid == found.st_gid}
    return members <= {_name(found.st_uid), "root"}
