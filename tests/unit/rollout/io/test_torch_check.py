from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import gpu, torch_check
from fake_engine import FakeEngine
from interpreter import bare_python

GOOD = {"driver": {"loaded": "535.183.01", "installed": "535.183.01", "cuda": "12.2"}, "runtimes": ["nvidia"]}
CUDA = {
    "torch": {"version": "2.5.1+cu124", "cuda": "12.4", "hip": None, "arch_list": ["sm_86"]},
    "devices": [{"name": "Card", "kernel_ok": True, "max_abs_err": 0.0}],
    "child": {"answered": True},
    "runtime": {},
}


class Engine(FakeEngine):
    """Answers a probe with ``says``; keeps the throw-away container's configuration."""

    def __init__(self, says, code=0):
        super().__init__()
        self.says, self.code = says, code
        self.document, self.fed, self.environment, self.modes = {}, "", [], []

    def image(self, reference):
        return {"Config": {"Env": self.environment}}

    def run(self, arguments, stdin="", timeout=None, extra=None):
        self.calls.append(" ".join(arguments))
        if arguments[0] == "compose":
            file = arguments[arguments.index("--file") + 1]
            with open(file) as opened:
                self.document = json.load(opened)["services"]["probe"]
            self.modes.append(Path(file).parent.stat().st_mode & 0o777)
        if stdin:
            self.fed = stdin
            return self.code, *self.says
        return 0, "", ""

    @property
    def words(self):
        return [c.split()[0] for c in self.calls]


def printed(document):
    return ("noise\nROLLOUT-PROBE " + json.dumps(document) + "\n", "")


def test_the_source_carries_the_limit_and_runs_on_standard_input():
    source = torch_check.probe_source(7.5)
    done = subprocess.run([bare_python(), "-"], input=source, capture_output=True, text=True, timeout=60, check=True)
    assert "ROLLOUT-PROBE " in done.stdout
    assert "LIMIT_S = 7.5" in source


def test_a_running_container():
    engine = Engine(printed({"child": {"answered": True}}))
    assert torch_check.in_container(engine, "c1", Expectation("absent", "/opt/python"), 5.0)["verdict"] == "pass"
    assert engine.calls == ["exec --interactive c1 /opt/python -"]


@pytest.mark.parametrize(
    ("code", "says", "reason", "observed"),
    [
        (1, ("", "Error response from daemon: No such container: c1"), "no_answer", "No such container: c1"),
        (127, ("", 'exec: "python3": executable file not found in $PATH'), "no_python", "executable file not found"),
        (0, ("hello", "oops"), "no_answer", "hellooops"),
        (124, ("", "no answer within 25 s"), "no_answer", "no answer within 25 s"),
    ],
)
def test_what_the_engine_says_instead(code, says, reason, observed):
    verdict = torch_check.in_container(Engine(says, code), "c1", Expectation("cpu"), 5.0)
    assert verdict["reason"] == reason
    assert observed in verdict["observed"]


def test_a_throw_away_container_is_made_tried_and_removed():
    engine = Engine(printed({"child": {"answered": True}}))
    service = {"image": "r/a", "user": "1000", "volumes": ["/:/host"]}
    assert torch_check.in_image(engine, service, Expectation("absent"), 5.0)["verdict"] == "pass"
    assert engine.words == ["container", "compose", "rm"]
    name = engine.calls[2].removeprefix("rm --force --volumes ")
    assert engine.calls[1].endswith(f" run --rm --no-deps --no-TTY --interactive --name {name} probe")
    assert engine.fed == torch_check.probe_source(5.0)
    assert engine.document["user"] == "1000"
    assert "volumes" not in engine.document
    assert engine.document["labels"] == {"rollout.probe": "torch"}
    assert engine.modes == [0o700], "the file holds the service's environment"


def test_it_is_removed_whatever_happens():
    engine = Engine(("", ""))

    def interrupted(*_args, **_more):
        raise KeyboardInterrupt

    engine.image = interrupted
    real = engine.run
    engine.run = lambda words, **more: interrupted() if words[0] == "compose" else real(words, **more)
    with pytest.raises(KeyboardInterrupt):
        torch_check.in_image(engine, {"image": "r/a"}, Expectation("cpu"), 5.0)
    assert engine.words[-1] == "rm"


