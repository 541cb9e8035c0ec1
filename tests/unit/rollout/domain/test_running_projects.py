"""What the containers of a host tell of Compose projects."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import answers, running_projects

LABEL = "com.docker.compose"
IMAGE = "sha256:" + "b" * 64


def container(service="web", project="shop", **how):
    labels = {
        **{f"{LABEL}.project": project, f"{LABEL}.service": service, f"{LABEL}.oneoff": "False"},
        **{
            f"{LABEL}.project.working_dir": "/srv/shop/",
            f"{LABEL}.project.config_files": "/srv/shop/docker-compose.yml,/srv/shop/more.yml",
            f"{LABEL}.project.environment_file": "/srv/shop/prod.env",
        },
        **how.pop("labels", {}),
    }
    config = {"Image": "ghcr.io/shop/web:1.2", "Labels": labels, **how.pop("config", {})}
    return {
        **{"Config": config, "Image": IMAGE, "State": {"Status": "running", "Running": True}, "HostConfig": {}},
        **{"NetworkSettings": {"Ports": {}}, "Mounts": []},
        **how,
    }


def one(*containers, images=None):
    """The project, as the controller takes it."""
    found = running_projects.project("shop", containers, images or {})
    answer = {"changed": False, "projects": [found], "files": {}}
    assert answers.taken("compose_project_info", answer) == answer
    return found


def test_projects_by_their_labels():
    several = [
        container("b"),
        container("a", project="other"),
        container("c", labels={f"{LABEL}.oneoff": "True"}),
        container("d", project="No Name"),
        container("d", project=""),
        container("../x"),
        {"Config": {"Labels": None}},
        {},
    ]
    assert {name: len(of_it) for name, of_it in running_projects.named(several).items()} == {"other": 1, "shop": 1}


def test_a_project():
    found = one(container(), container("db"))
    assert (found["folder"], found["compose"]) == ("/srv/shop", ["/srv/shop/docker-compose.yml", "/srv/shop/more.yml"])
    assert (found["env_files"], found["notes"], found["ours"]) == (["/srv/shop/prod.env"], [], False)
    assert [service["service"] for service in found["services"]] == ["db", "web"]


@pytest.mark.parametrize("label", ["-", "", "docker-compose.yml", "relative/x.yml,-"])
def test_what_is_no_absolute_path_is_none(label):
    found = one(container(labels={f"{LABEL}.project.config_files": label, f"{LABEL}.project.working_dir": label}))
    assert (found["compose"], found["folder"]) == ([], "")


def test_containers_of_different_files_are_noted():
    found = one(container("a", labels={f"{LABEL}.project.config_files": "/new.yml"}), container())
    assert found["compose"] == ["/new.yml"]
    assert found["notes"] == ["Its containers were started with different Compose files; those of the newest one are shown."]


def test_a_project_of_this_tool():
    assert one(container(labels={"rollout.config": "x"}))["ours"]


def test_a_service_says_what_its_running_container_says():
    ended = container(State={"Status": "exited", "ExitCode": 3})
    (service,) = one(ended, container(), container())["services"]
    assert (service["state"], service["code"], service["replicas"]) == ("running", 0, 2)
    (service,) = one(ended)["services"]
    assert (service["state"], service["code"], service["replicas"], service["restart"]) == ("exited", 3, 0, "no")


@pytest.mark.parametrize(
    ("reference", "digests", "found"),
    [
        ("ghcr.io/shop/web:1.2", ["other@sha256:1", "ghcr.io/shop/web@sha256:2"], "sha256:2"),
        ("ghcr.io/shop/web:1.2", ["other@sha256:1"], "sha256:1"),
        ("localhost:5000/web", ["localhost:5000/web@sha256:3"], "sha256:3"),
        ("web@sha256:4", ["web@sha256:4"], "sha256:4"),
        ("web", [], ""),
    ],
)
def test_digests(reference, digests, found):
    (service,) = one(container(config={"Image": reference}), images={IMAGE: {"RepoDigests": digests}})["services"]
    assert service["digest"] == found


@pytest.mark.parametrize(
    ("own", "image", "check", "image_check"),
    [
        (["CMD", "curl", "x"], ["CMD", "y"], "curl x", ""),
        (["CMD-SHELL", "curl x || exit 1"], None, "curl x || exit 1", ""),
        (["NONE"], ["CMD", "y"], "", "y"),
        (None, ["CMD-SHELL", "y"], "", "y"),
        (None, None, "", ""),
    ],
)
def test_health_checks(own, image, check, image_check):
    config = {"Healthcheck": {"Test": own}} if own else {}
    images = {IMAGE: {"Config": {"Healthcheck": {"Test": image}} if image else {}}}
    (service,) = one(container(config=config), images=images)["services"]
    assert (service["check"], service["image_check"]) == (check, image_check)


def test_ports_and_mounts():
    ports = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "90/tcp": None,
        "x/tcp": [{"HostPort": "y"}],
    }
    mounts = [
        {"Type": "volume", "Name": "shop_db", "Source": "/var/lib/docker/volumes/x", "Destination": "/z", "RW": True},
        {"Type": "bind", "Source": "/srv/a", "Destination": "/a", "RW": False},
    ]
    (service,) = one(container(NetworkSettings={"Ports": ports}, Mounts=mounts))["services"]
    assert service["ports"] == [
        {"address": "127.0.0.1", "published": 53, "target": 53, "protocol": "udp"},
        {"address": "0.0.0.0", "published": 8080, "target": 80, "protocol": "tcp"},
    ]
    assert service["mounts"] == [
        {"kind": "bind", "source": "/srv/a", "target": "/a", "read_only": True},
        {"kind": "volume", "source": "shop_db", "target": "/z", "read_only": False},
    ]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("name", "../etc", "its answer.projects[0].name is '../etc', expected the name of a Compose project"),
        ("name", "{{ x }}", "its answer.projects[0].name is '{{ x }}', expected the name of a Compose project"),
        ("folder", 1, "its answer.projects[0].folder is 1, expected a text of at most 4096 characters"),
        ("compose", "x", "its answer.projects[0].compose is 'x', expected a list of at most 64"),
        ("services", [{}], "its answer.projects[0].services[0].service is missing"),
        ("ours", None, "its answer.projects[0].ours is None, expected true or false"),
    ],
)
def test_what_a_host_may_not_answer(key, value, sentence):
    answer = {"changed": False, "projects": [{**one(container()), key: value}], "files": {}}
    assert sentence in answers.taken("compose_project_info", answer)["msg"]


@pytest.mark.parametrize(
    ("file", "sentence"),
    [({"mode": "x"}, "expected a mode"), ({"base64": 1}, "expected a text"), ({"base64": "a" * 2**20}, "expected a text")],
)
def test_files_that_a_host_may_not_hand_over(file, sentence):
    assert sentence in answers.taken("compose_project_info", {"changed": False, "projects": [], "files": {"/a": file}})["msg"]
