from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.rollout.domain.baseline import Origin
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.compose_project import Original, Stack, composed
from ansible.module_utils.rollout.io.engine import Engine


def refused(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value)


@pytest.mark.parametrize(("recreate", "flag"), [(True, "--force-recreate"), (False, "--no-recreate")])
def test_up_starts_one_service_from_the_releases_own_files(docker, tmp_path, recreate, flag):
    calls = docker("compose*) exit 0;;")
    Stack(Engine(), "ktrdr-core", tmp_path, ["f.yml", "p.json"]).up(["web"], recreate, 5)
    assert calls() == [
        f"compose --project-name ktrdr-core --project-directory {tmp_path} --env-file {tmp_path}/.env --file {tmp_path}/f.yml "
        f"--file {tmp_path}/p.json up --detach --no-deps --no-build --pull never {flag} web"
    ]


def test_a_service_runs_once_beside_the_others(docker, tmp_path):
    calls = docker("compose*) echo NAME;;\n'container inspect migrate-job') echo '[{\"Id\": \"abc\"}]';;")
    stack = Stack(Engine(), "app-core", tmp_path, ["f.yml"])
    assert stack.once("migrate", "migrate-job", {"rollout.job": "run-1"}, 5) == "abc"
    assert calls()[0].endswith(
        "run --detach --no-deps --no-TTY --interactive=false --name migrate-job --label rollout.job=run-1 migrate"
    )


@pytest.mark.parametrize(("grace", "words"), [(None, "stop web"), (1, "stop --timeout 1 web")])
def test_stop(docker, tmp_path, grace, words):
    calls = docker("compose*) ;;\n")
    Stack(Engine(), "app-core", tmp_path, ["docker-compose.core.yml"]).stop(["web"], 10, grace)
    assert calls()[0].endswith(words)


def test_config_and_its_failure(docker, tmp_path):
    docker("*f.yml*) echo '{\"services\": {}}';;\n*) echo 'yaml: line 3: mapping' >&2; exit 15;;")
    assert Stack(Engine(), "p", tmp_path, ["f.yml"]).config() == {"services": {}}
    assert refused(Stack(Engine(), "p", tmp_path, ["g.yml"]).config) == "Reading g.yml failed: yaml: line 3: mapping"


@pytest.mark.parametrize(
    ("profiles", "words"), [((), ""), (("gpu",), " --profile gpu"), (("gpu", "scale-2"), " --profile gpu --profile scale-2")]
)
def test_every_call_has_the_files_in_their_order_and_the_profiles(docker, tmp_path, profiles, words):
    calls = docker("compose*) echo '{}';;")
    stack = Stack(Engine(), "app-core", tmp_path, ["base.yml", "sub/more.yml", "rollout.pins.json"], profiles)
    stack.config()
    stack.stop(["web"], 10)
    files = " ".join(f"--file {tmp_path}/{name}" for name in ("base.yml", "sub/more.yml", "rollout.pins.json"))
    start = f"compose --project-name app-core --project-directory {tmp_path} --env-file {tmp_path}/.env {files}{words} "
    assert calls() == [f"{start}config --format json", f"{start}stop web"]


def test_the_failure_names_all_files(docker, tmp_path):
    docker("*) echo 'yaml: line 3: mapping' >&2; exit 15;;")
    said = refused(Stack(Engine(), "p", tmp_path, ["f.yml", "sub/g.yml"]).config)
    assert said == "Reading f.yml and sub/g.yml failed: yaml: line 3: mapping"


UNSET = 'time="2026-01-01T00:00:00Z" level=warning msg="The \\"{}\\" variable is not set. Defaulting to a blank string."'
OTHER = 'time="2026-01-01T00:00:00Z" level=warning msg="/x/f.yml: `version` is obsolete"'


@pytest.mark.parametrize(
    ("said", "unset", "others"),
    [
        ([], [], []),
        ([UNSET.format("PW")], ["PW"], []),
        ([UNSET.format("PW"), UNSET.format("A"), UNSET.format("PW")], ["A", "PW"], []),
        ([OTHER, OTHER], [], ["/x/f.yml: `version` is obsolete"]),
        ([UNSET.format("_a1"), OTHER, "something else"], ["_a1"], ["/x/f.yml: `version` is obsolete"]),
        # Who writes that into a value sets nothing.
        ([UNSET.format("no name")], [], ['The "no name" variable is not set. Defaulting to a blank string.']),
    ],
)
def test_what_compose_says_beside_a_stack(docker, tmp_path, said, unset, others):
    (tmp_path / "said").write_text("".join(f"{line}\n" for line in said))
    calls = docker(f"compose*) cat {tmp_path}/said >&2; echo '{{}}';;")
    stack = Stack(Engine(), "p", tmp_path, ["f.yml"])
    assert stack.config() == {}
    assert stack.unset() == (unset, others)
    assert len(calls()) == 1, "it was said once"


