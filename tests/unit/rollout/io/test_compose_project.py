from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.compose_project import Stack, composed, validate
from ansible.module_utils.rollout.io.engine import Engine


def refused(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value)


@pytest.mark.parametrize(("recreate", "flag"), [(True, "--force-recreate"), (False, "--no-recreate")])
def test_up_starts_one_service_from_the_releases_own_files(docker, tmp_path, recreate, flag):
    calls = docker("compose*) exit 0;;")
    Stack(Engine(), "ktrdr-core", tmp_path, "f.yml", "p.json").up(["web"], recreate, 5)
    assert calls() == [
        f"compose --project-name ktrdr-core --project-directory {tmp_path} --env-file {tmp_path}/.env --file {tmp_path}/f.yml "
        f"--file {tmp_path}/p.json up --detach --no-deps --no-build --pull never {flag} web"
    ]


@pytest.mark.parametrize(("grace", "words"), [(None, "stop web"), (1, "stop --timeout 1 web")])
def test_stop(docker, tmp_path, grace, words):
    calls = docker("compose*) ;;\n")
    Stack(Engine(), "app-core", tmp_path, "docker-compose.core.yml").stop(["web"], 10, grace)
    assert calls()[0].endswith(words)


def test_config_and_its_failure(docker, tmp_path):
    docker("*f.yml*) echo '{\"services\": {}}';;\n*) echo 'yaml: line 3: mapping' >&2; exit 15;;")
    assert Stack(Engine(), "p", tmp_path, "f.yml").config() == {"services": {}}
    assert refused(Stack(Engine(), "p", tmp_path, "g.yml").config) == "Reading g.yml failed: yaml: line 3: mapping"


def test_compose_is_asked_once_for_the_same_content(docker):
    calls = docker("x*) echo said;;")
    engine = Engine()
    asked = [composed(engine, ["text"], ["x"], "Reading x") for _ in range(3)]
    assert [one.result() for one in asked] == ["said\n"] * 3
    assert composed(engine, ["text"], ["x"], "Reading x").result() == "said\n"
    assert calls() == ["x"]
    # For another content, or asked otherwise, it is not the same; nor is it another engine's.
    composed(engine, ["other"], ["x"], "Reading x").result()
    composed(engine, ["text"], ["x", "y"], "Reading x").result()
    composed(Engine(), ["text"], ["x"], "Reading x").result()
    assert calls() == ["x", "x", "x y", "x"]


def test_compose_is_asked_again_after_a_failure(docker, tmp_path):
    calls = docker(f"x) test -e {tmp_path}/repaired || {{ echo 'no space left' >&2; exit 1; }};;")
    engine = Engine()
    for _ in range(2):
        assert refused(composed(engine, ["text"], ["x"], "Reading x").result) == "Reading x failed: no space left"
    (tmp_path / "repaired").touch()
    for _ in range(2):
        assert composed(engine, ["text"], ["x"], "Reading x").result() == ""
    assert calls() == ["x"] * 3


def test_two_questions_of_compose_are_asked_at_once(docker, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    # The one ends when the other is there.
    docker(f"writes) echo met > {tmp_path}/fifo;;\nreads) cat {tmp_path}/fifo;;")
    engine = Engine(20.0)
    reads, writes = (composed(engine, [], [word], "Meeting") for word in ("reads", "writes"))
    assert (reads.result(), writes.result()) == ("met\n", "")


@pytest.mark.parametrize("changed", [".env", "f.yml", "p.json"])
@pytest.mark.parametrize("change", ["come", "other", "gone"])
def test_a_changed_file_is_noticed(docker, tmp_path, changed, change):
    directory = tmp_path / "release"
    directory.mkdir()
    for name in (".env", "f.yml", "p.json"):
        (directory / name).write_text("{}")
    file = directory / changed
    if change == "come":
        file.unlink()
    calls = docker(f'compose*) printf \'{{"found": "%s"}}\' "$(cat {file} 2>&1 | head -c 3)";;')
    stack = Stack(Engine(), "p", directory, "f.yml", "p.json")
    before = stack.config()
    assert stack.config() == before
    assert len(calls()) == 1
    if change == "gone":
        file.unlink()
    else:
        file.write_text("new")
    # Written anew as it was, it is the same.
    (directory / ("f.yml" if changed != "f.yml" else ".env")).write_text("{}")
    after = stack.config()
    assert after != before
    assert stack.asked().result() == json.dumps(after)
    assert len(calls()) == 2


def test_a_stack_without_pins_is_another_question(docker, tmp_path):
    calls = docker("compose*) echo '{}';;")
    (tmp_path / "f.yml").write_text("{}")
    engine = Engine()
    Stack(engine, "p", tmp_path, "f.yml").config()
    Stack(engine, "p", tmp_path, "f.yml", "p.json").config()
    Stack(engine, "q", tmp_path, "f.yml").config()
    Stack(engine, "p", tmp_path, "f.yml").config()
    assert len(calls()) == 3


def test_what_config_returns_may_be_changed(docker, tmp_path):
    docker('compose*) echo \'{"services": {"web": {}}}\';;')
    stack = Stack(Engine(), "p", tmp_path, "f.yml")
    stack.config()["services"].clear()
    assert stack.config() == {"services": {"web": {}}}


def test_a_text_is_checked_once_with_the_same_variables(docker):
    calls = docker('compose*) echo "$IMAGE_TAG"; cat;;')
    engine = Engine()

    def check(text, **environment):
        return validate(engine, text, environment, "f.yml").result()

    assert [check("a", IMAGE_TAG="v1", X="1"), check("a", X="1", IMAGE_TAG="v1")] == ["v1\na"] * 2
    assert len(calls()) == 1
    assert [check("b", IMAGE_TAG="v1"), check("a", IMAGE_TAG="v2"), check("a")] == ["v1\nb", "v2\na", "\na"]
    assert len(calls()) == 4


def test_validate_feeds_the_text_and_the_environment(docker):
    calls = docker('compose*) test "$IMAGE_TAG" = v1 && cat;;')
    assert validate(Engine(), '{"services": {}}', {"IMAGE_TAG": "v1"}, "f.yml").result() == '{"services": {}}'
    assert "--file - config --format json" in calls()[0]
    with pytest.raises(RolloutError, match=r"Checking f\.yml failed"):
        validate(Engine(), "", {}, "f.yml").result()
