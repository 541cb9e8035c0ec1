"""Containers beside what runs: how docker is asked for them, and that nothing of them stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import throw_away
from fake_engine import FakeEngine

DOCUMENT = {"services": {"web": {"image": "r/web:1", "labels": {"rollout.rehearsal": "/state"}}}}


class Engine(FakeEngine):
    """Keeps each command of docker whole."""

    def __init__(self):
        super().__init__()
        self.images["r/web:1"] = "sha256:1"
        self.words = []

    def run(self, arguments, stdin="", timeout=None, extra=None):
        self.words.append(list(arguments))
        return super().run(arguments, stdin, timeout, extra)


@pytest.fixture
def engine():
    return Engine()


def test_it_is_a_one_off_container_of_a_project_of_its_own(engine, tmp_path):
    with throw_away.started(engine, DOCUMENT, tmp_path, "/release/.env") as found:
        assert [c["Id"] for c in engine.made] == [found]
        assert json.loads((tmp_path / "docker-compose.json").read_text()) == DOCUMENT
    (run,) = [words for words in engine.words if words[0] == "compose"]
    name = run[run.index("--name") + 1]
    assert name.startswith("rollout-rehearsal-")
    assert run == [
        *("compose", "--project-name", name, "--project-directory", str(tmp_path), "--env-file", "/release/.env"),
        *("--file", str(tmp_path / "docker-compose.json"), "run", "--detach", "--no-deps", "--no-TTY", "--interactive=false"),
        *("--name", name, "web"),
    ]
    assert engine.words[-1] == ["rm", "--force", "--volumes", name]
    assert engine.made == []


def test_one_that_reads_its_input_does_not_find_the_end_of_it(engine, tmp_path):
    with throw_away.started(engine, {"services": {"web": {**DOCUMENT["services"]["web"], "stdin_open": True}}}, tmp_path):
        pass
    assert any("--interactive=true" in words for words in engine.words)


def test_two_have_two_names(engine, tmp_path):
    with throw_away.started(engine, DOCUMENT, tmp_path), throw_away.started(engine, DOCUMENT, tmp_path):
        assert len({c["Name"] for c in engine.made}) == 2


def test_one_that_does_not_start_is_removed_too(engine, tmp_path):
    engine.fail["run web"] = "exec: not found"
    with pytest.raises(RolloutError) as error, throw_away.started(engine, DOCUMENT, tmp_path):
        pass
    assert str(error.value) == "Starting web failed: exec: not found"
    assert engine.words[-1][:3] == ["rm", "--force", "--volumes"]


def test_what_killed_processes_left_is_known_by_its_label(engine):
    for owner in ("/state", "/state/other", None):
        engine.add("p", "web", {"image": "r/web:1", "labels": {"rollout.rehearsal": owner} if owner else {}})
    assert throw_away.sweep(engine, "rollout.rehearsal=/state") == ["c1"]
    assert [c["Id"] for c in engine.made] == ["c2", "c3"]
    assert throw_away.sweep(engine, "rollout.rehearsal=/state") == []
    assert sum(words[0] == "rm" for words in engine.words) == 1


def test_where_it_lies_by_default_nothing_is_read(engine, tmp_path):
    with throw_away.started(engine, DOCUMENT, tmp_path):
        pass
    run = next(words for words in engine.words if words[0] == "compose")
    assert Path(run[run.index("--env-file") + 1]) == Path("/dev/null")
