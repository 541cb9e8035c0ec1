from __future__ import annotations

from typing import Any, Mapping

import pytest
from ansible.module_utils.rollout.domain.gate import (
    FLAVOURS,
    GATE,
    MODES,
    Drain,
    Expectation,
    expectation,
    read_gate,
)
from ansible.module_utils.rollout.domain.torch import cuda
from ansible.module_utils.rollout.domain.urls import is_port, is_url
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import example, given
from hypothesis import strategies as st

STOP, BUSY = "http://127.0.0.1:8000/workers/w/drain", "http://127.0.0.1:8000/workers/w"
AT = "f.yml: x-rollout.web"
WHERE = f"{AT}.drain"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"stop": STOP}, Drain(STOP)),
        ({"stop": STOP, "busy": BUSY, "mode": "wait", "timeout": 7}, Drain(STOP, BUSY, "wait", 7)),
        ({"stop": "https://h/x", "timeout": 0}, Drain("https://h/x", timeout=0)),
    ],
)
def test_drain(value, found):
    assert read_gate({"drain": value}, AT)["drain"] == found


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (True, " is True: expected a mapping with stop, the URL that stops the intake of work."),
        ({}, ".stop is missing: expected an http:// URL that stops the intake of work."),
        ({"stop": STOP, "after": 1}, " has 'after'; known are stop, busy, mode, timeout."),
        ({"stop": "/drain"}, ".stop is '/drain': expected an http:// URL that stops the intake of work."),
        ({"stop": STOP, "busy": None}, ".busy is None: expected an http:// URL."),
        ({"stop": STOP, "mode": "kill"}, ".mode is 'kill': expected one of wait, checkpoint, force."),
        ({"stop": STOP, "mode": True}, ".mode is True: expected one of wait, checkpoint, force."),
        ({"stop": STOP, "timeout": "7"}, ".timeout is '7': expected a number of seconds."),
        ({"stop": STOP, "timeout": True}, ".timeout is True: expected a number of seconds."),
        ({"stop": STOP, "timeout": -1}, ".timeout is -1: expected a number of seconds."),
    ],
)
def test_drains_that_are_refused(value, sentence):
    with pytest.raises(RolloutError) as error:
        read_gate({"drain": value}, AT)
    assert str(error.value) == WHERE + sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "f.yml: x-rollout.web.start_first is None: expected a mapping with proxy, the service in front, and port."),
        ({"proxy": "p", "port": 1, "prot": 1}, "f.yml: x-rollout.web.start_first has 'prot'; known are proxy, port, drain."),
        ({"port": 1}, "f.yml: x-rollout.web.start_first.proxy is missing: expected the service in front."),
        ({"proxy": "p"}, "f.yml: x-rollout.web.start_first.port is missing: expected the service's own port."),
        ({"proxy": "p", "port": "8000"}, "f.yml: x-rollout.web.start_first.port is '8000': expected the service's own port."),
        ({"proxy": "p", "port": True}, "f.yml: x-rollout.web.start_first.port is True: expected the service's own port."),
        ({"proxy": "p", "port": 65536}, "f.yml: x-rollout.web.start_first.port is 65536: expected the service's own port."),
        ({"proxy": "p", "port": 1, "drain": -1}, "f.yml: x-rollout.web.start_first.drain is -1: expected a number of seconds."),
        (
            {"proxy": "p", "port": 1, "drain": True},
            "f.yml: x-rollout.web.start_first.drain is True: expected a number of seconds.",
        ),
    ],
)
def test_start_firsts_that_are_refused(value, sentence):
    with pytest.raises(RolloutError) as error:
        read_gate({"start_first": value}, AT)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("cpu", Expectation("cpu")),
        ({"flavour": "cuda"}, Expectation("cuda")),
        (
            {
                "flavour": "cuda",
                "python": "/p",
                "min_torch": "2.13",
                "min_cuda": "",
                "devices": 0,
                "uuids": ["GPU-1"],
                "min_shm_mib": 9,
            },
            Expectation("cuda", python="/p", min_torch="2.13", uuids=("GPU-1",), min_shm_mib=9),
        ),
        (
            {"flavour": "rocm", "min_cuda": "6", "devices": 2, "uuids": ("a", "b"), "min_memory_mib": 7, "min_free_mib": 0},
            Expectation("rocm", min_cuda="6", devices=2, uuids=("a", "b"), min_memory_mib=7, min_free_mib=0),
        ),
    ],
)
def test_expectation(value, found):
    assert expectation(value, "x") == found


