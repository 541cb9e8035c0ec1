from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout import compose, contract, gpu, net, observe, settle, stage, torch_verdict
from ansible.module_utils.rollout.compose import NOWHERE
from ansible.module_utils.rollout.engine import Stack
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.ports import Port
from ansible.module_utils.rollout.torch_verdict import Expectation
from fake_engine import digest
from story import JOB, WEB, Host, order
from story import stack as text_of


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "state")


def put(host, asked, check=False):
    return stage.stage(host.store, host.engine, asked, check)


def refused(host, asked, check=False):
    with pytest.raises(RolloutError) as error:
        put(host, asked, check)
    return str(error.value)


def test_staging_writes_the_release_and_touches_nothing_that_runs(host):
    host.rollout("a")
    running, host.engine.calls = host.engine.running(), []
    result = put(host, order("b"))
    assert host.engine.running() == running
    assert {c.split()[0] for c in host.engine.touched} == {"pull", "tag"}
    assert result["changed"]
    assert result["name"] == "sha-bbbbbbb"
    assert result["to_pull"] == 2000
    assert host.events()[-1] == ("staged", "sha-bbbbbbb")
    manifest = host.store.manifest("sha-bbbbbbb")
    assert manifest["images"][WEB]["digest"] == digest("b")
    assert manifest["stacks"] == ["core"]
    assert manifest["secrets"] == ["PW"]
    assert manifest["run"] == "run-b"
    assert set(manifest["files"]) == {".env", "docker-compose.core.yml", "docker-compose.core.pins.json"}
    assert f"{JOB}:sha-bbbbbbb" in host.engine.images, "what has a tag survives docker image prune"
    assert "canary" not in json.dumps(result) + host.store.path.read_text() + json.dumps(manifest)


def test_staging_again_changes_nothing(host):
    put(host, order("a"))
    events, host.engine.calls = host.events(), []
    again = put(host, order("a"))
    assert not again["changed"]
    assert again["to_pull"] == 0
    assert again["name"] == "sha-aaaaaaa"
    assert host.events() == events
    assert host.engine.touched == []


def test_check_mode_writes_nothing(host, tmp_path):
    result = put(host, order("a"), check=True)
    assert result["changed"]
    assert result["to_pull"] == 2000
    assert result["diff"]
    assert list(tmp_path.iterdir()) == []
    assert host.engine.touched == []


def test_other_content_is_another_variant(host):
    host.rollout("a")
    assert put(host, order("a", secrets={"PW": "rotated"}))["name"] == "sha-aaaaaaa.2"


def test_an_image_that_vanished_is_pulled_again(host):
    put(host, order("a"))
    del host.engine.images[f"{WEB}@{digest('a')}"]
    assert put(host, order("a"))["changed"]
    assert f"{WEB}@{digest('a')}" in host.engine.images


def test_images_outside_the_release_are_pulled_where_absent_and_never_anew(host):
    put(host, order("a"))
    put(host, order("b"))
    assert host.engine.calls.count("pull postgres:17") == 1


@pytest.fixture
def told(monkeypatch):
    """What a host says of itself, all of it."""
    found = []
    monkeypatch.setattr(Store, "tell", lambda self, **facts: found.append(facts))
    return found


def shown(word):
    return f"cafa9637794d: Downloading [=> ]  {word}\r"


def test_pulls_tell_how_far_they_are(host, told):
    host.engine.shown = [shown("300B/1kB"), shown("1kB/1kB")]
    put(host, order("a"))
    assert told == [
        {"step": "pull", "what": WEB, "done": 300, "total": 1000},
        {"step": "pull", "what": WEB, "done": 1000, "total": 1000},
        {"step": "pull", "what": JOB, "done": 300, "total": 1000},
        {"step": "pull", "what": JOB, "done": 1000, "total": 1000},
        # How large it is, no registry was asked.
        {"step": "pull", "what": "postgres:17"},
    ]


def test_only_what_is_done_is_told(host, told):
    put(host, order("a"), check=True)
    assert told == []
    put(host, order("a"))
    told.clear()
    put(host, order("a"))
    assert told == []


@pytest.mark.xfail(strict=True, reason="a layer of two images counts for both, and the second one's bytes never come")
def test_a_layer_of_two_images_comes_with_the_first(host, told):
    layers = [{"diff_id": "shared", "size": 900}]
    images = {
        r: {"digest": digest("a"), "platforms": {"linux/amd64": [*layers, {"diff_id": r, "size": 100}]}} for r in (WEB, JOB)
    }
    host.engine.shown = [shown("1B/2B")]
    put(host, order("a", images=images))
    assert [(t["what"], t["total"]) for t in told if "total" in t] == [(WEB, 1000), (JOB, 100)]


