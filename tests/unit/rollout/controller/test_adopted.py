"""What is guessed of a project that runs."""

from __future__ import annotations

import pytest
from running import FOLDER, adopt, facts, files, more, service

ANY = {"address": "0.0.0.0", "published": 8080, "target": 80, "protocol": "tcp"}


@pytest.mark.parametrize(
    ("one", "keys"),
    [
        # Docker asks it.
        (service(check="curl localhost", ports=[(80, 80)]), {}),
        (service(ports=[(8080, 80), (9000, 90)]), {"health": ["tcp://127.0.0.1:8080"]}),
        (service(ports=[ANY]), {"health": ["tcp://127.0.0.1:8080"]}),
        (service(ports=[{**ANY, "address": "192.168.1.5"}]), {"health": ["tcp://192.168.1.5:8080"]}),
        (service(ports=[{**ANY, "address": "::"}]), {"health": ["tcp://127.0.0.1:8080"]}),
        (service(ports=[{**ANY, "address": "fd00::5"}]), {"health": ["tcp://[fd00::5]:8080"]}),
        (service(ports=[{**ANY, "protocol": "udp"}]), {}),
        (service(), {}),
        # The service has the check of its image switched off.
        (
            service(ports=[(8080, 80)], image_check="curl -f http://localhost/health?a=1 || exit 1"),
            {"health": ["http://127.0.0.1:8080/health?a=1"]},
        ),
        (service(ports=[(8443, 443)], image_check="wget https://127.0.0.1"), {"health": ["https://127.0.0.1:8443/"]}),
        (service(ports=[(8080, 80)], image_check="curl http://localhost:9000/"), {"health": ["tcp://127.0.0.1:8080"]}),
        (service(ports=[(8080, 80)], image_check="curl http://example.com/"), {"health": ["tcp://127.0.0.1:8080"]}),
        (service(ports=[(8080, 80)], image_check="curl http://localhost:99999/"), {"health": ["tcp://127.0.0.1:8080"]}),
        # An address that is none is no gate.
        (service(ports=[{**ANY, "address": "a b/c"}]), {}),
        (service(image="registry:5000/team/postgres:17", ports=[(5432, 5432)]), {"keep": True}),
        (service(state="exited", restart="no"), {"job": "before"}),
        (service(state="exited", restart="always"), {}),
        (service(state="exited", restart="no", code=1), {}),
    ],
)
def test_keys_of_a_service(one, keys):
    found = adopt(facts(one), files(compose="services: {web: {image: a}}\n"))
    assert found.services.get("web", {}) == keys
    assert {key for _service, key in found.why} == set(keys)


def test_a_job_that_compose_knows_needs_no_key():
    text = "services: {web: {image: a, depends_on: {job: {condition: service_completed_successfully}}}, job: {image: b}}\n"
    found = adopt(facts(service(), service("job", state="exited", restart="no")), files(compose=text))
    assert found.services == {}
    assert found.notes == []


@pytest.mark.parametrize(
    ("image", "env", "variable", "tag"),
    [
        ("a/web:${VERSION}", "VERSION=v1.2.3\n", "VERSION", "v1.2.3"),
        ("a/web:${VERSION:-v1.2.3}", "", "VERSION", "v1.2.3"),
        ("a/web:${VERSION:-v1.2.3}-cuda", "VERSION=v2.0\n", "VERSION", "v2.0"),
        # The first rollout would bring what it names by now.
        ("a/web:${VERSION}", "VERSION=release\n", "", ""),
        ("a/web:${VERSION:-latest}", "", "", ""),
        # Which of them, nobody knows.
        ("a/web:${VERSION}-${OTHER}", "VERSION=1.2\nOTHER=3\n", "", ""),
        ("${REGISTRY}/web:1.2", "REGISTRY=localhost:5000\n", "", ""),
        ("a/web:1.2", "", "", ""),
        ("a/web:${VERSION}", "VERSION={{ 1 }}\n", "", ""),
        # A rollout sets it in any case.
        ("a/web:${IMAGE_TAG}", "IMAGE_TAG=latest\n", "IMAGE_TAG", "latest"),
    ],
)
def test_the_variable_that_names_the_release(image, env, variable, tag):
    found = adopt(facts(service()), files(compose=f"services: {{web: {{image: '{image}'}}}}\n", env=env))
    assert (found.tag_variable, found.tag) == (variable, tag)


def test_secrets_are_moved_out_of_the_environment_file():
    env = "# mine\nDB_PASSWORD='canary-1'  # the old\n# DB_PASSWORD=canary-0\nLOG=info\nURL=postgres://a:${DB_PASSWORD}@db/x\nTOKEN_TTL=60\n"
    found = adopt(read=files(env=env))
    assert found.secrets == {"DB_PASSWORD": "canary-1", "URL": "postgres://a:canary-1@db/x"}
    assert found.files[".env"][0] == b"# mine\nLOG=info\nTOKEN_TTL=60\n"
    assert found.env_files is None
    assert found.private == []


def test_an_environment_file_that_a_service_reads_stays_whole():
    text = "services: {web: {image: a, env_file: [app.env, plain.env]}}\n"
    read = files(compose=text) | more(**{"app.env": "API_TOKEN=canary\n", "plain.env": "A=1\n"})
    said = facts(service(), env_files=[f"{FOLDER}/.env", f"{FOLDER}/app.env"])
    found = adopt(said, read)
    assert found.env_files == [".env", "app.env"]
    assert found.files["app.env"][0] == b"API_TOKEN=canary\n"
    assert found.private == ["app.env"]
    assert "API_TOKEN" not in found.secrets


