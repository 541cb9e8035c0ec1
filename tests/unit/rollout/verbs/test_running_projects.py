"""Looking at the Compose projects of a host."""

from __future__ import annotations

import base64

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import refusals
from ansible.module_utils.rollout.verbs import running_projects

LABEL = "com.docker.compose"


class Engine:
    """An engine with these containers; everything else about it would be an attribute that it lacks."""

    def __init__(self, folder, *projects):
        self.folder, self.projects, self.asked = folder, projects, []

    def everything(self):
        return [
            {
                "Image": f"sha256:{name}",
                "Config": {
                    "Labels": {
                        f"{LABEL}.project": name,
                        f"{LABEL}.service": "web",
                        f"{LABEL}.project.working_dir": str(self.folder / name),
                        f"{LABEL}.project.config_files": f"{self.folder / name}/docker-compose.yml",
                    }
                },
            }
            for name in self.projects
        ] + [{"Image": "sha256:alone", "Config": {"Labels": {}}}]

    def inspect(self, kind, names):
        self.asked.append((kind, list(names)))
        return [{"Id": names[0], "RepoDigests": ["x@sha256:1"]}]


@pytest.fixture
def engine(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "docker-compose.yml").write_text(f"# {name}\n")
    (tmp_path / "one/.env").write_text("PW=canary\n")
    return Engine(tmp_path, "one", "two")


def texts(found):
    return {path.rpartition("/one/")[2]: base64.b64decode(one["base64"]).decode() for path, one in found["files"].items()}


def test_all_projects_without_their_environment(engine, tmp_path):
    found = running_projects.look(engine, [], [])
    assert [(one["name"], one["env_files"]) for one in found["projects"]] == [("one", [f"{tmp_path}/one/.env"]), ("two", [])]
    assert {*found["files"]} == {f"{tmp_path}/{name}/docker-compose.yml" for name in ("one", "two")}
    assert "canary" not in str(found)
    # Of images, those of projects alone.
    assert engine.asked == [("image", ["sha256:one", "sha256:two"])]
    assert found["projects"][0]["services"][0]["digest"] == "sha256:1"


def test_one_project_with_its_environment_and_what_is_asked_for(engine, tmp_path):
    (tmp_path / "one/app.env").write_text("A=1\n")
    found = running_projects.look(engine, ["one"], [f"{tmp_path}/one/app.env", f"{tmp_path}/one/gone"])
    assert found["files"].pop(f"{tmp_path}/one/gone") == {"why": "absent"}
    assert texts(found) == {"docker-compose.yml": "# one\n", ".env": "PW=canary\n", "app.env": "A=1\n"}


def test_an_engine_that_does_not_answer(engine):
    def silent():
        raise refusals.NOT_INSTALLED()

    engine.everything = silent
    with pytest.raises(RolloutError, match="Docker"):
        running_projects.look(engine, [], [])