def test_what_is_not_said_asks_for_nothing():
    found = Expectation("cuda")
    assert (found.python, found.min_free_mib) == ("python3", 1024)
    assert not any((found.min_torch, found.min_cuda, found.devices, found.uuids, found.min_memory_mib, found.min_shm_mib))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gpu", "x is 'gpu': expected one of absent, cpu, cuda, rocm, or a mapping with flavour."),
        (7, "x is 7: expected one of absent, cpu, cuda, rocm, or a mapping with flavour."),
        ({}, "x.flavour is missing: expected one of absent, cpu, cuda, rocm."),
        (
            {"flavour": "cuda", "gpus": 1},
            "x has 'gpus'; known are flavour, python, min_torch, min_cuda, devices, uuids, min_memory_mib, min_free_mib, "
            "min_shm_mib.",
        ),
        ({"flavour": 1}, "x.flavour is 1: expected one of absent, cpu, cuda, rocm."),
        ({"flavour": "cpu", "python": None}, "x.python is None: expected the path of the interpreter."),
        ({"flavour": "cuda", "min_memory_mib": "1"}, "x.min_memory_mib is '1': expected a whole number of MiB."),
        ({"flavour": "cuda", "min_free_mib": -1}, "x.min_free_mib is -1: expected a whole number of MiB."),
        ({"flavour": "cuda", "min_shm_mib": 1.5}, "x.min_shm_mib is 1.5: expected a whole number of MiB."),
        ({"flavour": "cuda", "devices": "1"}, "x.devices is '1': expected a whole number."),
        ({"flavour": "cuda", "devices": True}, "x.devices is True: expected a whole number."),
        ({"flavour": "cuda", "devices": -1}, "x.devices is -1: expected a whole number."),
        ({"flavour": "cuda", "min_torch": 2.1}, "x.min_torch is 2.1: expected a version in quotes."),
        ({"flavour": "cuda", "min_cuda": "new"}, "x.min_cuda is 'new': expected a version in quotes."),
        ({"flavour": "cuda", "uuids": "GPU-1"}, "x.uuids is 'GPU-1': expected a list of UUIDs."),
    ],
)
def test_expectations_that_cannot_be_meant(value, text):
    with pytest.raises(RolloutError) as error:
        expectation(value, "x")
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("flavour", "on_gpu", "text"),
    [
        ("absent", False, "no torch"),
        ("cpu", False, "torch for cpu"),
        ("cuda", True, "torch for cuda"),
        ("rocm", True, "torch for rocm"),
    ],
)
def test_flavours(flavour, on_gpu, text):
    assert (Expectation(flavour).on_gpu, str(Expectation(flavour))) == (on_gpu, text)


def test_everything_wrong_with_a_gate_is_said_at_once():
    gate = {
        "dedline": 1,
        "health": ["http://h/", "h:80", 7],
        "drain": {"busy": 1, "moed": "wait"},
        "start_first": {"port": "80", "drain": -1},
        "torch": {"flavour": "gpu", "devices": True},
        "window": "1",
    }
    with pytest.raises(RolloutError) as error:
        read_gate(gate, AT)
    assert str(error.value).splitlines() == [
        f"{AT} has 'dedline'; known are {', '.join(GATE)}.",
        f"{WHERE} has 'moed'; known are stop, busy, mode, timeout.",
        f"{WHERE}.stop is missing: expected an http:// URL that stops the intake of work.",
        f"{WHERE}.busy is 1: expected an http:// URL.",
        f"{AT}.health has 'h:80': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        f"{AT}.health has '7': expected an http:// or https:// URL, or tcp://NAME:PORT.",
        f"{AT}.start_first.proxy is missing: expected the service in front.",
        f"{AT}.start_first.port is '80': expected the service's own port.",
        f"{AT}.start_first.drain is -1: expected a number of seconds.",
        f"{AT}.torch.flavour is 'gpu': expected one of absent, cpu, cuda, rocm.",
        f"{AT}.torch.devices is True: expected a whole number.",
        f"{AT}.window is '1': expected a number of seconds.",
    ]


