"""What gates ask that is no plain URL: a service by its name, a port, a command, a certificate of one's own."""

from __future__ import annotations

import json
import subprocess

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io import clock, http, sockets
from ansible.module_utils.rollout.verbs import observe, restage, stage
from story import failure, order
from story import stack as text_of

OWN = "http://web:8080/health"


@pytest.fixture
def asked(monkeypatch):
    """What is asked, with how; every URL answers, and every port."""
    seen = []

    def ask(url, **how):
        seen.append((url, how))
        return Answer(url, 200)

    def connect(url, **how):
        seen.append((url, how))
        return Answer(url, None, fault="")

    monkeypatch.setattr(http, "ask", ask)
    monkeypatch.setattr(http, "connect", connect)
    return seen


@pytest.fixture
def commands(host):
    """Commands in containers and when they are run, what they say, one after the other, the last for ever."""
    real, found = host.engine.run, {"run": [], "said": [(0, "", "")]}

    def run(arguments, *rest, **options):
        if arguments[0] != "exec":
            return real(arguments, *rest, **options)
        found["run"].append((list(arguments[1:]), clock.monotonic()))
        return found["said"].pop(0) if len(found["said"]) > 1 else found["said"][0]

    host.engine.run = run
    return found


def bring(host, letter="a", **gate):
    """Stage and switch; the service's gate has these keys."""
    name = host.staged(letter, text=text_of("sha-" + letter * 7, ("web",), **{"deadline": 9, **gate}))
    return host.bring(name)


def health(host, service="web"):
    found = observe.services(host.store, host.engine, "app", ["core"])
    return next(row for row in found if row["service"] == service)["health"]


def test_a_service_is_asked_by_its_name_at_its_container_s_address(host, asked):
    bring(host, health=[OWN, "tcp://WEB:5432", "http://127.0.0.1:1/"])
    at = {"addresses": ("10.0.0.2",)}
    assert asked[:3] == [(OWN, at), ("tcp://WEB:5432", at), ("http://127.0.0.1:1/", {})]


def test_another_service_of_the_stack_is_asked_at_its_container_s_address(host, asked):
    bring(host, health="tcp://db:5432")
    assert asked[0] == ("tcp://db:5432", {"addresses": ("10.0.0.1",)})


def test_the_last_gates_and_the_status_ask_so_too(host, asked):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[OWN], insecure=True))
    how = (OWN, {"addresses": ("10.0.0.2",), "insecure": True})
    assert asked[-1] == how
    asked.clear()
    host.prove("sha-aaaaaaa")
    assert asked == [how]
    asked.clear()
    assert health(host) == "healthy"
    assert asked == [how]


NETWORKS = [
    ({"HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {"Networks": {}}}, ("127.0.0.1", "::1")),
    (
        {"NetworkSettings": {"Networks": {"a": {"IPAddress": "10.9.0.1"}, "b": {"GlobalIPv6Address": "fd00::1"}}}},
        ("10.9.0.1", "fd00::1"),
    ),
    ({"HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}}, ("10.0.0.1",)),
]


@pytest.mark.parametrize(("facts", "addresses"), NETWORKS)
def test_networks(host, asked, facts, addresses):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[OWN]))
    host.edit("web", **facts)
    asked.clear()
    assert health(host) == "healthy"
    assert asked == [(OWN, {"addresses": addresses})]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (
            {"HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {"none": {"IPAddress": ""}}}},
            "container app-core-web-2 has no address; its network is none",
        ),
        (
            {"HostConfig": {"NetworkMode": "container:c7"}},
            "container app-core-web-2 has the network of c7, which is gone",
        ),
    ],
)
def test_without_an_address_nothing_passes(host, asked, facts, why):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[OWN]))
    host.edit("web", **facts)
    asked.clear()
    assert health(host) == f"an address to ask {OWN} at ({why})"
    assert asked == []


def test_a_container_whose_network_another_one_has_must_run(host, asked):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), health=[OWN]))
    host.edit("web", HostConfig={"NetworkMode": "container:c1"})
    host.edit("db", State={"Status": "exited"})
    assert health(host) == (
        f"an address to ask {OWN} at (container app-core-web-2, which has the network of app-core-db-1, is exited)"
    )


def test_a_port_that_refuses(host, monkeypatch):
    what = "a connection to tcp://web:5432 (connection refused, at 10.0.0.2)"
    monkeypatch.setattr(http, "connect", lambda url, **how: Answer(url, None, fault=what))
    sentence, facts = failure(lambda: bring(host, health=["tcp://web:5432"]))
    assert sentence == (
        f"Service web (stack core) does not pass on sha-aaaaaaa: after 9 s (its deadline is 9 s) it still waits for {what}."
    )
    assert facts["gate"] == "health"


def test_a_command_is_run_once_a_second_at_most(host, commands, asked):
    commands["said"] = [(2, "no response\n", "")] * 4 + [(0, "", "")]
    bring(host, exec=["pg_isready", "-p", 5432], health=[OWN], successes=3, window=0, deadline=60)
    assert {tuple(words) for words, _when in commands["run"]} == {("c2", "pg_isready", "-p", "5432")}
    times = [when for _words, when in commands["run"]]
    assert len(times) == 7
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[1:]))
    assert times[-1] - times[0] < 9


def test_other_services_do_not_wait_for_a_command(host, commands, answers):
    answers[:] = [Answer(OWN, 503)] * 3 + [Answer(OWN, 200)]
    gate = {"successes": 1, "window": 0, "deadline": 60}
    document = json.loads(text_of("sha-aaaaaaa", ("web", "job"), database=False))
    document["x-rollout"] = {"web": {**gate, "health": ["http://h/"]}, "job": {**gate, "exec": ["true"]}}
    commands["said"] = [(1, "", "")] * 5 + [(0, "", "")]
    result = host.bring(host.staged("a", text=json.dumps(document)))
    took = {p["service"]: p["to"] - p["from"] for p in result["phases"] if p["phase"] == "health"}
    assert took["web"] < 1 < 5 <= took["job"]


