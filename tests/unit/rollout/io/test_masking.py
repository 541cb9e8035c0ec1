from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain.dotenv import MASK
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def release(store, name, values, secret, file="core/.env"):
    files = {file: dotenv.render({"IMAGE_TAG": name, **values})}
    manifest = {"release": name, "name": name, "application": "app", "images": {}, "stacks": [], "secrets": secret}
    store.write_release(name, files, manifest)
    return store.directory(name)


def test_the_secrets_of_every_release_are_hidden_and_nothing_else(store):
    release(store, "sha-aaaaaaa", {"PW": "canary-old", "LEVEL": "debugging"}, ["PW"])
    release(store, "sha-bbbbbbb", {"PW": "canary-new", "LEVEL": "debugging"}, ["PW", "GONE"])
    masking.learn({"TOKEN": "canary-order"}, None, "canary-login")
    masking.learn_releases(store)
    text = "canary-old canary-new canary-order canary-login debugging sha-aaaaaaa"
    assert masking.masked(text) == f"{MASK} {MASK} {MASK} {MASK} debugging sha-aaaaaaa"


def test_each_stack_has_secrets_of_its_own(store):
    files = {f"{stack}/.env": dotenv.render({"PW": f"canary-{stack}"}) for stack in ("core", "workers")}
    manifest = {
        "release": "v1",
        "name": "v1",
        "application": "app",
        "images": {},
        "stacks": ["core", "workers"],
        "secrets": ["PW"],
    }
    store.write_release("v1", files, {**manifest, "parts": {stack: {"compose": []} for stack in ("core", "workers")}})
    masking.learn_releases(store)
    assert masking.masked("canary-core canary-workers") == f"{MASK} {MASK}"


def test_those_of_an_earlier_version_are_hidden_too(store):
    release(store, "sha-aaaaaaa", {"PW": "canary-old"}, ["PW"], ".env")
    release(store, "sha-bbbbbbb", {"PW": "canary-new"}, ["PW"])
    masking.learn_releases(store)
    assert masking.masked("canary-old canary-new") == f"{MASK} {MASK}"


@pytest.mark.parametrize("file", [".env", "core/.env"])
def test_where_it_is_not_known_which_are_secret_all_are(store, file):
    directory = release(store, "sha-aaaaaaa", {"PW": "canary-a", "LEVEL": "debugging"}, ["PW"], file)
    (directory / "release.json").write_text("{")
    masking.learn_releases(store)
    assert masking.masked("canary-a debugging sha-aaaaaaa") == f"{MASK} {MASK} sha-aaaaaaa"


@pytest.mark.parametrize(
    "line", ["PW=canary-a", "PW='canary-a'", 'PW="canary-a" # since May', "export PW=canary-a", "  canary-a", "PW: canary-a"]
)
def test_of_a_file_that_was_edited_every_line_that_may_be_one_is_hidden(store, line):
    directory = release(store, "sha-aaaaaaa", {"LEVEL": "debugging", "OTHER": "canary-b"}, ["PW", "OTHER"])
    with (directory / "core/.env").open("a") as file:
        file.write(line + "\n")
    masking.learn_releases(store)
    shown = masking.masked(f"{line} debugging canary-b")
    assert "canary" not in shown
    assert "debugging" in shown


def test_a_state_directory_that_cannot_be_read_says_nothing(tmp_path):
    (tmp_path / "releases").write_text("no directory")
    masking.learn_releases(Store(str(tmp_path)))
    masking.learn_releases(Store(str(tmp_path / "none")))
    assert masking.masked("anything") == "anything"


def test_what_is_cut_off_leaves_no_part_of_a_secret():
    masking.learn("canary-" + "x" * 400)
    said = "error: canary-" + "x" * 400 + " is wrong " + "y" * 550
    assert "xx" not in last_words(said)
    assert last_words("level=warning\n  first\nsecond\n") == "first; second"


def test_at_the_cut_of_a_flood_the_line_goes():
    masking.learn("canary-" + "x" * 40)
    flood = ("canary-" + "x" * 40) * (masking.MOST // 40) + "\nlast line"
    assert masking.ending(flood[-masking.MOST - 5 :]) == "last line"
    assert masking.ending("y" * (masking.MOST + 1)) == "(a line of more than 64 KiB, which is not shown)"


def test_the_log_and_the_words_of_docker_are_masked(docker):
    key = "-----BEGIN KEY-----\ncanary-line-1\ncanary-line-2\n-----END KEY-----\n"
    masking.learn(key, "p@ss w/ord")
    docker("""logs*) printf 'dsn p%%40ss%%20w%%2Ford\\ncanary-line-2\\n'; printf 'canary-line-1' >&2 ;;
        rm*) echo "no such container: p@ss w/ord" >&2; exit 1 ;;""")
    assert Engine().logs("c") == f"dsn {MASK}\n{MASK}\n{MASK}"
    with pytest.raises(RolloutError) as caught:
        Engine().checked(["rm", "c"], "Removing web")
    assert str(caught.value) == f"Removing web failed: no such container: {MASK}"


def test_an_answer_of_the_engine_is_masked(monkeypatch):
    masking.learn("canary-a")
    engine = Engine()
    monkeypatch.setattr(engine.api, "get", lambda path, **query: (500, json.loads('{"message": "cannot mount canary-a"}')))
    with pytest.raises(RolloutError, match=r"cannot mount \*{8}"):
        engine.get("/x", "Mounting")
