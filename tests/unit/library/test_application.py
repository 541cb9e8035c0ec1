from __future__ import annotations


def test_where_nothing_is_there(run, docker, tmp_path):
    docker("ps*) exit 0;;\n")
    result = run("application", root=str(tmp_path / "state"), application="app", run="r1", projects={"core": "", "more": None})
    assert not result["changed"]
    assert (result["gone"], result["stays"], result["by_hand"]) == ({}, {}, [])
    assert not (tmp_path / "state").exists()


def test_another_name(run, docker, tmp_path):
    docker("ps*) exit 0;;\n")
    result = run("application", root=str(tmp_path / "state"), application="app", run="r1", delete_data="ap")
    assert result["msg"] == "delete_data is 'ap': expected app, the name of the application, typed in full. Nothing was removed."
