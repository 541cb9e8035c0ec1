from __future__ import annotations


def test_a_host_without_projects(run, docker):
    docker()
    assert run("compose_project_info")["projects"] == []


def test_names_that_are_empty_are_none(run, docker, tmp_path):
    docker()
    (tmp_path / "a").write_text("x")
    result = run("compose_project_info", project=[""], files=[str(tmp_path / "a"), str(tmp_path / "b")])
    assert result["files"] == {str(tmp_path / "a"): {"base64": "eA==", "mode": "0644"}, str(tmp_path / "b"): {"why": "absent"}}
    assert not result["changed"]


def test_an_engine_that_does_not_answer(run, docker):
    docker("ps*) echo 'Cannot connect to the Docker daemon' >&2; exit 1;;\n")
    assert "Cannot connect to the Docker daemon" in run("compose_project_info")["msg"]