def test_a_pull_that_brings_an_old_release_back_tells_its_bytes(host, told):
    host.rollout("a")
    del host.engine.images[f"{WEB}@{digest('a')}"]
    host.engine.shown = [shown("300B/1kB")]
    told.clear()
    stage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert told == [{"step": "pull", "what": WEB, "done": 300, "total": None}]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (order("a", secrets={"PW": ""}), "Secret PW is missing"),
        (order("a", environment={"PW": "x"}), "PW: given twice"),
        (order("a", environment={"A": True}), "The value of A is of type bool"),
        (
            order("a", "a: b: c"),
            "Checking docker-compose.core.yml failed: yaml: mapping values are not allowed",
        ),
        (order("a", '{"services": {}}'), "docker-compose.core.yml has no x-rollout at its top"),
        (
            order("a", json.dumps({"services": {"db": {"volumes": [{"type": "bind", "source": f"{NOWHERE}/data"}]}}})),
            "docker-compose.core.yml: services.db.volumes has the relative path 'data'. Each release has a directory of its own",
        ),
        (
            order("a", text_of("v", ("web", "cron"))),
            "docker-compose.core.yml: service cron uses image r/cron, which this run did not resolve (resolved: r/job, r/web).",
        ),
        (
            order("a", images={r: {"digest": digest("a"), "platforms": {"linux/arm64": []}} for r in (WEB, JOB)}),
            "Image r/web:sha-aaaaaaa is for linux/arm64, but this host is linux/amd64: build it for linux/amd64 too.",
        ),
        (
            order(
                "a",
                images={
                    r: {"digest": digest("a"), "platforms": {"linux/amd64": [{"diff_id": r, "size": 10**15}]}} for r in (WEB, JOB)
                },
            ),
            "Not enough disk in /: needed 80000",
        ),
    ],
)
def test_refusals_touch_nothing(host, tmp_path, asked, sentence):
    assert refused(host, asked).startswith(sentence)
    assert host.engine.touched == []
    assert list(tmp_path.iterdir()) == []


def ports_of(port, **more):
    document = json.loads(text_of("v"))
    document["services"]["web"]["ports"] = [{"published": str(port), "target": 80, **more}]
    return json.dumps(document)


def test_what_compose_says_of_a_relative_path_names_it_as_it_was_written(host, monkeypatch):
    run = host.engine.run
    words = f"env file {NOWHERE}/web.env not found: stat {NOWHERE}/web.env: no such file or directory"
    monkeypatch.setattr(host.engine, "run", lambda call, *rest, **o: (1, "", words) if "-" in call else run(call, *rest, **o))
    assert refused(host, order("a")) == (
        "Checking docker-compose.core.yml failed: env file web.env not found: stat web.env: no such file or directory"
    )


def test_a_port_that_another_project_holds(host):
    host.engine.ports = [(Port(8000), "other")]
    assert refused(host, order("a", ports_of(8000))).startswith(
        "Port 8000, which service web publishes, is held by container or project other:"
    )
    host.engine.ports = [(Port(8000), "app-core")]
    put(host, order("a", ports_of(8000)))


def test_a_port_that_a_process_holds(host, monkeypatch):
    monkeypatch.setattr(net, "listener", lambda port: f"process nginx (pid {port.number})")
    assert "is held by process nginx (pid 8000)" in refused(host, order("a", ports_of(8000)))


def test_an_address_that_the_host_does_not_have(host):
    said = refused(host, order("a", ports_of(8000, host_ip="192.0.2.1")))
    assert said.startswith("Port 192.0.2.1:8000, which service web publishes, is on address 192.0.2.1, which this host does not")


def test_a_port_of_another_protocol_or_address_is_nobodys_business(host):
    host.engine.ports = [(Port(8000, "udp"), "other"), (Port(8000, address="127.0.0.2"), "other")]
    put(host, order("a", ports_of(8000, host_ip="127.0.0.1")))


def test_a_failed_pull_leaves_no_release(host):
    host.engine.fail = {"pull": "manifest unknown"}
    assert refused(host, order("a")) == f"Image {WEB}@{digest('a')} could not be pulled: manifest unknown"
    assert host.store.names() == []
    assert not host.store.path.exists()


