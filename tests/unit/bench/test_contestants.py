"""The contestants' files and commands: all deploy the same four services, on the same ports."""

from __future__ import annotations

import pytest
import yaml
from ansible.module_utils.rollout.controller import inventory
from ansible.module_utils.rollout.domain import compose, manifest, pins
from ansible.module_utils.rollout.verbs import reading

from bench import contestants, floor, hosts, rounds, stack


@pytest.fixture
def rendered(tmp_path):
    stack.render(tmp_path, "bench-test")
    return {name: yaml.safe_load((tmp_path / f"docker-compose.{name}.yml").read_text()) for name in stack.STACKS}


def test_the_plain_files_have_all_services_and_ports(rendered):
    # Beside what is rolled out, one that stays.
    assert {name: list(file["services"]) for name, file in rendered.items()} == {**stack.STACKS, "core": ["backend", "db"]}
    assert [file["name"] for file in rendered.values()] == stack.projects("bench-test")
    published = {name: spec["ports"] for file in rendered.values() for name, spec in file["services"].items() if name != "db"}
    assert published == {name: [f"127.0.0.1:{port}:8000"] for name, port in stack.PORTS.items()}


def test_the_rollout_accepts_the_inventory_and_the_files(rendered):
    groups = {name: ["localhost"] for name in ("backend", "cpu_workers", "gpu_workers")}
    assert inventory.problems(stack.FACTS["rollout_stacks"], groups) == []
    for name, file in rendered.items():
        for spec in file["services"].values():
            spec.pop("ports", None)  # Compose writes them out in full before the rollout reads them
        keys, images = compose.keys(file, name), reading.references(file)
        part = {"compose": [name], "services": keys, "kept": pins.kept(images, keys, {}), "references": images}
        for service in compose.services(file, name, manifest.part({"parts": {name: part}}, name)):
            if service.name == "db":
                assert not service.released
                continue
            assert (service.released, service.names_release, service.torch) == (True, True, None)
            assert compose.repository(service.image) == stack.IMAGE


def test_no_two_contestants_share_a_project():
    everyone = contestants.CONTESTANTS
    projects = [project for one in everyone for project in one.projects]
    assert len(projects) == len(set(projects))


def test_a_tool_finds_no_settings_of_whoever_measures(monkeypatch):
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "minimal")
    monkeypatch.setenv("IMAGE_TAG", "other")
    environment = contestants.PLAIN.roll(stack.NEW).environment()
    assert [name for name in environment if name.startswith(("ANSIBLE", "IMAGE"))] == ["ANSIBLE_COLLECTIONS_PATH"]


def test_the_floor_is_the_same_stack(monkeypatch):
    asked = []
    monkeypatch.setattr(floor.engine, "call", lambda _method, path, body=None: asked.append((path, body)))
    (one,) = [c for c in contestants.CONTESTANTS if c.name == "floor"]
    one.prepare(stack.OLD, stack.NEW)
    networks = [body["Name"] for path, body in asked if path == "/networks/create"]
    made = [body for path, body in asked if path.startswith("/containers/create")]
    on = [(body["Labels"].get(stack.SERVICE), body["HostConfig"]["NetworkMode"]) for body in made]
    of_services = {(service, floor.network(name)) for name, services in stack.STACKS.items() for service in services}
    assert set(on) == {*of_services, (None, floor.network("core"))}
    # Old and new of each service, and the one that stays.
    assert len(on) == 2 * len(stack.SERVICES) + 1
    assert networks == [floor.network(name) for name in stack.STACKS]
    assert all(body["Labels"]["com.docker.compose.project"] in one.projects for body in made)


def test_contestants_by_name():
    assert [one.name for one in rounds.chosen("start-first,floor")] == ["start-first", "floor"]
    assert rounds.chosen("") == contestants.CONTESTANTS
    with pytest.raises(stack.BenchError, match=r"No contestant is called nobody. There are shell, compose-wait"):
        rounds.chosen("floor,nobody")


@pytest.mark.parametrize(
    ("names", "waves"),
    [
        (["a"], {"backend": ["a"], "cpu_workers": ["a"], "gpu_workers": ["a"]}),
        (["a", "b"], {"backend": ["a"], "cpu_workers": ["b"], "gpu_workers": ["b"]}),
        (["a", "b", "c", "d"], {"backend": ["a"], "cpu_workers": ["b", "c"], "gpu_workers": ["d"]}),
    ],
)
def test_every_wave_has_a_host_and_every_host_a_wave(names, waves):
    assert hosts.spread(names) == waves