def test_a_command_that_fails(host, commands, told):
    commands["said"] = [(2, "", "canary-a: no response\n")]
    sentence, _facts = failure(lambda: bring(host, exec=["pg_isready", "-U", "app"]))
    what = "exit status 0 of the command pg_isready -U app in its container, which ends with 2 (********: no response)"
    assert sentence == (
        f"Service web (stack core) does not pass on sha-aaaaaaa: after 9 s (its deadline is 9 s) it still waits for {what}."
    )
    assert told[-1]["waiting_for"] == what


def test_with_a_command_docker_s_health_check_need_not_have_passed_yet(host, commands):
    host.engine.broken = {"web": {"Health": {"Status": "starting"}}}
    bring(host, exec=["true"])
    assert len(commands["run"]) == 1
    host.edit("web", State={"Health": {"Status": "unhealthy"}})
    assert "Docker's health check (unhealthy)" in failure(lambda: host.look("sha-aaaaaaa"))[0]


def test_the_status_runs_the_command(host, commands):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), exec=["true"]))
    assert health(host) == "healthy"
    commands["said"] = [(1, "down\n", "")]
    assert health(host) == "exit status 0 of the command true in its container, which ends with 1 (down)"
    commands["run"].clear()
    host.edit("web", State={"Status": "exited"})
    assert health(host) == "exited"
    assert commands["run"] == []


@pytest.fixture
def authority(tmp_path):
    path = tmp_path / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    subprocess.run([*command, "-keyout", tmp_path / "key.pem", "-out", path], check=True, capture_output=True)
    return path


def with_authorities(**paths) -> str:
    document = json.loads(text_of("sha-aaaaaaa", tuple(paths)))
    for service, path in paths.items():
        document["x-rollout"][service].update(health=["https://127.0.0.1/"], ca=str(path))
    return json.dumps(document)


@pytest.mark.parametrize("check", [True, False])
def test_a_ca_that_is_not_there_is_refused_while_staging(host, tmp_path, check):
    (tmp_path / "text").write_text("no certificate")
    asked = order("a", with_authorities(web=tmp_path / "none.pem", job=tmp_path / "text"))
    sentence, _facts = failure(stage.stage, host.store, host.engine, asked, check)
    told = "Put the PEM file of the CA there, or correct the path."
    assert sorted(sentence.splitlines()) == [
        f"Service job (stack core) has ca {tmp_path}/text, which cannot be used on this host: it is not a PEM file of certificates. {told}",
        f"Service web (stack core) has ca {tmp_path}/none.pem, which cannot be used on this host: no such file or directory. {told}",
    ]
    assert host.engine.touched == []


def test_the_ca_of_a_release_to_go_back_to_is_looked_for_too(host, authority, asked):
    host.rollout("a", text=with_authorities(web=authority))
    assert asked[-1] == ("https://127.0.0.1/", {"ca": str(authority)})
    host.rollout("b")
    authority.unlink()
    sentence, _facts = failure(restage.restage, host.store, host.engine, "sha-aaaaaaa", False)
    assert sentence.startswith(f"Service web (stack core) has ca {authority}, which cannot be used on this host: no such file")


FRONT = "http://127.0.0.1:8000/health"


@pytest.fixture
def behind(host, commands, monkeypatch):
    """A start-first service whose gate asks in every way; its proxy answers in the name of the newest container."""
    host.engine.images["haproxy:lts"] = "sha256:" + "9" * 64
    monkeypatch.setattr(sockets, "listener", lambda port: "")
    seen = []

    def ask(url, **how):
        seen.append((url, how))
        newest = [c["Id"] for c in host.engine.made if c["Name"].startswith("/app-core-web")][:1]
        return Answer(url, 200, container=newest[0] if url == FRONT and newest else "")

    monkeypatch.setattr(http, "ask", ask)
    monkeypatch.setattr(http, "connect", lambda url, **how: (seen.append((url, how)), Answer(url, None, fault=""))[1])

    def text(letter):
        gate = {"successes": 1, "window": 0, "deadline": 5, "start_first": {"proxy": "proxy", "port": 80}}
        urls = [FRONT, "tcp://127.0.0.1:8000", "http://web:8000/", "tcp://proxy:9000"]
        services = {
            "proxy": {"image": "haproxy:lts", "ports": [{"published": "8000"}]},
            "web": {"image": f"r/web:sha-{letter * 7}"},
        }
        return json.dumps({"services": services, "x-rollout": {"web": {**gate, "health": urls, "exec": ["ready"]}}})

    def rollout(letter):
        name = stage.stage(host.store, host.engine, order(letter, text=text(letter)), False)["name"]
        seen.clear()
        commands["run"].clear()
        host.engine.top = [{1: 0, 7: 1}, {1: 0, 8: 1}]
        host.bring(name, "run-" + letter)
        return seen

    return rollout


def test_of_a_start_first_service_the_new_container_is_asked(behind, commands):
    behind("a")
    seen = behind("b")
    new = {"addresses": ("10.0.0.3",)}
    gate = [
        ("http://10.0.0.3:80/health", {}),
        ("tcp://10.0.0.3:80", {}),
        ("http://web:8000/", new),
        ("tcp://proxy:9000", {"addresses": ("10.0.0.1",)}),
    ]
    assert [one for one in seen if one[0] != FRONT] == gate
    assert [words for words, _when in commands["run"] if "ready" in words] == [["c3", "ready"]]