def torch(monkeypatch, verdict="pass", reason="ok"):
    asked = []

    def check(engine, service, expected, limit_s, host):
        asked.append((service["image"], expected, host))
        _verdict, fault, remedy = torch_verdict.REASONS[reason]
        return {
            "verdict": verdict,
            "reason": reason,
            "expected": str(expected),
            "observed": "torch 2",
            "fault": fault,
            "remedy": remedy,
        }

    monkeypatch.setattr(contract, "in_image", check)
    return asked


def test_the_torch_contract_is_proven_once_an_image(host, monkeypatch, told):
    asked = torch(monkeypatch)
    result = put(host, order("a", text_of("v", torch="absent")))
    assert [t["what"] for t in told if t["step"] == "torch"] == ["web", "job"]
    assert asked == [
        (f"{WEB}@{digest('a')}", Expectation("absent"), None),
        (f"{JOB}@{digest('a')}", Expectation("absent"), None),
    ]
    assert set(result["torch"]) == {f"{WEB} (absent)", f"{JOB} (absent)"}
    put(host, order("a", text_of("v", torch="absent")))
    assert len(asked) == 4, "not yet stable: proven again"


@pytest.mark.parametrize(("verdict", "reason"), [("fail", "torch_present"), ("unknown", "no_answer")])
def test_a_broken_torch_contract_is_refused(host, monkeypatch, verdict, reason):
    torch(monkeypatch, verdict, reason)
    with pytest.raises(RolloutError) as error:
        put(host, order("a", text_of("v", torch="absent")))
    assert str(error.value).startswith(
        f"Torch contract broken: image r/web, service web: expected no torch, found torch 2 ({reason})."
    )
    assert error.value.facts["service"] == "web"
    assert error.value.facts["gate"] == "torch"
    assert not host.store.path.exists()


GOOD_HOST = {"driver": {"loaded": "580.65.06"}, "runtimes": ["runc", "nvidia"]}


def test_a_busy_card_does_not_stop_staging(host, monkeypatch):
    asked = torch(monkeypatch, "unknown", "card_full")
    monkeypatch.setattr(gpu, "facts", lambda engine: GOOD_HOST)
    result = put(host, order("a", text_of("v", ("web",), torch="cuda")))
    assert [r["reason"] for r in result["torch"].values()] == ["card_full"]
    assert asked == [(f"{WEB}@{digest('a')}", Expectation("cuda"), GOOD_HOST)]


@pytest.mark.parametrize("back", [False, True])
def test_a_host_without_its_driver_is_refused_before_anything_is_pulled(host, monkeypatch, back):
    torch(monkeypatch)
    monkeypatch.setattr(contract, "in_container", lambda *a: {"verdict": "pass"})
    text = text_of("v", ("web",), torch="cuda")
    monkeypatch.setattr(gpu, "facts", lambda engine: GOOD_HOST)
    if back:
        host.rollout("a", text=text)
    monkeypatch.setattr(gpu, "facts", lambda engine: {"driver": {"loaded": "580.65.06", "installed": "590.44.01"}})
    host.engine.calls = []
    with pytest.raises(RolloutError) as error:
        stage.restage(host.store, host.engine, "sha-aaaaaaa", False) if back else put(host, order("a", text))
    assert str(error.value) == (
        "Service web needs the GPU, and this host has none to give to a new container: loaded is 580.65.06, installed 590.44.01 "
        "(driver_mismatch). The fault is the host's. Rolling back will not help: The driver was upgraded and the old one is still "
        "loaded: reboot the host."
    )
    assert {k: error.value.facts.get(k) for k in ("service", "gate")} == {"service": "web", "gate": "gpu"}
    assert host.engine.touched == []


def test_a_host_without_nvidia_is_no_fault_for_rocm(host, monkeypatch):
    torch(monkeypatch)
    monkeypatch.setattr(gpu, "facts", lambda engine: {"driver": {"loaded": None}})
    assert put(host, order("a", text_of("v", ("web",), torch="rocm")))["changed"]


def test_a_stable_release_is_not_proven_again(host, monkeypatch):
    asked = torch(monkeypatch)
    monkeypatch.setattr(contract, "in_container", lambda *a: {"verdict": "pass"})
    text = text_of("v", torch="absent")
    host.rollout("a", text=text)
    asked.clear()
    assert put(host, order("a", text))["torch"] == {}
    assert asked == []


