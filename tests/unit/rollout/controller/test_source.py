"""What a host needs of a stack, collected from real folders."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest
from ansible.module_utils.rollout.controller.source import collect, listed
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import below, bundle, first, reader, vaulted, write

COMPOSE = "services:\n  web:\n    image: app:${IMAGE_TAG}\n"
EMPTY = {
    "profiles": [],
    "environment": {},
    "secrets": {},
    "hidden": [],
    "services": {},
    "allow_unset": [],
    "tag_variable": "IMAGE_TAG",
    "data": "",
    "project": "",
    "new_data": False,
    "adopt": False,
    "paths": [],
}


def refused(root, **spec):
    with pytest.raises(RolloutError) as error:
        bundle(root, **spec)
    return str(error.value)


def test_a_folder_with_a_compose_file(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "README.md": "x"})
    assert bundle(tmp_path) == {
        "files": {"docker-compose.yml": {"text": COMPOSE, "mode": "0644"}},
        "compose": ["docker-compose.yml"],
        **EMPTY,
        "folder": str(tmp_path),
    }


def test_all_that_a_stack_says_of_itself(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE})
    said = {
        "profiles": ["gpu"],
        "services": {"db": {"keep": True}},
        "allow_unset": ["X"],
        "tag_variable": "IMMICH_VERSION",
        "data": "/srv/app",
        "project": "immich",
        "new_data": True,
        "environment": {"A": 1},
        "secrets": {"PW": "hunter2"},
    }
    found = bundle(tmp_path, wave="backend", images=["app"], **said)
    assert {key: found[key] for key in said} == said


def test_a_compose_file_and_its_override_lie_where_they_are_named(tmp_path):
    write(tmp_path, {"a/docker-compose.yml": COMPOSE, "a/prod/over.yml": "services: {}\r\n", "a/x.yml.j2": "# {{ who }}\n"})
    found = bundle(
        tmp_path, compose=["a/docker-compose.yml", "prod/over.yml", str(tmp_path / "a/x.yml.j2")], variables={"who": "me"}
    )
    assert found["compose"] == ["docker-compose.yml", "prod/over.yml", "x.yml"]
    assert found["files"]["prod/over.yml"]["text"] == "services: {}\r\n"
    assert found["files"]["x.yml"] == {"text": "# me\n", "mode": "0644"}


def test_braces_that_are_no_jinja_stay(tmp_path):
    text = COMPOSE + "# {{ .Name }} {% raw %}\n"
    write(tmp_path, {"docker-compose.yml": text})
    assert bundle(tmp_path)["files"]["docker-compose.yml"]["text"] == text


def test_a_template(tmp_path):
    write(
        tmp_path,
        {"t/web.yml.j2": "services: {web: {image: '{{ image }}', env_file: web.env}}\n", "t/web.env": "A=1\n", "t/.env": "B=1\n"},
    )
    found = bundle(tmp_path, stack="web", compose="absent", template="t/web.yml.j2", variables={"image": "x"})
    assert found["compose"] == ["docker-compose.web.yml"]
    assert found["files"] == {
        "docker-compose.web.yml": {"text": "services: {web: {image: 'x', env_file: web.env}}\n", "mode": "0644"},
        "web.env": {"text": "A=1\n", "mode": "0600"},
    }
    # Not asked for, and a template reads none by itself.
    assert found["environment"] == {}


def test_what_compose_reads_comes_with_it(tmp_path):
    text = "include: [sub/x.yml]\nservices: {web: {image: a, env_file: [web.env, {path: none.env, required: false}, .env]}}\n"
    write(
        tmp_path,
        {
            "docker-compose.yml": text,
            "web.env": "TOKEN=canary-1\nA=1\n",
            "sub/x.yml": "services: {x: {image: b, label_file: x.labels}}",
            "sub/x.labels": "l=1",
            "sub/.env": "X_PASSWORD=canary-2\n",
            ".env": "B=2\n",
        },
    )
    found = bundle(tmp_path)
    assert {path: one["mode"] for path, one in found["files"].items()} == {
        "docker-compose.yml": "0644",
        "sub/.env": "0600",
        "sub/x.yml": "0644",
        "sub/x.labels": "0644",
        "web.env": "0600",
    }
    assert found["hidden"] == ["canary-2", "canary-1"]
    assert found["environment"] == {"B": "2"}


def test_an_environment_file_that_is_read_raw_hides_its_secrets_too(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": "services: {web: {env_file: [{path: web.env, format: raw}]}}",
            "web.env": "A B=1\nTOKEN='canary\n",
        },
    )
    assert bundle(tmp_path)["hidden"] == ["'canary"]


def test_variables_come_from_files_and_then_from_the_inventory(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": COMPOSE,
            ".env": "TZ=UTC\nDB_PASSWORD=canary-1\nDB_URL=postgres://app:canary-2@db/app\nA=1\nKEY_X=given\nIMAGE_TAG=dev\nCOMPOSE_PROJECT_NAME=x\nCOMPOSE_PROFILES=gpu, debug\nURL=http://${HOST}/\nNOTE=n\n",
            "env/prod.env": "A=2\nB=$TZ\n",
        },
    )
    found = bundle(
        tmp_path,
        env_files=[".env", "env/prod.env"],
        environment={"KEY_X": "told", "HOST": "h", "N": 3},
        secrets={"NOTE": "canary-3"},
    )
    assert found["environment"] == {"TZ": "UTC", "A": "2", "B": "UTC", "URL": "http://h/", "KEY_X": "told", "HOST": "h", "N": 3}
    assert found["secrets"] == {"DB_PASSWORD": "canary-1", "DB_URL": "postgres://app:canary-2@db/app", "NOTE": "canary-3"}
    assert found["hidden"] == ["canary-2"]
    assert found["profiles"] == ["gpu", "debug"]
    assert list(found["files"]) == ["docker-compose.yml"]


def test_the_env_file_of_the_folder_is_read_unless_the_inventory_says_otherwise(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, ".env": "A=1\n", "b.env": "B=1\n"})
    assert bundle(tmp_path)["environment"] == {"A": "1"}
    assert bundle(tmp_path, env_files=["b.env"])["environment"] == {"B": "1"}
    assert bundle(tmp_path, env_files=[])["environment"] == {}


def test_the_variable_of_the_tag_has_the_name_that_the_file_gives_it(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, ".env": "IMMICH_VERSION=v1\nIMAGE_TAG=x\n"})
    assert bundle(tmp_path, tag_variable="IMMICH_VERSION")["environment"] == {"IMAGE_TAG": "x"}


def test_variables_decide_what_is_read(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": "include: ['${STAGE}.yml']\nservices: {w: {env_file: '${N}.env'}}",
            ".env": "STAGE=prod\n",
            "prod.yml": "services: {}",
            "7.env": "A=1",
        },
    )
    assert list(bundle(tmp_path, environment={"N": 7})["files"]) == ["docker-compose.yml", "prod.yml", "7.env"]


def test_encrypted_files_arrive_decrypted_for_their_owner_alone(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": vaulted("services: {web: {env_file: web.env}}"),
            ".env": vaulted("DB_PASSWORD=canary\nTZ=UTC\n"),
            "web.env": vaulted("A=1\n"),
            "key.bin": vaulted(b"\x00\xff\x80"),
            "conf.j2": vaulted("for {{ who }}"),
        },
    )
    found = bundle(tmp_path, files=["key.bin", "conf.j2"], variables={"who": "me"})
    assert found["files"] == {
        "docker-compose.yml": {"text": "services: {web: {env_file: web.env}}", "mode": "0600"},
        "web.env": {"text": "A=1\n", "mode": "0600"},
        "key.bin": {"base64": base64.b64encode(b"\x00\xff\x80").decode(), "mode": "0600"},
        "conf": {"text": "for me", "mode": "0600"},
    }
    assert found["secrets"] == {"DB_PASSWORD": "canary"}
    assert found["environment"] == {"TZ": "UTC"}


def test_an_encrypted_file_without_its_password(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, ".env": vaulted("A=canary\n")})
    spec = {"compose": "docker-compose.yml"}
    with pytest.raises(RolloutError) as error:
        collect("core", spec, first(tmp_path, spec), reader(password=False))
    assert str(error.value).startswith(f"{tmp_path}/.env cannot be decrypted: ")
    assert str(error.value).splitlines()[0].endswith(". Add --ask-vault-pass, or set ANSIBLE_VAULT_PASSWORD_FILE.")


def test_files_of_every_kind(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": COMPOSE,
            "conf/a.yml": "a",
            "conf/run.sh": "#!/bin/sh\n",
            "conf/x.bin": b"\xff\x00",
            "conf/nul": b"a\0b",
            "conf/mail.j2": "{{ raw }}",
            "conf/own.key": "k",
            "one.conf.j2": "for {{ who }}",
            "conf/made.j2": "{{ who }}",
        },
    )
    (tmp_path / "conf/run.sh").chmod(0o755)
    (tmp_path / "conf/own.key").chmod(0o600)
    (tmp_path / "conf/link").symlink_to("a.yml")
    (tmp_path / "conf/sub").mkdir()
    (tmp_path / "conf/sub/up").symlink_to("../a.yml")
    (tmp_path / "conf/all").symlink_to("sub")
    (tmp_path / "conf/one").symlink_to("../shared.txt")
    (tmp_path / "conf/dangling").symlink_to("later")
    (tmp_path / "shared.txt").write_text("s")
    spec = {"files": ["conf/made.j2", "conf", "one.conf.j2"]}
    found = bundle(tmp_path, **spec, variables={"who": "me"})["files"]
    assert found == {
        "docker-compose.yml": {"text": COMPOSE, "mode": "0644"},
        "conf/made": {"text": "me", "mode": "0644"},
        "conf/a.yml": {"text": "a", "mode": "0644"},
        "conf/run.sh": {"text": "#!/bin/sh\n", "mode": "0755"},
        "conf/x.bin": {"base64": "/wA=", "mode": "0644"},
        "conf/nul": {"base64": "YQBi", "mode": "0644"},
        "conf/mail.j2": {"text": "{{ raw }}", "mode": "0644"},
        "conf/own.key": {"text": "k", "mode": "0600"},
        "conf/link": {"link": "a.yml"},
        "conf/sub/up": {"link": "../a.yml"},
        "conf/all": {"link": "sub"},
        "conf/one": {"text": "s", "mode": "0644"},
        "conf/dangling": {"link": "later"},
        "one.conf": {"text": "for me", "mode": "0644"},
    }
    assert listed(spec) == ["conf/made", "conf", "one.conf"]


def test_a_compose_file_that_is_a_link_is_what_it_points_to(tmp_path):
    write(tmp_path, {"base/c.yml": COMPOSE})
    (tmp_path / "docker-compose.yml").symlink_to("base/c.yml")
    assert bundle(tmp_path)["files"]["docker-compose.yml"]["text"] == COMPOSE


def test_a_folder_that_is_reached_through_a_link(tmp_path):
    write(tmp_path, {"real/docker-compose.yml": COMPOSE, "real/over.yml": "{}"})
    (tmp_path / "app").symlink_to("real")
    found = bundle(tmp_path, compose=["app/docker-compose.yml", str(tmp_path / "app/over.yml")])
    assert found["compose"] == ["docker-compose.yml", "over.yml"]


@pytest.mark.parametrize("target", ["../outside", "/etc/hostname", "../folder", "/etc"])
@pytest.mark.parametrize("link", ["conf/link", "direct"])
def test_a_link_that_leaves_the_source_is_refused(tmp_path, link, target):
    write(tmp_path, {"app/docker-compose.yml": COMPOSE, "app/conf/a": "a", "outside": "canary", "folder/x": "canary"})
    (tmp_path / "app" / link).symlink_to("../" * (link.count("/")) + target if target.startswith("..") else target)
    said = refused(tmp_path / "app", files=["conf", *(["direct"] if link == "direct" else [])])
    assert re.fullmatch(rf"Stack core \(\S+/app\): {link} is a link that leaves \S+/app\S*, so that .*", said)
    assert "canary" not in said


def test_a_folder_behind_a_link_that_leaves_the_source(tmp_path):
    write(tmp_path, {"app/docker-compose.yml": "services: {a: {env_file: conf/a.env}}", "outside/a.env": "A=canary"})
    (tmp_path / "app/conf").symlink_to("../outside")
    assert refused(tmp_path / "app").startswith(
        f"Stack core ({tmp_path}/app): conf/a.env is a link that leaves {tmp_path}/app, so"
    )


@pytest.mark.parametrize("target", ["link", "../other", "."])
def test_a_link_to_itself_or_to_a_folder_beside(tmp_path, target):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "conf/a": "a", "other/b": "b"})
    (tmp_path / "conf/link").symlink_to(target)
    if target == ".":
        assert bundle(tmp_path, files=["conf"])["files"]["conf/link"] == {"link": "."}
    else:
        assert refused(tmp_path, files=["conf"]) == (
            f"Stack core ({tmp_path}): conf/link is a link that leaves {tmp_path}/conf, so that a release cannot hold what it points "
            "to. Put that in the place of the link."
        )


def test_a_large_file_is_not_configuration(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "geo.mmdb": b"x" * (2**20 + 1), "fits": b"x" * 2**20})
    assert "fits" in bundle(tmp_path, files=["fits"])["files"]
    assert refused(tmp_path, files=["geo.mmdb"]) == (
        f"Stack core ({tmp_path}): geo.mmdb has 1.0 MB, which is not configuration: a file of a release has 1.0 MB at most. If it is "
        "data, move it out of that folder into the data directory of the stack, or mount it by an absolute path."
    )


def test_a_large_folder_is_not_configuration(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "media/small": "x"})
    with (tmp_path / "media/film.mkv").open("wb") as film:
        film.truncate(2 * 10**9)
    assert refused(tmp_path, files=["media"]) == (
        f"Stack core ({tmp_path}): media is not configuration: it has 2.0 GB in 2 files, and a release has 8.4 MB in 2000 files at "
        "most. If it is data, move it out of that folder into the data directory of the stack, or mount it by an absolute path."
    )


def test_a_folder_of_many_files_is_not_configuration(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, **{f"many/{number}": "" for number in range(2001)}})
    assert "it has 0 B in 2001 files, and" in refused(tmp_path, files=["many"])


def test_all_files_together_are_bounded(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, **{f"f{number}": b"x" * 2**20 for number in range(8)}})
    assert refused(tmp_path, files=[f"f{number}" for number in range(8)]) == (
        f"Stack core ({tmp_path}): the files of the release have more than 8.4 MB, or are more than 2000. Mount what is data by "
        "absolute paths."
    )


def test_what_is_no_file(tmp_path):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "conf/a": "a", "conf/b\n": "b"})
    os.mkfifo(tmp_path / "conf/pipe")
    first_, second = refused(tmp_path, files=["conf"]).splitlines()
    assert (
        first_
        == f"Stack core ({tmp_path}): 'conf/b\\n' is neither a file nor a folder nor a link, or its name is not plain text. Move it out of that folder."
    )
    assert "'conf/pipe' is neither" in second


@pytest.mark.parametrize("closed", ["secret", "conf"])
def test_what_cannot_be_read(tmp_path, monkeypatch, closed):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "conf/secret": "a"})

    def deny(path, real):
        def read(self, *args, **kwargs):
            if Path(self).name == closed:
                raise PermissionError(13, "Permission denied")
            return real(self, *args, **kwargs)

        return read

    monkeypatch.setattr(Path, "read_bytes", deny(closed, Path.read_bytes))
    monkeypatch.setattr(os, "scandir", deny(closed, os.scandir))
    path = "conf/secret" if closed == "secret" else "conf"
    assert refused(tmp_path, files=["conf"]) == (
        f"Stack core ({tmp_path}): {path} cannot be read on this machine (Permission denied). Let its owner give you access (chown "
        "or chmod). If it is data, move it out of that folder."
    )


MISSING = "and the folder of the compose file has no such file. Correct the path, or add the file."


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"compose": ["docker-compose.yml", "gone.yml"]}, f"rollout_stacks has compose gone.yml, {MISSING}"),
        ({"compose": ["docker-compose.yml", "gone.yml.j2"]}, f"rollout_stacks has compose gone.yml.j2, {MISSING}"),
        ({"compose": ["docker-compose.yml", "../x.yml"]}, "rollout_stacks has compose ../x.yml, which leaves the folder"),
        (
            {"compose": ["docker-compose.yml", "/etc/hostname"]},
            "rollout_stacks has compose /etc/hostname, which leaves the folder",
        ),
        ({"env_files": ["gone.env"]}, f"rollout_stacks has env_files gone.env, {MISSING}"),
        ({"env_files": ["../x.env"]}, "rollout_stacks has env_files ../x.env, which leaves the folder"),
        ({"files": ["gone"]}, f"rollout_stacks has files gone, {MISSING}"),
        ({"files": ["conf", "conf.j2"]}, "conf is named twice, with and without .j2. Keep one of them."),
    ],
)
def test_what_the_inventory_names_wrongly(tmp_path, spec, said):
    write(tmp_path, {"docker-compose.yml": COMPOSE, "conf": "", "conf.j2": ""})
    assert refused(tmp_path, **spec).startswith(f"Stack core ({tmp_path}): {said}")


def test_a_compose_file_that_is_nowhere(tmp_path):
    assert refused(tmp_path, compose="gone/docker-compose.yml") == (
        f"Stack core ({tmp_path}/gone): there is no file {tmp_path}/gone/docker-compose.yml. Let rollout_stacks.<stack>.compose name "
        "the compose file: an absolute path, or one that begins in the folder of the inventory."
    )


def test_a_template_that_cannot_be_rendered_is_named_with_its_variable(tmp_path):
    write(tmp_path, {"docker-compose.yml.j2": "{{ nobody }}", "a.j2": "{{ never }}"})
    first_, second = refused(tmp_path, compose="docker-compose.yml.j2", files=["a.j2"]).splitlines()
    assert (
        first_
        == f"{tmp_path}/docker-compose.yml.j2 cannot be rendered: 'nobody' is undefined. Define it in the inventory or with -e, or correct the template."
    )
    assert "'never' is undefined" in second


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    write(
        tmp_path,
        {
            "docker-compose.yml": "include: [../x.yml]\nservices: {a: {extends: {file: gone.yml, service: a}}}",
            "b.env": "X='canary",
        },
    )
    said = refused(tmp_path, env_files=["b.env", "gone.env"], files=["gone"])
    assert len(said.splitlines()) == 5
    assert "canary" not in said


NAMES = st.sampled_from(["..", ".", "a", "b", "c.yml", "up", "out", "a.j2", ".env"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(include=PATHS, env=PATHS, files=st.lists(PATHS, max_size=2), envs=st.lists(PATHS, max_size=2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_no_path_of_a_bundle_ever_leaves_the_source(tmp_path, include, env, files, envs):
    root = tmp_path / "app"
    if not root.exists():
        write(
            tmp_path,
            {
                "app/a/b/c.yml": "services: {}",
                "app/a/c.yml": "services: {}",
                "app/c.yml": "services: {}",
                "app/b/a": "A=1",
                "app/a/a.j2": "A=1",
                "c.yml": "canary: 1",
                "a/a": "canary=1",
            },
        )
        (root / "a/up").symlink_to("..")
        (root / "out").symlink_to("../a")
    (root / "docker-compose.yml").write_text(f"include: ['{include}']\nservices: {{w: {{env_file: '{env}'}}}}")
    try:
        found = bundle(root, files=files, env_files=envs)
    except RolloutError:
        return
    assert all(below(path) for path in [*found["files"], *found["compose"]])
    assert "canary" not in str(found)
