"""Which files of a project that runs are its configuration."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import adoption
from ansible.module_utils.rollout.errors import RolloutError
from running import FOLDER, adopt, facts, files, more, project, service

INCLUDING = "include: [more.yml]\nservices: {web: {image: a, env_file: [app.env]}}\n"
MORE = "services: {extra: {image: b, extends: {file: base/common.yml, service: one}}}\n"


def refused(said=None, read=None):
    with pytest.raises(RolloutError) as error:
        adopt(said, read)
    return str(error.value)


def test_it_asks_for_the_files_that_compose_files_name_round_by_round():
    known = files(compose=INCLUDING)
    assert sorted(project(read=known).wanted()) == [f"{FOLDER}/more.yml"]
    known |= more(**{"more.yml": MORE})
    assert sorted(project(read=known).wanted()) == [f"{FOLDER}/base/common.yml"]
    known |= more(**{"base/common.yml": "services: {one: {env_file: own.env}}\n"}) | {f"{FOLDER}/.env": {"why": "absent"}}
    assert sorted(project(read=known).wanted()) == [f"{FOLDER}/app.env", f"{FOLDER}/base/own.env"]
    known |= more(**{"app.env": "A=1\n", "base/own.env": "B=2\n"})
    assert project(facts(env_files=[]), {**known}).wanted() == []


@pytest.mark.parametrize(
    ("spelt", "mount", "asked"),
    [
        ("./a.conf:/a:ro", (f"{FOLDER}/a.conf", "/a", True), ["a.conf"]),
        ("${CONF:-./a.conf}:/a:ro", (f"{FOLDER}/a.conf", "/a", True), ["a.conf"]),
        # Services write there: it is data.
        ("./a.conf:/a", (f"{FOLDER}/a.conf", "/a", False), []),
        # It is the host's, wherever it lies.
        (f"{FOLDER}/a.conf:/a:ro", (f"{FOLDER}/a.conf", "/a", True), []),
        ("/etc/a.conf:/a:ro", ("/etc/a.conf", "/a", True), []),
        # No Compose file names it.
        ("./a.conf:/a:ro", (f"{FOLDER}/id_ed25519", "/a", True), []),
        ("./a.conf:/a:ro", (f"{FOLDER}/../other/a.conf", "/a", True), []),
        ("./a.conf:/a:ro", (FOLDER, "/a", True), []),
    ],
)
def test_mounts_that_are_asked_for(spelt, mount, asked):
    said = facts(service(mounts=[mount]))
    read = files(compose=f"services: {{web: {{image: a, volumes: ['{spelt}']}}}}\n")
    assert project(said, read).wanted() == [f"{FOLDER}/{name}" for name in asked]


def test_files_of_configs_and_secrets_are_asked_for_whether_their_service_runs_or_not():
    text = "services: {}\nconfigs: {one: {file: ./one.conf}}\nsecrets: {two: {file: two.txt}, far: {file: /etc/x}, own: {environment: X}}\n"
    assert project(read=files(compose=text)).wanted() == [f"{FOLDER}/one.conf", f"{FOLDER}/two.txt"]


def test_what_was_not_read_of_mounts_is_data():
    said = facts(service(mounts=[(f"{FOLDER}/{name}", f"/{name}", True) for name in ("a", "b", "c")]))
    read = files(compose="services: {web: {image: a, volumes: ['./a:/a:ro', './b:/b:ro', './c:/c:ro']}}\n")
    read |= {f"{FOLDER}/a": {"why": "large"}, f"{FOLDER}/b": {"folder": True}, f"{FOLDER}/c": {"why": "binary"}}
    read |= more(**{"b/one.conf": "1", "b/two.conf": "2"})
    one = project(said, read)
    assert one.wanted() == []
    assert {*one.taken()} == {".env", "docker-compose.yml", "b/one.conf", "b/two.conf"}
    assert one.data == {"a": "large", "c": "binary"}


def test_a_file_is_kept_byte_for_byte():
    read = files(compose="services: {}\r\n# {{ 7 * 7 }} \u00e9\n")
    assert adopt(read=read).files["docker-compose.yml"] == ("services: {}\r\n# {{ 7 * 7 }} \u00e9\n".encode(), 0o644)


@pytest.mark.parametrize(
    ("said", "read", "sentence"),
    [
        ({"compose": []}, {}, "its containers do not say from which Compose files they were started. Start it once"),
        ({"folder": ""}, {}, "its containers do not say from which Compose files they were started. Start it once"),
        ({"ours": True}, {}, "this tool rolls it out already. Its inventory is the one with which that is done."),
        (
            {"compose": ["/srv/deploy/a.yml"]},
            {},
            "its Compose file is /srv/deploy/a.yml, and its paths begin in /srv/shop. A release has both in one folder",
        ),
        (
            {"compose": [f"{FOLDER}/docker-compose.yml", "/etc/more.yml"]},
            {},
            "it uses /etc/more.yml, which lies outside of /srv/shop. A release is made of one folder: move that file into it",
        ),
        ({"env_files": ["/etc/shop.env"]}, {}, "it uses /etc/shop.env, which lies outside of /srv/shop."),
        (
            {},
            {"compose": None},
            "docker-compose.yml was not read: it is not there. If the project was started from inside of a cont",
        ),
        (
            {},
            {"compose": {"why": "denied"}},
            "docker-compose.yml was not read: the connecting user may not read it; -b reads it as",
        ),
        ({}, {"env": {"why": "denied"}}, ".env was not read: the connecting user may not read it; -b reads it as root."),
        (
            {},
            {"compose": {"why": "strange"}},
            "docker-compose.yml was not read: it is not a plain file, or its name is not plain",
        ),
        ({}, {"compose": {"base64": "%"}}, "docker-compose.yml was not read: it is not there."),
        ({}, {"env": "PASS='canary\n"}, ".env, line 1, is not what Compose reads in an environment file"),
        (
            {"compose": [f"{FOLDER}/a.yml.j2"]},
            {"a.yml.j2": "{}"},
            "a.yml.j2 ends in .j2, so that a rollout would take it for a templ",
        ),
        (
            {},
            {"compose": "$ANSIBLE_VAULT;1.1;AES256\n62\n"},
            "docker-compose.yml is encrypted with ansible-vault. A rollout would decrypt it here and send it to that host",
        ),
        ({}, {"compose": "include: [../a.yml]\n"}, "docker-compose.yml has include ../a.yml, which leaves the folder"),
        (
            {},
            {"compose": "include: [a.yml]\n", "a.yml": {"why": "absent"}},
            "has include a.yml, and the folder of the compose file",
        ),
    ],
)
def test_what_cannot_be_taken_over(said, read, sentence):
    found = refused(facts(**said), files(**read))
    assert sentence in found
    assert "canary" not in found


def test_an_environment_file_that_may_be_missing_may_be_missing():
    read = files(
        compose="services: {web: {image: a, env_file: [{path: app.env, required: false}]}}\n", **{"app.env": {"why": "absent"}}
    )
    assert "app.env" not in adopt(read=read).files


@pytest.mark.parametrize(
    ("typed", "names"),
    [("", []), (None, []), ("a", ["a"]), ("a, b,a", ["a", "b"]), (["a", " b "], ["a", "b"])],
)
def test_the_projects_that_were_typed(typed, names):
    assert adoption.named(typed) == names