def test_no_secret_in_the_diff_not_even_one_that_is_no_longer_asked_for(host):
    host.rollout("a", secrets={"PW": "canary-old", "GONE": "canary-gone", "PLAIN": "canary-plain"})
    diff = put(host, order("b", secrets={"PW": "canary-new"}, environment={"PLAIN": "seen"}), check=True)["diff"]
    assert diff
    assert "canary" not in json.dumps(diff)


def test_restage(host):
    host.rollout("a")
    host.engine.calls = []
    assert stage.restage(host.store, host.engine, "sha-aaaaaaa", False) == {
        "name": "sha-aaaaaaa",
        "changed": False,
        "ready": True,
        "to_pull": 0,
        "torch": {},
        "diff": [],
    }
    assert host.engine.touched == []


EXTRA = {"core": text_of("sha-aaaaaaa", ("web",)), "extra": text_of("sha-aaaaaaa", ("job",), database=False)}


def extended(host):
    """A stable release with two stacks, and one behind it that has one of them."""
    name = put(host, order("a", stacks=EXTRA))["name"]
    for stack in EXTRA:
        host.switch(name, "run-a", stack).switch(False)
    settle.confirm(host.store, host.engine, name, "run-a", "rollout", 5, False)
    host.rollout("b")


def test_a_stack_that_is_asked_for_no_more_is_told_as_long_as_it_is_there(host):
    extended(host)
    preview = put(host, order("c"), check=True)["preview"]
    assert preview["left"] == {"extra": "app-extra"}
    assert put(host, order("c", stacks=EXTRA), check=True)["preview"]["left"] == {}
    row = next(r for r in observe.services(host.store, host.engine, "app", ["core"]) if r["stack"] == "extra")
    assert (row["service"], row["release"]) == ("job", "sha-aaaaaaa")
    assert row["drift"] == ["belongs to a stack that the inventory does not give to this host any more"]
    host.engine.made = [made for made in host.engine.made if not made["Name"].startswith("/app-extra")]
    assert put(host, order("c"), check=True)["preview"]["left"] == {}
    assert all(r["stack"] == "core" for r in observe.services(host.store, host.engine, "app", ["core"]))


@pytest.mark.parametrize("check", [True, False])
def test_a_release_with_a_stack_more_than_the_inventory_is_refused(host, check):
    extended(host)
    with pytest.raises(RolloutError) as error:
        stage.restage(host.store, host.engine, "sha-aaaaaaa", check, stacks=["core"])
    assert str(error.value) == (
        "Release sha-aaaaaaa has stack extra, which the inventory does not give to this host any more, so no wave would bring it back. "
        "Put it into rollout_stacks again (and the host into its group), or choose another release."
    )
    # A stack that the release does not have is taken away, and comes back with the next rollout.
    assert stage.restage(host.store, host.engine, "sha-bbbbbbb", check, stacks=["core", "extra"])["name"] == "sha-bbbbbbb"


def test_what_is_there_whole_and_was_stable_is_ready_and_settled_where_it_runs(host):
    host.rollout("a")
    again = stage.stage(host.store, host.engine, order("a"), True)
    assert (again["ready"], again["preview"]["settled"]) == (True, True)
    other = stage.stage(host.store, host.engine, order("b"), True)
    assert (other["ready"], other["preview"]["settled"]) == (False, False)
    put(host, order("b"))
    assert not stage.stage(host.store, host.engine, order("b"), True)["ready"], "it was never proven"
    host.rollout("b")
    back = stage.restage(host.store, host.engine, "sha-aaaaaaa", True)
    assert (back["ready"], back["preview"]["settled"]) == (True, False)


@pytest.mark.parametrize("event", ["switching", "armed"])
def test_after_an_interrupted_run_it_is_not_settled(host, event):
    host.rollout("a")
    guard = {"timeout": 900.0, "boot": "b", "clock": 1.0, "keeper": "process"}
    host.store.append(event, "run-x", name="sha-aaaaaaa", release="sha-aaaaaaa", service="web", stack="core", **guard)
    assert stage.stage(host.store, host.engine, order("a"), True)["preview"]["settled"] is False


