"""Which mounts belong to a release, with real folders and a real Git."""

from __future__ import annotations

import subprocess

import pytest
from ansible.module_utils.rollout.controller.mounts import unnamed, with_mounts
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import below, bundle, first, reader, vaulted, write

COMPOSE = "services:\n  web:\n    image: app:${IMAGE_TAG}\n"


@pytest.fixture
def root(tmp_path):
    return write(
        tmp_path / "app",
        {
            "docker-compose.yml": COMPOSE,
            "prometheus.yml": "p",
            "dashboards/a.json": "{}",
            "dashboards/sub/b.json": "{}",
            "password": "canary\n",
        },
    )


def mount(path, kind="bind", read_only=True, service="web", **more):
    return {"path": path, "kind": kind, "read_only": read_only, "service": service, **more}


def mounted(root, *found, **spec):
    spec = {"compose": "docker-compose.yml", **spec}
    return with_mounts(bundle(root, **spec), found, "core", spec, first(root, spec), reader(who="me"))


def refused(root, *found, **spec):
    with pytest.raises(RolloutError) as error:
        mounted(root, *found, **spec)
    return str(error.value)


@pytest.fixture
def git(root):
    def run(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=root, check=True, capture_output=True
        )

    run("init")
    return run


def test_what_is_read_only_and_there_belongs_to_the_release(root):
    found = mounted(
        root, mount("prometheus.yml"), mount("dashboards"), mount("dashboards/"), mount("./prometheus.yml", service="b")
    )
    assert found["paths"] == ["dashboards", "prometheus.yml"]
    assert {path: one["text"] for path, one in found["files"].items()} == {
        "docker-compose.yml": COMPOSE,
        "prometheus.yml": "p",
        "dashboards/a.json": "{}",
        "dashboards/sub/b.json": "{}",
    }


def test_the_bundle_that_was_given_stays_as_it_was(root):
    spec = {"compose": "docker-compose.yml"}
    before = bundle(root)
    with_mounts(before, [mount("prometheus.yml")], "core", spec, first(root, spec), reader())
    assert before == bundle(root)


def test_every_other_mount_is_data(root):
    write(root, {"postgres/base": "x", "both/x": "x"})
    found = mounted(
        root,
        mount("postgres", read_only=False),
        mount("media"),
        mount("new/config.yml"),
        mount("both"),
        mount("both", read_only=False, service="writer"),
    )
    assert found["paths"] == []
    assert list(found["files"]) == ["docker-compose.yml"]


def test_data_in_a_folder_of_the_release_stays_where_it_is(root):
    write(root, {"traefik/traefik.yml": "t", "traefik/acme.json": "canary", "traefik/state/big": b"x" * 2**21})
    found = mounted(root, mount("traefik"), mount("traefik/acme.json", read_only=False), mount("traefik/state", read_only=False))
    assert found["paths"] == ["traefik"]
    assert list(found["files"]) == ["docker-compose.yml", "traefik/traefik.yml"]


def test_a_file_of_the_release_in_a_folder_of_data(root, git):
    write(
        root,
        {
            "grafana/grafana.ini": "g",
            "grafana/web.env": "A=1",
            "docker-compose.yml": "services: {web: {env_file: grafana/web.env}}",
        },
    )
    git("add", ".")
    found = mounted(root, mount("grafana", read_only=False), mount("grafana/grafana.ini"))
    assert found["paths"] == ["grafana/grafana.ini"]
    write(root, {"grafana/boards/a.json": "{}"})
    found = mounted(root, mount("grafana", read_only=False), mount("grafana/boards"), mount("grafana/grafana.ini"))
    assert "grafana/boards/a.json" in found["files"]
    write(root, {"grafana/other": "x"})
    git("add", "grafana/other")
    assert "Git tracks grafana/other there" in refused(root, mount("grafana", read_only=False), mount("grafana/grafana.ini"))


def test_configs_and_secrets_belong_to_it_always(root):
    found = mounted(root, mount("prometheus.yml", "config"), mount("password", "secret", read_only=False))
    assert found["paths"] == ["password", "prometheus.yml"]
    assert found["files"]["password"]["text"] == "canary\n"
    assert found["hidden"] == ["canary"]


