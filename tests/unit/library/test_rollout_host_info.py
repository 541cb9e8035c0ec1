from __future__ import annotations


def test_a_new_host(run, docker, tmp_path):
    docker()
    result = run("rollout_host_info", root=str(tmp_path / "state"), application="app")
    assert result["engine"] == {"engine": "24.0.7", "compose": "2.26.1", "arch": "amd64", "id": "", "data": "/"}
    assert result["ledger"]["stable"] is None
    assert result["services"] == []
    assert (result["lock"], result["guard"]) == (None, None)
    assert result["keeper"] in ("systemd", "process", "nobody")
    assert not result["changed"]
    assert not (tmp_path / "state").exists()


def test_services(run, docker, tmp_path):
    docker("ps*) exit 0;;\n")
    result = run("rollout_host_info", root=str(tmp_path / "state"), application="app", stacks=["core"], torch=False)
    assert [row["stack"] for row in result["services"]] == ["core"]


def test_an_old_engine(run, docker, tmp_path):
    docker('info*) echo \'{"ServerVersion": "18.09"}\';;\n')
    result = run("rollout_host_info", root=str(tmp_path / "state"), application="app")
    assert result["msg"].startswith("Docker Engine 18.09 is too old")


def test_a_damaged_ledger(run, docker, tmp_path):
    docker()
    entry = '{"seq": 1, "event": "staged", "run": "r"}\n'
    (tmp_path / "ledger.jsonl").write_text(entry * 2)
    result = run("rollout_host_info", root=str(tmp_path), application="app")
    assert result["msg"].startswith("The ledger is damaged: entry 1 comes after entry 1.")