@pytest.mark.parametrize(("torch", "settled"), [("cpu", True), ("cuda", False)])
def test_a_service_with_a_card_is_tried_anew_though_nothing_differs(host, torch, settled):
    text = text_of("sha-aaaaaaa", ("web",), database=False)
    put(host, order("a", text))
    host.switch("sha-aaaaaaa", "run-a").switch(False)
    settle.confirm(host.store, host.engine, "sha-aaaaaaa", "run-a", "rollout", 5, False)
    files = ("docker-compose.core.yml", "docker-compose.core.pins.json")
    found = Stack(host.engine, "app-core", host.store.directory("sha-aaaaaaa"), *files).config()
    wanted = [replace(s, torch=Expectation(torch)) for s in compose.services(found, "f")]
    images = host.store.manifest("sha-aaaaaaa")["images"]
    found = stage._preview(host.store, host.engine, "app", {"core": wanted}, images, {}, "/", 0)
    assert [row["action"] for row in found["services"]] == ["keep"]
    assert found["settled"] is settled


@pytest.mark.parametrize("check", [False, True])
def test_restage_fetches_an_image_that_vanished(host, check):
    host.rollout("a")
    del host.engine.images[f"{WEB}@{digest('a')}"]
    assert stage.restage(host.store, host.engine, "sha-aaaaaaa", check)["changed"]
    assert (f"{WEB}@{digest('a')}" in host.engine.images) is not check


def test_restage_refuses_what_was_edited(host):
    host.rollout("a")
    (host.store.directory("sha-aaaaaaa") / ".env").write_text("")
    with pytest.raises(RolloutError) as error:
        stage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert str(error.value) == (
        f"Release sha-aaaaaaa was edited by hand (.env in {host.store.directory('sha-aaaaaaa')}), so it is not what was proven "
        "stable. Restore the files, or choose another release."
    )


def test_restage_refuses_what_is_nowhere(host):
    host.rollout("a")
    del host.engine.images[f"{JOB}@{digest('a')}"]
    host.engine.fail = {"pull": "not found"}
    with pytest.raises(RolloutError) as error:
        stage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert str(error.value) == (
        "Release sha-aaaaaaa cannot be brought back: image r/job:sha-aaaaaaa is no longer on this host, and: Image "
        f"r/job@{digest('a')} could not be pulled: not found"
    )


def spoil(host, name, how):
    directory = host.store.directory(name)
    if how == "edited":
        (directory / "docker-compose.core.yml").write_text("services: {}")
    elif how == "gone":
        (directory / "docker-compose.core.yml").unlink()
    elif how == "torn":
        (directory / "release.json").write_text("{")
    else:
        directory.rename(directory.parent / ".away")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("how", ["edited", "gone", "torn", "moved"])
def test_a_stable_release_that_could_not_be_brought_back_is_not_left(host, how, check):
    host.rollout("a")
    spoil(host, "sha-aaaaaaa", how)
    host.engine.calls = []
    said = refused(host, order("b"), check)
    assert said.startswith("Stable release sha-aaaaaaa could not be brought back, should sha-bbbbbbb fail: ")
    assert said.endswith(
        ". Roll it out first (ansible-playbook rollout.yml -e sha=aaaaaaa), which stages it anew; or move "
        f"{host.store.path} away, and there is no way back."
    )
    assert host.engine.touched == []
    # And that works, beside what is there.
    again = host.rollout("a")
    assert again["changed"]
    assert host.store.ledger().stable.name == ("sha-aaaaaaa" if how == "moved" else "sha-aaaaaaa.2")
    host.rollout("b")
    assert how == "moved" or host.store.directory("sha-aaaaaaa").exists()


def test_an_image_of_the_stable_release_that_is_gone_is_pulled_again(host):
    host.rollout("a")
    del host.engine.images[f"{JOB}@{digest('a')}"]
    put(host, order("b"), check=True)
    assert f"{JOB}@{digest('a')}" not in host.engine.images
    put(host, order("b"))
    assert f"{JOB}@{digest('a')}" in host.engine.images
    del host.engine.images[f"{JOB}@{digest('a')}"]
    host.engine.fail = {f"pull {JOB}@{digest('a')}": "manifest unknown"}
    assert "could not be brought back, should sha-bbbbbbb fail: Image r/job@" in refused(host, order("b"))


def test_a_damaged_release_that_nobody_needs_is_only_told_of(host):
    for letter in "abcd":
        host.rollout(letter)
    spoil(host, "sha-aaaaaaa", "torn")
    done = host.rollout("e", keep=2)
    assert done["removed"] == ["sha-bbbbbbb", "sha-ccccccc"]
    (left,) = done["left"]
    assert left.startswith("Old release sha-aaaaaaa stays: Release sha-aaaaaaa is incomplete: ")