def number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def word(value: Any) -> bool:
    return isinstance(value, str) or number(value)


# What was accepted when each mapping had a validator written by hand.
ACCEPTED = {
    "deadline": number,
    "window": number,
    "successes": whole,
    "names_release": lambda value: isinstance(value, bool),
    "ca": lambda value: isinstance(value, str) and value.startswith("/"),
    "exec": lambda value: isinstance(value, list) and bool(value) and value[0] != "" and all(map(word, value)),
    "health": lambda value: (
        all(is_url(url) or is_port(url) for url in ([value] if isinstance(value, str) else value))
        if isinstance(value, (str, list))
        else False
    ),
    "insecure": lambda value: isinstance(value, bool),
    "drain": lambda value: (
        isinstance(value, Mapping)
        and set(value) <= {"stop", "busy", "mode", "timeout"}
        and "stop" in value
        and all(is_url(value[key]) for key in ("stop", "busy") if key in value)
        and value.get("mode", "wait") in MODES
        and number(value.get("timeout", 0))
        and not value.get("timeout", 0) < 0
    ),
    "start_first": lambda value: (
        isinstance(value, Mapping)
        and set(value) <= {"proxy", "port", "drain"}
        # A name that is not text was refused one step later: no service has it.
        and isinstance(value.get("proxy"), str)
        and whole(value.get("port"))
        and 0 < value["port"] < 65536
        and number(value.get("drain", 0))
        and not value.get("drain", 0) < 0
    ),
    "torch": lambda value: (
        value in FLAVOURS
        if isinstance(value, str)
        else isinstance(value, Mapping)
        and value.get("flavour") in FLAVOURS
        and all(asked(key, item) for key, item in value.items())
    ),
}


def asked(key: str, item: Any) -> bool:
    if key in ("flavour", "python"):
        return isinstance(item, str)
    if key in ("min_torch", "min_cuda"):
        return isinstance(item, str) and (not item or bool(cuda.numbers(item)))
    if key == "uuids":
        return isinstance(item, (list, tuple))
    return key in ("devices", "min_memory_mib", "min_free_mib", "min_shm_mib") and whole(item) and item >= 0


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70000),
    st.floats(-1, 100),
    st.sampled_from([*FLAVOURS, *MODES, STOP, "https://h/x", "h:80", "", "2.1", "new"]),
)
listed = st.lists(plain, max_size=2)
values = {key: plain | listed for key in ACCEPTED}
values["health"] |= st.lists(st.sampled_from([STOP, "tcp://h:80", "tcp://h", "h:80"]), max_size=3)
values["ca"] |= st.just("/ca.pem")
for name, keys in (
    ("drain", ("stop", "busy", "mode", "timeout", "other")),
    ("start_first", ("proxy", "port", "drain", "other")),
    ("torch", ("flavour", "python", "min_torch", "min_cuda", "devices", "uuids", "min_shm_mib", "other")),
):
    values[name] |= st.dictionaries(st.sampled_from(keys), plain | listed, max_size=4)
    values[name] |= st.fixed_dictionaries(
        {"drain": {"stop": st.just(STOP)}, "start_first": {"proxy": st.just("p"), "port": st.just(80)}}.get(
            name, {"flavour": st.sampled_from(FLAVOURS)}
        ),
        optional={key: plain | listed for key in keys[1:] if key not in ("port", "other")},
    )


def contradict(gate: Mapping[str, Any]) -> bool:
    health = gate.get("health")
    urls = [health] if isinstance(health, str) else health if isinstance(health, list) else []
    unnamed = gate.get("names_release") is True and (urls or gate.get("exec")) and not any(not is_port(url) for url in urls)
    return bool((gate.get("ca") and gate.get("insecure") is True) or unnamed)