def test_several_environment_files():
    read = files(env="A=1\nDB_PASSWORD=canary-1\n") | more(**{"prod.env": "DB_PASSWORD=canary-2\nB=2\n"})
    found = adopt(facts(env_files=[f"{FOLDER}/.env", f"{FOLDER}/prod.env"]), read)
    assert found.secrets == {"DB_PASSWORD": "canary-2"}
    assert [found.files[name][0] for name in (".env", "prod.env")] == [b"A=1\n", b"B=2\n"]


def test_options_of_compose_are_no_variables():
    found = adopt(read=files(compose="services: {web: {image: a}}\n", env="COMPOSE_PROFILES=a\nCOMPOSE_FILE=b.yml\nX=1\n"))
    assert found.secrets == {}
    assert found.allow_unset == []


def test_variables_without_a_value():
    text = "# ${NOT}\nservices: {web: {image: a, command: '$ONE ${TWO} ${THREE:-x} ${FOUR:?} $$FIVE ${LOG} ${IMAGE_TAG}'}}\n"
    found = adopt(facts(service()), files(compose=text))
    assert found.allow_unset == ["ONE", "TWO"]
    assert found.notes == [
        "ONE, TWO has no value in the environment files: it was empty, or came from a shell. If so, write it under `environment`."
    ]


def test_what_the_reader_should_know():
    text = """\
services:
  web: {image: a, volumes: ["./big:/big:ro"], environment: [API_TOKEN=canary, LOG=info, "OTHER_TOKEN=${DB_PASSWORD}", BARE]}
  db: {image: postgres, environment: {POSTGRES_PASSWORD: canary, A: null}}
  new: {image: c}
  other: {image: c, profiles: [other]}
"""
    said = facts(
        service(mounts=[(f"{FOLDER}/big", "/big", True)], state="exited", code=137),
        service("db", image="postgres:17"),
        notes=["Its containers were started with different Compose files; those of the newest one are shown."],
    )
    read = {**files(compose=text, env="DB_PASSWORD=abc\n"), f"{FOLDER}/big": {"why": "large"}}
    assert adopt(said, read).notes == [
        "Its containers were started with different Compose files; those of the newest one are shown.",
        "./big is mounted and stays on the host: it is large.",
        "Service web does not run (exited); a rollout starts it.",
        "Service new has no container; a rollout starts it.",
        "The Compose files hold values that look like secrets, in db.POSTGRES_PASSWORD, web.API_TOKEN: they stay there.",
        "DB_PASSWORD has fewer than 4 characters: give it a longer value, or set rollout_allow_short_secrets.",
    ]


def test_what_several_files_say_of_a_service_is_put_together():
    one = "services: {web: {image: 'a:${V}', depends_on: {job: {condition: service_completed_successfully}}}, job: {image: b}}\n"
    two = "services: {web: {environment: {A: b}, depends_on: {db: {condition: service_started}}}, db: {image: postgres}}\n"
    said = facts(
        *(service(), service("job", state="exited", restart="no"), service("db", image="postgres")),
        compose=[f"{FOLDER}/docker-compose.yml", f"{FOLDER}/more.yml"],
    )
    found = adopt(said, files(compose=one, env="V=1.2\n") | more(**{"more.yml": two}))
    assert found.services == {"db": {"keep": True}}
    assert (found.tag_variable, found.notes) == ("V", [])


def test_what_is_only_extended_is_no_service():
    text = "include: [inner.yml]\nservices: {web: {extends: {file: base.yml, service: one}}}\n"
    base = "services: {one: {image: 'a:${V}'}}\n"
    read = files(compose=text, env="V=1.2\n") | more(**{"base.yml": base, "inner.yml": "services: {extra: {image: b}}\n"})
    found = adopt(facts(service()), {**read, f"{FOLDER}/.env": files(env="V=1.2\n")[f"{FOLDER}/.env"]})
    assert found.notes == ["Service extra has no container; a rollout starts it."]
    # The image is its own all the same.
    assert found.tag_variable == "V"


def test_a_secret_that_is_a_file_stays_in_plain_and_is_named():
    read = files(compose="services: {web: {image: a}}\nsecrets: {one: {file: ./one.txt}}\n") | more(**{"one.txt": "canary"})
    found = adopt(facts(service()), read)
    assert found.notes == [
        "one.txt is a secret in plain. ansible-vault encrypt hides it here. On a host it is for its owner alone then, and a service that "
        "runs as another user cannot read it."
    ]


@pytest.mark.parametrize("env", ["LOG=info\r\n\r\n# x\r\n", "\ufeffLOG=info"])
def test_an_environment_file_without_a_secret_is_kept_byte_for_byte(env):
    assert adopt(read=files(compose="services: {web: {image: a}}\n", env=env)).files[".env"][0] == env.encode()


def test_a_secret_in_a_comment_goes_too():
    found = adopt(read=files(compose="services: {web: {image: a}}\n", env="# TOKEN=canary\nLOG=info\n"))
    assert found.files[".env"][0] == b"LOG=info\n"
