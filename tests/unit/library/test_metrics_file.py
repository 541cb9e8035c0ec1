from __future__ import annotations

import os

import pytest
from ansible.module_utils.rollout.io.store import Store

RUN = {"run": "20261123T101500Z-a1b2", "action": "rollout", "release": "v1", "verdict": "succeeded", "seconds": 61.5}


@pytest.fixture
def write(run, tmp_path):
    (tmp_path / "metrics").mkdir()

    def call(check=False, /, **facts):
        asked = {"root": str(tmp_path / "state"), "application": "app", "directory": str(tmp_path / "metrics"), "host": "h1"}
        return run("metrics_file", check, **{**asked, "run": RUN, **facts})

    return call


def test_the_file(write, tmp_path):
    store = Store(str(tmp_path / "state"))
    store.require_writable()
    store.append("confirmed", "r1", name="v1", release="v1")
    file = tmp_path / "metrics/rollout_app.prom"
    assert write()["path"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o644
    assert 'rollout_release_info{application="app",host="h1",release="v1",run="r1"} 1.0\n' in file.read_text()
    assert os.listdir(file.parent) == ["rollout_app.prom"]
    write(run={**RUN, "verdict": "reverted"})
    assert 'verdict="reverted"} 1.0' in file.read_text()


def test_a_drill_has_a_file_of_its_own(write, tmp_path):
    write(run={**RUN, "action": "drill"})
    file = tmp_path / "metrics/rollout_app.drill.prom"
    assert os.listdir(file.parent) == [file.name]
    assert 'rollout_drill_passed{application="app",host="h1"} 1.0\n' in file.read_text()


def test_check_mode_writes_nothing(write, tmp_path):
    assert write(True)["changed"]
    assert os.listdir(tmp_path / "metrics") == []


@pytest.mark.parametrize("there", ["absent", "a file"])
def test_a_directory_that_cannot_be_written(write, tmp_path, there):
    (tmp_path / "a file").touch()
    result = write(directory=str(tmp_path / there))
    assert result["msg"].startswith(f"{tmp_path / there}/rollout_app.prom cannot be written (No")
    assert "the connecting user must be allowed to write there." in result["msg"]
