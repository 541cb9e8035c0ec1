"""MariaDB and a plain volume, spoiled by a job: all of it is brought back."""

import pytest
from conftest import HERE, variables
from operators import Machine, Operator, wait

HOST = Machine("ktrdr-molecule-data", "others")


def database(statement: str) -> str:
    ask = f'MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --user=root --batch --skip-column-names others --execute "{statement}"'
    return HOST.exec("docker", "exec", "others-others-db-1", "sh", "-c", ask)


def files(command: str) -> str:
    return HOST.exec("docker", "exec", "others-others-files-1", "sh", "-c", command)


@pytest.mark.nightly
def test_what_a_job_spoiled_is_brought_back():
    operator = Operator("data")
    operator.inventory = HERE / "others"
    operator.run("rollout.yml", *variables("sha=aaaaaa1"))
    database("CREATE TABLE kept AS SELECT seq AS number FROM seq_1_to_1000")
    files("echo one > /files/one; mkdir /files/folder; echo two > /files/folder/two; chown -R 1234 /files/folder")
    database_was = HOST.exec("docker", "inspect", "--format", "{{.Id}}", "others-others-db-1")

    said = operator.run("rollout.yml", *variables("sha=bbbbbb2", "others_spoil=yes"), rc=2).said
    assert "JOB FAILED" in said
    taken = {one["service"]: one["backup"] for one in HOST.ledger() if one["event"] == "backup"}
    assert set(taken) == {"db", "files"}
    assert all(backup in said for backup in taken.values())
    assert database("SELECT count(*), max(number) FROM kept").split() == ["1000", "1000"]
    wait(lambda: files("true") == "", 20, "the service whose volume was restored runs")
    assert files("cat /files/one /files/folder/two; stat --format %u /files/folder/two").split() == ["one", "two", "1234"]
    assert HOST.exec("docker", "inspect", "--format", "{{.Id}}", "others-others-db-1") == database_was
    assert HOST.running()["web"][0] == "sha-aaaaaa1"