def asked(engine, tmp_path, text="{}", name="f.yml"):
    (tmp_path / name).write_text(text)
    return Stack(engine, "p", tmp_path, [name]).asked()


def test_compose_is_asked_once_for_the_same_content(docker, tmp_path):
    calls = docker("compose*) echo said;;")
    engine = Engine()
    assert [asked(engine, tmp_path).result() for _ in range(3)] == [("said\n", "")] * 3
    assert len(calls()) == 1
    # For another content, or asked otherwise, it is not the same; nor is it another engine's.
    asked(engine, tmp_path, "other").result()
    asked(engine, tmp_path, name="g.yml").result()
    asked(Engine(), tmp_path).result()
    assert len(calls()) == 4


def test_compose_is_asked_again_after_a_failure(docker, tmp_path):
    calls = docker(f"compose*) test -e {tmp_path}/repaired || {{ echo 'no space left' >&2; exit 1; }};;")
    engine = Engine()
    for _ in range(2):
        assert refused(asked(engine, tmp_path).result) == "Reading f.yml failed: no space left"
    (tmp_path / "repaired").touch()
    for _ in range(2):
        assert asked(engine, tmp_path).result() == ("", "")
    assert len(calls()) == 3


def test_two_questions_of_compose_are_asked_at_once(docker, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    # The one ends when the other is there.
    docker(f"*writes*) echo met > {tmp_path}/fifo;;\n*reads*) cat {tmp_path}/fifo;;")
    engine = Engine(20.0)
    reads, writes = (asked(engine, tmp_path, name=word) for word in ("reads", "writes"))
    assert (reads.result()[0], writes.result()[0]) == ("met\n", "")


def test_the_words_of_a_failure_are_the_last_ones(docker):
    docker("x) echo out; exit 1;;\ny) echo out; echo err >&2; exit 1;;")
    assert refused(composed, Engine(), ["x"], "Reading x") == "Reading x failed: out"
    assert refused(composed, Engine(), ["y"], "Reading y") == "Reading y failed: err"


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
    stack = Stack(Engine(), "p", directory, ["f.yml", "p.json"])
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
    assert stack.asked().result()[0] == json.dumps(after)
    assert len(calls()) == 2


def test_a_stack_without_pins_is_another_question(docker, tmp_path):
    calls = docker("compose*) echo '{}';;")
    (tmp_path / "f.yml").write_text("{}")
    engine = Engine()
    Stack(engine, "p", tmp_path, ["f.yml"]).config()
    Stack(engine, "p", tmp_path, ["f.yml", "p.json"]).config()
    Stack(engine, "q", tmp_path, ["f.yml"]).config()
    Stack(engine, "p", tmp_path, ["f.yml"]).config()
    assert len(calls()) == 3


def test_what_config_returns_may_be_changed(docker, tmp_path):
    docker('compose*) echo \'{"services": {"web": {}}}\';;')
    stack = Stack(Engine(), "p", tmp_path, ["f.yml"])
    stack.config()["services"].clear()
    assert stack.config() == {"services": {"web": {}}}


ORIGIN = Origin("/srv/app", ("/srv/app/a.yml", "/srv/app/b.yml"), ("/srv/app/prod.env",))


def test_a_project_of_somebody_else_is_read_where_it_lies_with_the_profiles_that_are_asked_for(docker):
    calls = docker('compose*) echo "{\\"services\\": {\\"p\\": \\"${COMPOSE_PROFILES-unset}\\"}}";;')
    project = Original(Engine(), "app", ORIGIN)
    assert [project.config(p)["services"]["p"] for p in (("x", "y"), ())] == ["x,y", ""]
    assert calls()[0] == (
        "compose --project-name app --project-directory /srv/app --env-file /srv/app/prod.env --file /srv/app/a.yml "
        "--file /srv/app/b.yml config --format json"
    )


def test_its_hashes_with_a_file_more(docker, tmp_path):
    calls = docker("compose*) echo 'db 01'; echo 'web 02';;")
    assert Original(Engine(), "app", Origin("/srv", ("/srv/a.yml",))).hashes((), [tmp_path / "more.yml"]) == {
        "db": "01",
        "web": "02",
    }
    assert calls()[0] == (
        f"compose --project-name app --project-directory /srv --file /srv/a.yml --file {tmp_path}/more.yml config --hash *"
    )


def test_a_project_that_compose_does_not_accept(docker):
    docker("*) echo 'yaml: line 3: mapping' >&2; exit 15;;")
    said = "Reading /srv/app/a.yml and /srv/app/b.yml failed: yaml: line 3: mapping"
    assert refused(Original(Engine(), "app", ORIGIN).config, ()) == said
    assert refused(Original(Engine(), "app", ORIGIN).hashes, ()) == said
