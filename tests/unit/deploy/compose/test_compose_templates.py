"""The compose files as Ansible renders them and as Compose reads them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace

import jinja2
import pytest
import yaml
from ansible.module_utils.rollout.domain import compose, pins, rehearsal
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.compose_project import Stack
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import reading
from ansible.plugins.filter.core import to_bool
from hypothesis import given
from hypothesis import strategies as st

BACKEND = "http://192.168.1.10:8000"
NAMES = ("core", "workers", "gpu-worker")
# Where the files lie when a host reads them.
PLACE = f"/srv/x{pins.DEEP}/core"
docker = pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker compose is absent",
)


@pytest.fixture(scope="module")
def variables(root):
    """What every inventory has, with what it computes from hosts put in."""
    found = yaml.safe_load((root / "inventory/ktrdr.yml").read_text())
    defaults = yaml.safe_load((root / "roles/fleet/defaults/main.yml").read_text())
    state = {"rollout_strategy": defaults["rollout_strategy"], "rollout_dir": "/var/lib/rollout/ktrdr"}
    return {**found, **state, "ktrdr_backend_url": BACKEND, "ktrdr_backend_seen_from_host": BACKEND}


@pytest.fixture(scope="module")
def render(root, variables):
    # As ansible.builtin.template does.
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "deploy/compose"),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    engine.filters["bool"] = to_bool

    def render_one(name, **facts):
        return engine.get_template(f"docker-compose.{name}.yml.j2").render({**variables, **facts})

    return render_one


def read(text):
    """What Compose makes of it, as the step `read` asks."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "IMAGE_TAG": "sha-abc1234",
        "KTRDR_HOST": "h1",
        "KTRDR_DATABASE_PASSWORD": "p",
    }
    return json.loads(
        subprocess.run(
            [
                "docker",
                "compose",
                "--project-name",
                "check",
                "--project-directory",
                PLACE,
                "--file",
                "-",
                "config",
                "--format",
                "json",
            ],
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def services_of(config, name, read=compose.services):
    """The services of a stack with no inventory's keys, on a host that had no release before."""
    keys, images = compose.keys(config, name), reading.references(config)
    part = {"compose": ["f.yml"], "services": keys, "kept": pins.kept(images, keys, {}), "references": images}
    return read(config, name, manifests.part({"parts": {name: part}}, name))


def all_of(config, name):
    """The services and the jobs."""
    return [*services_of(config, name), *services_of(config, name, compose.jobs)]


@docker
@pytest.mark.parametrize(
    ("part", "kind", "path"),
    [
        ("services: {db: {image: x, volumes: ['./data:/d']}}", "bind", "data"),
        ("services: {db: {image: x, volumes: ['../data:/d']}}", "bind", "../data"),
        ("services: {db: {image: x, configs: [c]}}\nconfigs: {c: {file: c.conf}}", "config", "c.conf"),
        ("services: {db: {image: x, secrets: [s]}}\nsecrets: {s: {file: ./s.txt}}", "secret", "s.txt"),
        (
            "services: {db: {image: x, volumes: ['vol:/d']}}\nvolumes: {vol: {driver: local, driver_opts: {o: bind, device: ./v}}}",
            *("volume", "v"),
        ),
        (
            "services: {db: {image: x, volumes: ['vol:/d']}}\nvolumes: {vol: {driver_opts: {type: none, o: bind, device: ./v}}}",
            *("volume", "v"),
        ),
    ],
)
def test_what_compose_makes_of_a_relative_path_is_found(part, kind, path):
    config = read(part)
    assert [(mount["kind"], mount["path"]) for mount in pins.mounts(config, PLACE)] == [(kind, path)]
    if path.startswith("../"):
        with pytest.raises(RolloutError, match=r"\.\./data"):
            pins.rebased(config, PLACE, {}, "/data", "f.yml")
    else:
        moved, _document = pins.rebased(config, PLACE, {}, "/data", "f.yml")
        assert f"/data/{path}" in json.dumps(moved)
        assert pins.mounts(moved, PLACE) == []


@docker
def test_what_compose_makes_of_other_paths_is_none_of_them():
    volumes = "['named:/n', '/srv/data:/d', '~/data:/h', '/anonymous']"
    config = read(f"services: {{db: {{image: x, build: ., volumes: {volumes}}}}}\nvolumes: {{named: }}")
    assert pins.mounts(config, PLACE) == []
    assert pins.rebased(config, PLACE, {}, "/data", "f.yml") == (config, {})


COUNTS = [
    ("core", {"rollout_strategy": "start_first"}),
    ("core", {}),
    ("workers", {}),
    ("workers", {"ktrdr_backtest_workers": 3, "ktrdr_training_workers": 2}),
    ("workers", {"ktrdr_training_drain": {"mode": "wait", "timeout": 600}}),
    ("workers", {"ktrdr_backtest_workers": 0, "ktrdr_training_workers": 1}),
    ("gpu-worker", {"ktrdr_gpu": True}),
    ("gpu-worker", {"ktrdr_gpu": False}),
]


@docker
@pytest.mark.parametrize(("name", "facts"), COUNTS)
def test_compose_and_the_rollout_accept_every_rendering(render, variables, name, facts):
    text = render(name, **facts)
    assert pins.mounts(read(text), PLACE) == []
    services = {s.name: s for s in services_of(read(text), name)}
    released = [s for s in services.values() if s.released]
    assert len(released) == (
        1 if name != "workers" else sum({**variables, **facts}[k] for k in ("ktrdr_backtest_workers", "ktrdr_training_workers"))
    )
    for service in released:
        assert service.image.endswith(":sha-abc1234")
        assert service.torch
        assert service.names_release
        published = services[service.start_first.proxy].ports if service.start_first else service.ports
        assert f":{published[0].number}/" in service.health[0]
        assert service.health[1:] == (() if name == "core" else (f"{BACKEND}/api/v1/workers/h1-{service.name}",))
        assert (service.drain and service.drain.stop) == (f"{service.health[1]}/drain" if service.health[1:] else None)
        assert service.torch.on_gpu == (name == "gpu-worker" and facts["ktrdr_gpu"])
        reserved = read(text)["services"][service.name].get("deploy", {}).get("resources", {}).get("reservations")
        assert bool(reserved) == service.torch.on_gpu
    # Without a key of theirs.
    kept = {s.name: s.kept for s in services.values() if not s.released}
    proxy = {"proxy": "proxy"} if facts.get("rollout_strategy") == "start_first" else {}
    assert kept == ({"db": "image", **proxy} if name == "core" else {})


@docker
@pytest.mark.parametrize(("name", "facts"), COUNTS)
def test_the_pins_change_the_images_and_nothing_else(render, tmp_path, name, facts):
    text = render(name, **facts)
    wanted = all_of(read(text), name)
    images = {s.image: {"digest": f"sha256:{n:064x}"} for n, s in enumerate(wanted)}
    (tmp_path / "f.yml").write_text(text)
    (tmp_path / "p.json").write_text(pins.pins(wanted, images, "sha-abc1234"))
    (tmp_path / ".env").write_text("IMAGE_TAG=sha-abc1234\nKTRDR_HOST=h1\nKTRDR_DATABASE_PASSWORD=p\n")
    config = Stack(Engine(), "check", tmp_path, ["f.yml", "p.json"]).config()
    made = all_of(config, name)
    assert [replace(s, image="", config_hash="") for s in made] == [replace(s, image="", config_hash="") for s in wanted]
    assert [s.image for s in made] == [f"{s.image}@{images[s.image]['digest']}" for s in wanted]
    labels = {name: spec["labels"] for name, spec in config["services"].items()}
    assert labels == {
        s.name: {**({"rollout.release": "sha-abc1234"} if s.released else {}), "rollout.config": s.config_hash} for s in wanted
    }


@pytest.mark.parametrize(("name", "facts"), COUNTS)
def test_the_tag_and_secrets_stay_variables(render, name, facts):
    text = render(name, **facts)
    images = [spec["image"] for spec in yaml.safe_load(text)["services"].values()]
    assert all(image.endswith(":${IMAGE_TAG:-latest}") for image in images if not image.startswith(("postgres", "haproxy")))
    if name == "core":
        assert text.count("${KTRDR_DATABASE_PASSWORD:?is missing}") == 2
    assert "{{" not in text
    assert "{%" not in text


@docker
def test_each_kind_of_worker_may_be_drained_in_its_own_way(render):
    facts = {"ktrdr_training_drain": {"timeout": 600, "mode": "wait"}, "ktrdr_gpu_drain": {"mode": "force"}}
    found = {s.name: s.drain for n in NAMES[1:] for s in services_of(read(render(n, **facts)), n)}
    assert {name: (asked.mode, asked.timeout) for name, asked in found.items()} == {
        "backtest-worker-1": ("", None),
        "training-worker-1": ("wait", 600),
        "training-worker-gpu": ("force", None),
    }


@docker
def test_a_missing_secret_stops_compose(render):
    done = subprocess.run(
        ["docker", "compose", "--project-name", "check", "--file", "-", "config"],
        input=render("core"),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert "KTRDR_DATABASE_PASSWORD is missing" in " ".join(done.stderr.split()).replace(
        "required variable KTRDR_DATABASE_PASSWORD is missing a value: is missing",
        "KTRDR_DATABASE_PASSWORD is missing",
    )


@docker
@pytest.mark.parametrize("compatible", [True, False, "false"])
def test_the_migration_is_a_job_behind_a_backup(render, compatible):
    text = render("core", ktrdr_compatible=compatible)
    (job,) = compose.jobs(read(text), "core")
    assert (job.name, job.job, job.compatible) == ("migrate", "before", compatible is True)
    assert read(text)["services"]["migrate"]["command"] == ["alembic", "upgrade", "head"]
    backup = {s.name: s.backup.preset for s in services_of(read(text), "core") if s.backup}
    assert backup == {"db": "postgres"}


@docker
@pytest.mark.parametrize(
    ("facts", "rehearsed"),
    [({}, True), ({"ktrdr_rehearse": "false"}, False), ({"rollout_strategy": "start_first"}, False)],
)
def test_the_backend_is_rehearsed_where_it_can_be(render, facts, rehearsed):
    config = read(render("core", **facts))
    (backend,) = [service for service in services_of(config, "core") if service.name == "backend"]
    assert backend.rehearse is rehearsed
    # Its gate goes to its own container.
    assert not rehearsed or rehearsal.hindrance(backend, config["services"]["backend"]) == ""


@given(st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_ports_never_clash(render, backtest, training, gpu):
    ports = [
        published.rpartition(":")[0].rpartition(":")[2]
        for name in NAMES
        for spec in (
            yaml.safe_load(render(name, ktrdr_backtest_workers=backtest, ktrdr_training_workers=training, ktrdr_gpu=gpu))[
                "services"
            ]
            or {}
        ).values()
        for published in spec.get("ports", [])
    ]
    assert len(ports) == len(set(ports)) == backtest + training + 2


@given(st.integers(0, 8), st.integers(0, 8))
def test_every_worker_has_a_gate_on_its_own_port(render, backtest, training):
    document = yaml.safe_load(render("workers", ktrdr_backtest_workers=backtest, ktrdr_training_workers=training))
    assert set(document["services"] or {}) == set(document["x-rollout"] or {})
    for name, spec in (document["services"] or {}).items():
        port = spec["environment"]["KTRDR_PORT"]
        assert spec["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert spec["command"][spec["command"].index("--port") + 1] == port
        assert document["x-rollout"][name]["health"][0] == f"http://127.0.0.1:{port}/health"
        assert document["x-rollout"][name]["health"][1].endswith(f"-{name}")
