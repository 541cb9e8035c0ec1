"""What fails before anything is switched costs nothing: the release before runs on, with its data."""

import contextlib

import pytest
from conftest import (
    ARCHIVED,
    COMMANDS,
    COMPATIBLE,
    EXPANDED,
    FAILS,
    FAILS_HALF_WAY,
    HOST,
    PRESET,
    RENAMED,
    SICK,
    archived,
    databases,
    ids,
    last,
    release,
    since,
)


@pytest.fixture(autouse=True)
def nothing_is_lost(shop, writer):
    """Whatever fails: the release before runs, and has every row that was acknowledged."""
    before = databases()
    yield
    writer.goes_on()
    assert databases() == before
    assert release() == f"sha-{EXPANDED}"
    assert writer.all() <= writer.rows()
    assert archived() == ARCHIVED


def test_a_compatible_job_that_fails_stops_nothing(shop, writer):
    before, failed = ids(), len(writer.failed)
    said = shop.rollout(FAILS, COMPATIBLE, rc=2).said
    assert "JOB FAILED" in said
    assert "this step was never going to work" in said
    assert ids() == before
    assert len(writer.failed) == failed


def test_another_job_that_fails_is_undone(shop, writer):
    seen = last()
    said = shop.rollout(FAILS_HALF_WAY, rc=2).said
    assert "JOB FAILED" in said
    saved = next(one["backup"] for one in since(seen, "backup") if one["service"] == "db")
    assert saved in said
    assert [one["backup"] for one in since(seen, "restoring") if one["kept"] == "db"] == [saved]


@pytest.mark.parametrize("broken", ["dump", "verify"])
def test_a_backup_that_fails_ends_the_run_before_the_job(shop, writer, broken):
    seen, files = last(), HOST.exec("ls", f"{HOST.state}/backups")
    shop.edit(archive={"backup": {**COMMANDS, broken: ["sh", "-c", "echo it is broken >&2; exit 3"]}})
    said = shop.rollout(RENAMED, rc=2).said
    shop.edit(archive={"backup": PRESET})
    assert "it is broken" in said
    assert not since(seen, "job", "restoring")
    assert HOST.exec("ls", f"{HOST.state}/backups") == files


def test_a_disk_that_fills_while_it_is_dumped_ends_the_run_before_the_job(shop, writer):
    seen, place = last(), f"{HOST.state}/backups"
    shop.edit(archive={"backup": {**COMMANDS, "dump": ["head", "-c", "150000000", "/dev/urandom"]}})
    HOST.exec("mount", "-t", "tmpfs", "-o", "size=200m,mode=700", "small", place)
    with contextlib.ExitStack() as then:
        then.callback(HOST.exec, "umount", place)
        said = shop.rollout(RENAMED, rc=2).said
        left = HOST.exec("ls", place)
    shop.edit(archive={"backup": PRESET})
    assert "would be free" in said
    assert "archive" in said
    assert not since(seen, "job", "restoring")
    assert ".part" not in left


def test_a_release_that_cannot_start_is_refused_without_an_outage(shop, writer):
    before, failed, seen = ids(), len(writer.failed), last()
    said = shop.rollout(SICK, COMPATIBLE, rc=2).said
    assert "ROLLOUT REFUSED: nothing was touched" in said
    assert "rehears" in said
    assert ids() == before
    assert len(writer.failed) == failed
    assert not since(seen, "backup", "job")