def test_an_encrypted_secret(root):
    write(root, {"password": vaulted("canary")})
    found = mounted(root, mount("password", "secret"))
    assert found["files"]["password"] == {"text": "canary", "mode": "0600"}


@pytest.mark.parametrize("kind", ["config", "secret"])
def test_one_that_is_not_there_is_refused(root, kind):
    assert refused(root, mount("gone.yml", kind)) == (
        f"Stack core ({root}): {kind} web needs the file gone.yml, which that folder does not have. Add it, or correct the path."
    )


def test_what_the_stack_lists_belongs_to_it_though_a_service_writes_there(root):
    write(root, {"made.yml.j2": "for {{ who }}", "conf/a.j2": "{{ who }}"})
    listed = {"files": ["dashboards", "made.yml.j2", "conf/a.j2"]}
    with pytest.raises(RolloutError, match="'who' is undefined"):
        mounted(root, **listed)
    spec = {"compose": "docker-compose.yml", **listed}
    before = bundle(root, **listed, variables={"who": "me"})
    found = with_mounts(
        before,
        [
            mount("dashboards/sub", read_only=False),
            mount("made.yml", read_only=False),
            mount("conf/a"),
            mount("made.yml", "config"),
        ],
        "core",
        spec,
        first(root, spec),
        reader(),
    )
    assert found["paths"] == ["conf/a", "dashboards/sub", "made.yml"]
    assert found["files"]["made.yml"]["text"] == "for me"


def test_the_folder_of_a_rendered_file_does_not_bring_its_template(root):
    write(root, {"conf/a.j2": "{{ who }}", "conf/b": "b"})
    spec = {"compose": "docker-compose.yml", "files": ["conf/a.j2"]}
    before = bundle(root, files=["conf/a.j2"], variables={"who": "me"})
    found = with_mounts(before, [mount("conf")], "core", spec, first(root, spec), reader())
    assert sorted(found["files"]) == ["conf/a", "conf/b", "docker-compose.yml"]


def test_the_env_file_is_the_releases_own(root):
    found = mounted(root, mount(".env"))
    assert found["paths"] == [".env"]
    assert ".env" not in found["files"]
    write(root, {".env": "A=canary"})
    assert ".env" not in mounted(root, mount(".env"))["files"]


def test_the_folder_itself_and_what_leaves_it_are_refused(root):
    whole, above, absolute = refused(root, mount("."), mount("../x", service="db"), mount("/x")).splitlines()
    assert whole == (
        f"Stack core ({root}): service web mounts ./, the folder of the compose file itself. Mount the files and folders that it "
        "needs, each by its name."
    )
    assert above == (
        f"Stack core ({root}): service db mounts ../x, which leaves the folder of the compose file. If it is configuration, move it "
        "into that folder. If it is data, mount it by an absolute path."
    )
    assert "mounts /x, which leaves" in absolute


def test_what_git_tracks_and_a_service_may_write_to_is_refused(root, git):
    write(root, {"conf/nginx.conf": "x", "state/.gitkeep": "", "state/db": "x"})
    git("add", "conf", "state/.gitkeep", "prometheus.yml")
    first_, second = refused(
        root,
        mount("conf", read_only=False, target="/etc/nginx"),
        mount("conf", service="reader"),
        mount("prometheus.yml", read_only=False, service="prom"),
        mount("state", read_only=False),
        mount("dashboards", read_only=False),
        mount("nowhere", read_only=False),
    ).splitlines()
    assert first_ == (
        f"Stack core ({root}): service web may write to ./conf, and Git tracks conf/nginx.conf there. If it is configuration, mount it "
        "read-only: ./conf:/etc/nginx:ro. If it is data, take it out of Git (git rm -r --cached conf), or mount it by an absolute "
        "path: /srv/conf:/etc/nginx"
    )
    assert "service prom may write to ./prometheus.yml" in second