def test_a_container_that_cannot_be_created():
    refusal = 'could not select device driver "nvidia" with capabilities: [[gpu]]'
    engine = Engine(("", refusal), 1)
    verdict = torch_check.in_image(engine, {"image": "r/a"}, Expectation("cpu"), 5.0)
    assert (verdict["reason"], verdict["observed"]) == ("no_runtime", refusal)
    assert engine.words == ["container", "compose", "rm"]


@pytest.fixture
def host(monkeypatch):
    free = {"why": ""}
    monkeypatch.setattr(gpu, "facts", lambda engine: GOOD)
    monkeypatch.setattr(gpu, "too_full", lambda need_mib, only: free["why"])
    return free


DEVICES = {"image": "r/a", "gpus": [{"count": -1}]}


def test_a_gpu_image_on_a_free_card(host):
    engine = Engine(printed(CUDA))
    verdict = torch_check.in_image(engine, DEVICES, Expectation("cuda"), 5.0)
    assert verdict["reason"] == "ok"
    assert engine.document["gpus"] == [{"count": -1}]
    assert verdict["driver"]["version"] == "535.183.01"


def test_a_full_card_is_left_alone_and_the_rest_is_judged(host):
    host["why"] = "Card has 100 MiB free of the 1024 needed"
    engine = Engine(printed({**CUDA, "devices": []}))
    verdict = torch_check.in_image(engine, DEVICES, Expectation("cuda"), 5.0)
    assert (verdict["verdict"], verdict["reason"]) == ("unknown", "card_full")
    assert host["why"] in verdict["observed"]
    assert "gpus" not in engine.document
    engine.environment = ["NVIDIA_REQUIRE_CUDA=cuda>=12.8"]
    assert torch_check.in_image(engine, DEVICES, Expectation("cuda"), 5.0)["reason"] == "requirement_unmet"
    told = {**DEVICES, "environment": {"NVIDIA_DISABLE_REQUIRE": "true", "A": None}}
    assert torch_check.in_image(engine, told, Expectation("cuda"), 5.0)["reason"] == "card_full"


def test_facts_that_are_known_are_not_asked_again(host, monkeypatch):
    monkeypatch.setattr(gpu, "facts", lambda engine: pytest.fail("asked"))
    assert torch_check.in_container(Engine(printed(CUDA)), "c", Expectation("cuda"), 5.0, GOOD)["reason"] == "ok"
    assert torch_check.in_image(Engine(printed(CUDA)), DEVICES, Expectation("cuda"), 5.0, GOOD)["reason"] == "ok"


CONFIG = {"services": {"worker": {"image": "r/a", "user": "1000", "runtime": "nvidia"}, "db": {"image": "r/db"}}}


@pytest.mark.parametrize(
    ("target", "service"),
    [
        (torch_check.Target(image="r/b"), {"image": "r/b"}),
        (torch_check.Target(compose_file="/x/c.yml", service="worker"), CONFIG["services"]["worker"]),
        (
            torch_check.Target(compose_file="/x/c.yml", service="worker", image="r/b"),
            {**CONFIG["services"]["worker"], "image": "r/b"},
        ),
    ],
)
def test_what_the_throw_away_container_gets(monkeypatch, target, service):
    tried = []
    monkeypatch.setattr(torch_check, "configuration", lambda engine, file: CONFIG)
    monkeypatch.setattr(torch_check, "in_image", lambda engine, service, *rest: tried.append(service))
    torch_check.check(Engine(("", "")), target, Expectation("cpu"), 5.0)
    assert tried == [service]


def test_an_image_may_get_all_cards(host):
    engine = Engine(printed(CUDA))
    torch_check.check(engine, torch_check.Target(image="r/a", gpu=True), Expectation("cuda"), 5.0)
    (device,) = engine.document["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}


def test_a_service_that_is_not_in_the_file(monkeypatch):
    monkeypatch.setattr(torch_check, "configuration", lambda engine, file: CONFIG)
    with pytest.raises(RolloutError, match=r"^/x/c.yml has no service web; it has db, worker\.$"):
        torch_check.check(Engine(("", "")), torch_check.Target(compose_file="/x/c.yml", service="web"), Expectation("cpu"), 5.0)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (torch_check.Target(container="c"), "c"),
        (torch_check.Target(image="i"), "i"),
        (torch_check.Target(compose_file="f", service="s"), "s"),
    ],
)
def test_a_target_has_a_name(target, name):
    assert str(target) == name