@given(st.fixed_dictionaries({}, optional=values))
@example({"drain": {"stop": STOP, "timeout": float("nan")}, "deadline": -1, "torch": {"flavour": "cpu", "uuids": ()}})
def test_what_was_accepted_is_accepted_still_and_nothing_else(gate):
    wrong = {key for key, value in gate.items() if not ACCEPTED[key](value)}
    said = ""
    try:
        assert set(read_gate(gate, AT)) == set(gate)
    except RolloutError as error:
        said = str(error)
    # Each of them is named, in one refusal.
    assert {key for key in gate if any(line.startswith(f"{AT}.{key}") for line in said.splitlines())} == wrong
    # Two keys may contradict each other.
    assert bool(said) == bool(wrong or contradict(gate))


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ({"health": "http://web:8080/"}, {"health": ("http://web:8080/",)}),
        ({"health": ["tcp://db:5432", "tcp://[::1]:5432/"]}, {"health": ("tcp://db:5432", "tcp://[::1]:5432/")}),
        ({"exec": ["nc", "-z", "db", 5432, ""]}, {"exec": ("nc", "-z", "db", "5432", "")}),
        ({"ca": "/etc/ca.pem", "insecure": False}, {"ca": "/etc/ca.pem", "insecure": False}),
        ({"names_release": True, "health": [STOP, "tcp://db:1"]}, {"names_release": True, "health": (STOP, "tcp://db:1")}),
    ],
)
def test_what_is_asked_of_a_service(gate, found):
    assert read_gate(gate, AT) == found


URLS = "expected an http:// or https:// URL, or tcp://NAME:PORT."
WORDS = "expected a list of words, for example [pg_isready, -U, app]."
NAMES = (
    " has names_release: true, but only the answer of an http:// or https:// URL can name a release, and health has none. Add one, "
    "or remove names_release."
)

REHEARSES = " has rehearse: true and {}: only a service that a rollout replaces can be rehearsed. Remove one of them."


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        ({"health": "web:8080"}, f".health has 'web:8080': {URLS}"),
        ({"health": ["tcp://db"]}, f".health has 'tcp://db': {URLS}"),
        ({"health": ["tcp://db:0"]}, f".health has 'tcp://db:0': {URLS}"),
        ({"health": ["tcp://db:99999"]}, f".health has 'tcp://db:99999': {URLS}"),
        ({"health": ["tcp://db:5432/app"]}, f".health has 'tcp://db:5432/app': {URLS}"),
        ({"health": ["tcp://u:canary@db:5432"]}, f".health has 'tcp://u:********@db:5432': {URLS}"),
        ({"health": ["htp://u:canary@web/"]}, f".health has 'htp://u:********@web/': {URLS}"),
        ({"exec": "pg_isready"}, f".exec is 'pg_isready': {WORDS}"),
        ({"exec": []}, f".exec is []: {WORDS}"),
        ({"exec": ["", "-U"]}, f".exec is ['', '-U']: {WORDS}"),
        ({"exec": ["test", True]}, f".exec is ['test', True]: {WORDS}"),
        ({"ca": "ca.pem"}, ".ca is 'ca.pem': expected the absolute path of a PEM file on the host."),
        ({"insecure": "yes"}, ".insecure is 'yes': expected true or false."),
        (
            {"ca": "/ca.pem", "insecure": True},
            " has both ca and insecure: true. With the first a certificate must be trusted, with the second any will do. Remove one "
            "of them.",
        ),
        ({"names_release": True, "health": ["tcp://db:5432"]}, NAMES),
        ({"names_release": True, "exec": ["true"]}, NAMES),
        ({"rehearse": True, "keep": True}, REHEARSES.format("keep: true")),
        ({"rehearse": True, "job": "after"}, REHEARSES.format("job: after")),
    ],
)
def test_what_cannot_be_asked_of_a_service(gate, sentence):
    with pytest.raises(RolloutError) as error:
        read_gate(gate, AT)
    assert str(error.value) == AT + sentence


def test_all_that_is_wrong_with_what_is_asked_is_said_at_once():
    gate = {"ca": "/ca", "insecure": True, "exec": "x", "names_release": True, "health": ["tcp://db:1", "tcp://db:1"]}
    with pytest.raises(RolloutError) as error:
        read_gate(gate, AT)
    assert [line[len(AT) :].split(" ")[0:3] for line in str(error.value).splitlines()] == [
        [".exec", "is", "'x':"],
        ["", "has", "both"],
        ["", "has", "names_release:"],
    ]