def test_back_from_a_damaged_release(host):
    host.rollout("a")
    host.rollout("b")
    spoil(host, "sha-bbbbbbb", "torn")
    assert stage.restage(host.store, host.engine, "sha-aaaaaaa", True)["preview"]["services"]
    assert stage.restage(host.store, host.engine, "sha-aaaaaaa", False)["name"] == "sha-aaaaaaa"


def test_what_the_target_of_a_rollback_does_not_have_goes(host):
    extended(host)
    for stack in EXTRA:
        host.switch(put(host, order("c", stacks=EXTRA))["name"], "run-c", stack).switch(False)
    preview = stage.restage(host.store, host.engine, "sha-bbbbbbb", True, stacks=["core", "extra"])["preview"]
    assert {(r["stack"], r["service"], r["action"]) for r in preview["services"] if r["stack"] == "extra"} == {
        ("extra", "job", "remove")
    }
    assert not preview["settled"]
    assert preview["left"] == {}


def test_restage_refuses_what_is_gone(host):
    with pytest.raises(RolloutError, match="Release sha-aaaaaaa is incomplete"):
        stage.restage(host.store, host.engine, "sha-aaaaaaa", False)


LOGIN = stage.Login("r.example:5000/team", "karl", "canary-pw")


def left(host):
    """What the login left on the host."""
    files = [p for p in host.store.root.rglob("*") if p.is_file()]
    return [p for p in files if b"canary-pw" in p.read_bytes()] + list(host.store.root.glob(".login.*"))


def test_a_login_lasts_as_long_as_the_pull_and_leaves_nothing(host):
    put(host, order("a", login=LOGIN))
    calls = dict(host.engine.configs)
    assert host.engine.passwords == ["canary-pw"]
    (login,) = [c for c in host.engine.calls if c.startswith("login")]
    assert login == "login --username karl --password-stdin r.example:5000"
    config = calls[login]
    assert config.startswith(str(host.store.root / ".login."))
    pulls = {c: config for c, config in calls.items() if c.startswith("pull")}
    assert len(pulls) == 3, "those outside the release too"
    assert set(pulls.values()) == {config}
    assert all(c.startswith(("login", "pull", "tag")) for c, used in calls.items() if used)
    assert left(host) == []
    assert "canary" not in json.dumps(host.engine.calls) + repr(LOGIN)


@pytest.mark.parametrize(
    ("registry", "asked"),
    [
        ("kpiteira", "docker.io"),
        ("ghcr.io/kpiteira", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("r.example/a/b", "r.example"),
    ],
)
def test_a_login_asks_the_registry_that_the_images_are_of(host, registry, asked):
    put(host, order("a", login=stage.Login(registry, "karl", "canary-pw")))
    assert f"login --username karl --password-stdin {asked}" in host.engine.calls


@pytest.mark.parametrize("fail", [{}, {"pull": "manifest unknown"}, {"login": "unauthorized"}])
def test_the_login_is_gone_even_where_the_pull_fails(host, fail):
    host.engine.fail = fail
    with contextlib.suppress(RolloutError):
        put(host, order("a", login=LOGIN))
    assert left(host) == []


def test_a_refused_login_is_a_sentence_and_nothing_is_pulled(host):
    host.engine.fail = {"login": "Error response from daemon: unauthorized"}
    assert refused(host, order("a", login=LOGIN)) == (
        "Registry r.example:5000 does not let user karl log in from this host: Error response from daemon: unauthorized. Check "
        "rollout_registry_username and rollout_registry_password (vaulted)."
    )
    assert not any(c.startswith("pull") for c in host.engine.calls)
    assert not host.store.path.exists()


def test_without_a_user_and_without_a_pull_there_is_no_login(host):
    put(host, order("a"))
    put(host, order("a", login=LOGIN))
    put(host, order("b", login=LOGIN), check=True)
    assert host.engine.passwords == []
    assert {config for _call, config in host.engine.configs} == {""}


def test_restage_logs_in_where_an_image_vanished(host):
    host.rollout("a")
    stage.restage(host.store, host.engine, "sha-aaaaaaa", False, LOGIN)
    assert host.engine.passwords == []
    del host.engine.images[f"{WEB}@{digest('a')}"]
    stage.restage(host.store, host.engine, "sha-aaaaaaa", True, LOGIN)
    assert host.engine.passwords == []
    stage.restage(host.store, host.engine, "sha-aaaaaaa", False, LOGIN)
    assert host.engine.passwords == ["canary-pw"]
    assert left(host) == []