def test_a_folder_below_that_of_the_repository(root, git):
    write(root, {"deep/docker-compose.yml": COMPOSE, "deep/conf/x": "x", "deep/[a]*": "x"})
    git("add", ".")
    assert "./conf, and Git tracks conf/x there" in refused(root / "deep", mount("conf", read_only=False))
    assert "./[a]*, and Git tracks [a]* there" in refused(root / "deep", mount("[a]*", read_only=False))


def test_git_is_not_misled_by_the_environment(root, git, monkeypatch, tmp_path):
    git("add", "dashboards")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert "Git tracks dashboards/a.json" in refused(root, mount("dashboards", read_only=False))


def test_a_git_that_cannot_say_is_not_believed(root, monkeypatch):
    (root / ".git").write_text("gitdir: /nowhere")
    said = refused(root, mount("dashboards", read_only=False))
    assert said.startswith(f"Stack core ({root}): whether Git tracks dashboards cannot be found out (fatal: not a git repository")
    assert said.endswith("Run git status in that folder, and fix what it says.")
    # Nothing to ask.
    assert mounted(root, mount("prometheus.yml"))["paths"] == ["prometheus.yml"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert "cannot be found out ([Errno 2] No such file" in refused(root, mount("dashboards", read_only=False))


def test_without_git_everything_writable_is_data(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert mounted(root, mount("dashboards", read_only=False))["paths"] == []


def test_a_large_folder_that_is_mounted_read_only(root):
    with (root / "dashboards/film.mkv").open("wb") as film:
        film.truncate(2 * 10**9)
    assert f"Stack core ({root}): dashboards is not configuration: it has 2.0 GB in 3 files, and" in refused(
        root, mount("dashboards")
    )


def test_all_that_is_wrong_is_said_at_once(root):
    (root / "link").symlink_to("/etc")
    said = refused(root, mount("."), mount("gone", "config"), mount("link"))
    assert len(said.splitlines()) == 3
    assert "link is a link that leaves" in said


PATHS = st.lists(st.sampled_from(["..", ".", "dashboards", "sub", "a.json", "up", "out", "gone"]), max_size=4).map("/".join)
FOUND = st.builds(mount, PATHS, st.sampled_from(["bind", "config", "secret"]), st.booleans())


@given(st.lists(FOUND, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
def test_no_mount_ever_leaves_the_source(root, found):
    if not (root / "out").is_symlink():
        write(root.parent, {"outside/a.json": "canary-outside"})
        (root / "out").symlink_to("../outside")
        (root / "dashboards/up").symlink_to("sub")
    try:
        made = mounted(root, *found)
    except RolloutError:
        return
    assert all(below(path) for path in [*made["files"], *made["paths"]])
    assert "canary-outside" not in str(made)


NAMING = """
x-common: &common
  volumes: ["./shared:/shared:ro"]
services:
  web:
    <<: *common
    image: app
    volumes:
      - ./prometheus.yml:/etc/p.yml:ro
      - {type: bind, source: "${CONF}/nested", target: /n}
      - "${UNKNOWN}/certs:/certs:ro"
configs:
  c: {file: "./sub/../c.txt"}
"""


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("prometheus.yml", True),
        ("shared", True),
        ("conf.d/nested", True),
        ("c.txt", True),
        ("whatever/certs", True),
        ("group_vars/all/vault.yml", False),
        ("prometheus.yml.bak", False),
        (".git", False),
        ("conf.d", False),
        ("certs/../group_vars", False),
        ("nested", False),
    ],
)
def test_a_host_gets_no_file_that_no_compose_file_names(path, named):
    source = {
        "files": {"docker-compose.yml": {"text": NAMING}},
        "compose": ["docker-compose.yml"],
        "environment": {"CONF": "./conf.d"},
    }
    assert unnamed(source, [mount(path)]) == ([] if named else [path])


def test_paths_begin_in_the_folder_of_an_included_file():
    files = {"compose.yml": {"text": "include: [sub/compose.yml]"}, "sub/compose.yml": {"text": "configs: {c: {file: ./c}}"}}
    source = {"files": files, "compose": ["compose.yml"]}
    assert unnamed(source, [mount("sub/c"), mount("c"), mount("other/c")]) == ["other/c"]
