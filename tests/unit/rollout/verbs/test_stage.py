from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import gpu, machine, sockets, torch_check
from ansible.module_utils.rollout.io.images import Login
from ansible.module_utils.rollout.verbs import candidate, observe, restage, settle, stage
from fake_engine import digest, image_id
from story import EXTRA, FILE, JOB, LOGIN, WEB, order, ports_of, shown
from story import stack as text_of


def put(host, asked, check=False):
    return stage.stage(host.store, host.engine, asked, check)


def of(platforms):
    """What a registry says of the images of release a: ``platforms`` of each reference."""
    references = ("postgres:17", f"{WEB}:sha-aaaaaaa", f"{JOB}:sha-aaaaaaa")
    return {r: {"digest": digest("d" if ":17" in r else "a"), "platforms": platforms(r)} for r in references}


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
    assert manifest["images"] == {
        f"{WEB}:sha-bbbbbbb": {"digest": digest("b"), "id": image_id("b"), "follows": True},
        f"{JOB}:sha-bbbbbbb": {"digest": digest("b"), "id": image_id("b"), "follows": True},
        "postgres:17": {"digest": digest("d"), "id": image_id("d")},
    }
    assert manifest["stacks"] == ["core"]
    assert manifest["secrets"] == ["PW"]
    assert manifest["run"] == "run-b"
    assert set(manifest["files"]) == {"core/.env", FILE, "core/rollout.pins.json"}
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
    assert [call for call in host.engine.calls if call.startswith("pull postgres")] == [f"pull postgres@{digest('d')}"]


def test_pulls_tell_how_far_they_are(host, told):
    host.engine.shown = [shown("300B/1kB"), shown("1kB/1kB")]
    put(host, order("a"))
    assert told == [
        *(
            {"step": "pull", "what": what, "done": done, "total": total}
            for what, total in (("postgres:17", 0), (f"{WEB}:sha-aaaaaaa", 1000), (f"{JOB}:sha-aaaaaaa", 1000))
            for done in (300, 1000)
        ),
    ]


def test_what_was_pulled_is_what_came(host):
    """Of a layer that this host has without an image of it, nothing comes: no list of images shows that before."""
    host.engine.shown = [shown("300B/300B"), "bdc8624d3fc6: Already exists\r\n"]
    result = put(host, order("a"))
    assert (result["to_pull"], result["pulled"]) == (2000, 3 * 300), "two images, and one outside the release"
    assert put(host, order("a"))["pulled"] == 0


def test_only_what_is_done_is_told(host, told):
    put(host, order("a"), check=True)
    assert told == []
    put(host, order("a"))
    told.clear()
    put(host, order("a"))
    assert told == []


def test_a_layer_of_two_images_comes_with_the_first(host, told):
    layers = [{"diff_id": "shared", "size": 900}]
    images = of(lambda reference: {"linux/amd64": [*layers, {"diff_id": reference, "size": 100}]})
    host.engine.shown = [shown("1B/2B")]
    put(host, order("a", images=images))
    assert [(t["what"], t["total"]) for t in told if "total" in t] == [
        ("postgres:17", 1000),
        (f"{WEB}:sha-aaaaaaa", 100),
        (f"{JOB}:sha-aaaaaaa", 100),
    ]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (order("a", secrets={"PW": ""}), "Secret PW is missing"),
        (order("a", environment={"PW": "x"}), "PW: given twice"),
        (order("a", environment={"A": True}), "The value of A is of type bool"),
        (
            order("a", "a: b: c"),
            "Reading docker-compose.core.yml failed: yaml: mapping values are not allowed",
        ),
        (
            order("a", json.dumps({"services": {}, "x-rollout": {"web": {}}})),
            "docker-compose.core.yml: x-rollout, or services in the inventory, names service web, which the file does not have.",
        ),
        (
            order("a", json.dumps({"services": {"web": {"image": "x", "volumes": [{"type": "bind", "source": "../x"}]}}})),
            "docker-compose.core.yml: services.web has the path '../x', which leaves the folder of the Compose file.",
        ),
        (
            order(
                "a",
                text_of("v", ("web", "cron")),
                images={"r/web:v": {"digest": digest("a")}, "postgres:17": {"digest": digest("d")}},
            ),
            "Service cron uses image r/cron:v, which is neither on this host nor was it found in its registry (found: postgres:17, "
            "r/web:v).",
        ),
        (
            order("a", text_of("v"), images={}),
            "Service db uses image postgres:17, which is neither on this host nor was it found in its registry (found: none).\n"
            "Service web uses image r/web:v, which is neither on this host nor was it found in its registry (found: none).\n"
            "Service job uses image r/job:v, which is neither",
        ),
        (
            order("a", images=of(lambda reference: {"linux/arm64": []})),
            "Image postgres:17 is for linux/arm64, but this host is linux/amd64: build it for linux/amd64 too.\n"
            "Image r/web:sha-aaaaaaa is for linux/arm64, but this host is linux/amd64: build it for linux/amd64 too.\n",
        ),
        (
            order("a", images=of(lambda reference: {"linux/amd64": [{"diff_id": reference, "size": 10**15}]})),
            "Not enough disk in /: needed 120000",
        ),
    ],
)
def test_refusals_touch_nothing(host, tmp_path, asked, sentence):
    assert refused(host, asked).startswith(sentence)
    assert host.engine.touched == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("disk", "inodes", "sentence"),
    [
        ({"/images": 0}, {}, "Not enough disk in /images: needed "),
        ({}, {"/images": 0}, "Not enough inodes in /images: needed "),
        ({"/scratch": 0}, {}, "Not enough disk in /scratch: needed "),
        ({}, {"/scratch": 0}, "Not enough inodes in /scratch: needed "),
    ],
)
def test_each_disk_that_staging_needs_is_looked_at(host, monkeypatch, disk, inodes, sentence):
    facts = host.engine.facts()
    monkeypatch.setattr(type(host.engine), "facts", lambda self, compose=True: {**facts, "data": "/images"})
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.setattr(machine, "free_bytes", lambda path: disk.get(path, 10**12))
    monkeypatch.setattr(machine, "free_inodes", lambda path: inodes.get(path, 10**9))
    for check in (True, False):
        assert refused(host, order("a"), check).startswith(sentence)
    assert host.engine.touched == []


def test_what_is_here_needs_no_disk(host, monkeypatch):
    host.rollout("a")
    monkeypatch.setattr(machine, "free_bytes", lambda path: 0)
    monkeypatch.setattr(machine, "free_inodes", lambda path: 0)
    assert not put(host, order("a"))["changed"]


def test_an_image_for_another_processor_is_refused_though_it_is_here(host):
    put(host, order("a"))
    host.engine.calls = []
    images = of(lambda reference: {"linux/arm64": []})
    assert refused(host, order("a", images=images)).splitlines() == [
        f"Image {image} is for linux/arm64, but this host is linux/amd64: build it for linux/amd64 too." for image in images
    ]
    assert host.engine.touched == []


def test_what_compose_says_of_a_relative_path_names_it_as_it_was_written(host, monkeypatch):
    run = host.engine.run

    def fails(words, *rest, **options):
        place = words[4]
        said = f"env file {place}/web.env not found: stat {place}/web.env: no such file or directory; {place} is read"
        return (1, "", said) if "config" in words else run(words, *rest, **options)

    monkeypatch.setattr(host.engine, "run", fails)
    assert refused(host, order("a")) == (
        "Reading docker-compose.core.yml failed: env file web.env not found: stat web.env: no such file or directory; its folder is "
        "read"
    )


def test_a_port_that_another_project_holds(host):
    host.engine.ports = [(Port(8000), "other")]
    assert refused(host, order("a", ports_of(8000))).startswith(
        "Port 8000, which service web publishes, is held by container or project other:"
    )
    host.engine.ports = [(Port(8000), "app-core")]
    put(host, order("a", ports_of(8000)))


def test_a_port_that_a_process_holds(host, monkeypatch):
    monkeypatch.setattr(sockets, "listener", lambda port: f"process nginx (pid {port.number})")
    assert "is held by process nginx (pid 8000)" in refused(host, order("a", ports_of(8000)))


def test_an_address_that_the_host_does_not_have(host):
    said = refused(host, order("a", ports_of(8000, host_ip="192.0.2.1")))
    assert said.startswith("Port 192.0.2.1:8000, which service web publishes, is on address 192.0.2.1, which this host does not")


def test_a_port_of_another_protocol_or_address_is_nobodys_business(host, monkeypatch):
    # Whatever listens on this machine.
    monkeypatch.setattr(sockets, "listener", lambda port: "")
    host.engine.ports = [(Port(8000, "udp"), "other"), (Port(8000, address="127.0.0.2"), "other")]
    put(host, order("a", ports_of(8000, host_ip="127.0.0.1")))


def test_a_failed_pull_leaves_no_release(host):
    host.engine.fail = {f"pull {WEB}": "manifest unknown"}
    assert refused(host, order("a")) == f"Image {WEB}@{digest('a')} could not be pulled: manifest unknown"
    assert host.store.names() == []
    assert not host.store.path.exists()


def torch(monkeypatch, verdict="pass", reason="ok"):
    asked = []

    def check(engine, service, expected, limit_s, host):
        asked.append((service["image"], expected, host))
        _verdict, fault, remedy = reasons.REASONS[reason]
        return {
            "verdict": verdict,
            "reason": reason,
            "expected": str(expected),
            "observed": "torch 2",
            "fault": fault,
            "remedy": remedy,
        }

    monkeypatch.setattr(torch_check, "in_image", check)
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
    monkeypatch.setattr(torch_check, "in_container", lambda *a: {"verdict": "pass"})
    text = text_of("v", ("web",), torch="cuda")
    monkeypatch.setattr(gpu, "facts", lambda engine: GOOD_HOST)
    if back:
        host.rollout("a", text=text)
    monkeypatch.setattr(gpu, "facts", lambda engine: {"driver": {"loaded": "580.65.06", "installed": "590.44.01"}})
    host.engine.calls = []
    with pytest.raises(RolloutError) as error:
        restage.restage(host.store, host.engine, "sha-aaaaaaa", False) if back else put(host, order("a", text))
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
    monkeypatch.setattr(torch_check, "in_container", lambda *a: {"verdict": "pass"})
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


def test_a_stack_that_is_asked_for_no_more_is_told_as_long_as_it_is_there(host):
    host.extended()
    preview = put(host, order("c"), check=True)["preview"]
    assert preview["left"] == {"extra": "app-extra"}
    assert put(host, order("c", stacks=EXTRA), check=True)["preview"]["left"] == {}
    row = next(r for r in observe.services(host.store, host.engine, "app", ["core"]) if r["stack"] == "extra")
    assert (row["service"], row["release"]) == ("job", "sha-aaaaaaa")
    assert row["drift"] == [
        "belongs to a stack that the inventory does not give to this host any more. To remove it (volumes are kept), run there: docker "
        "compose --project-name app-extra down"
    ]
    host.engine.made = [made for made in host.engine.made if not made["Name"].startswith("/app-extra")]
    assert put(host, order("c"), check=True)["preview"]["left"] == {}
    assert all(r["stack"] == "core" for r in observe.services(host.store, host.engine, "app", ["core"]))


def test_what_is_there_whole_and_was_stable_is_ready_and_settled_where_it_runs(host):
    host.rollout("a")
    again = stage.stage(host.store, host.engine, order("a"), True)
    assert (again["ready"], again["preview"]["settled"]) == (True, True)
    other = stage.stage(host.store, host.engine, order("b"), True)
    assert (other["ready"], other["preview"]["settled"]) == (False, False)
    put(host, order("b"))
    assert not stage.stage(host.store, host.engine, order("b"), True)["ready"], "it was never proven"
    host.rollout("b")
    back = restage.restage(host.store, host.engine, "sha-aaaaaaa", True)
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
    host.bring("sha-aaaaaaa", "run-a")
    settle.confirm(host.store, host.engine, "sha-aaaaaaa", "run-a", "rollout", 5, False)
    found = restage.candidate_of(host.store, host.engine, "sha-aaaaaaa", None)
    wanted = [replace(service, torch=Expectation(torch)) for service in found.services["core"]]
    found = candidate.preview(host.store, host.engine, replace(found, services={"core": wanted}))
    assert [row["action"] for row in found["services"]] == ["keep"]
    assert found["settled"] is settled


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("how", ["edited", "gone", "torn", "moved"])
def test_a_stable_release_that_could_not_be_brought_back_is_not_left(host, how, check):
    host.rollout("a")
    host.spoil("sha-aaaaaaa", how)
    host.engine.calls = []
    said = refused(host, order("b"), check)
    assert said.startswith(
        "Refusing to replace stable release sha-aaaaaaa, because it could not be restored if sha-bbbbbbb fails: "
    )
    assert said.endswith(
        ". Roll sha-aaaaaaa out first (ansible-playbook rollout.yml -e sha=aaaaaaa), which stages it again. Or give up the "
        f"possibility of a rollback: move {host.store.path} away."
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
    assert "could not be restored if sha-bbbbbbb fails: Image r/job@" in refused(host, order("b"))


def test_a_damaged_release_that_nobody_needs_is_only_told_of(host):
    for letter in "abcd":
        host.rollout(letter)
    host.spoil("sha-aaaaaaa", "torn")
    done = host.rollout("e", keep=2)
    assert done["removed"] == ["sha-bbbbbbb", "sha-ccccccc"]
    (left,) = done["left"]
    assert left.startswith("Old release sha-aaaaaaa stays: Release sha-aaaaaaa is incomplete: ")


def test_a_login_lasts_as_long_as_the_pull_and_leaves_nothing(host):
    put(host, order("a", login=LOGIN))
    calls = dict(host.engine.configs)
    # karl:canary-pw
    assert host.engine.logins == [{"r.example:5000": {"auth": "a2FybDpjYW5hcnktcHc="}}]
    (config,) = {used for used in calls.values() if used}
    assert config.startswith(str(host.store.root / ".login."))
    pulls = {c: config for c, config in calls.items() if c.startswith("pull")}
    assert len(pulls) == 3, "those outside the release too"
    assert set(pulls.values()) == {config}
    assert all(c.startswith(("pull", "tag")) for c, used in calls.items() if used)
    assert host.left_of_login() == []
    assert "canary" not in json.dumps(host.engine.calls) + repr(LOGIN)


@pytest.mark.parametrize(
    ("registry", "asked"),
    [
        ("kpiteira", "https://index.docker.io/v1/"),
        ("ghcr.io/kpiteira", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("r.example/a/b", "r.example"),
    ],
)
def test_a_login_asks_the_registry_that_the_images_are_of(host, registry, asked):
    put(host, order("a", login=Login(registry, "karl", "canary-pw")))
    assert [[*login] for login in host.engine.logins] == [[asked]]


@pytest.mark.parametrize("fail", [{}, {"pull": "manifest unknown"}, {"pull": "unauthorized"}])
def test_the_login_is_gone_even_where_the_pull_fails(host, fail):
    host.engine.fail = fail
    with contextlib.suppress(RolloutError):
        put(host, order("a", login=LOGIN))
    assert host.left_of_login() == []


def test_a_refused_login_is_a_sentence_and_nothing_is_recorded(host):
    host.engine.fail = {"pull": "Error response from daemon: unauthorized"}
    image = f"postgres@{digest('d')}"
    assert refused(host, order("a", login=Login("r", "karl", "canary-pw"))) == (
        f"Registry docker.io does not let user karl pull {image} on this host: Error response from daemon: unauthorized. Check "
        "rollout_registry_username and rollout_registry_password (vaulted), and whether that user may read the image."
    )
    assert [c for c in host.engine.calls if c.startswith("pull")] == [f"pull {image}"], "another try is of no use"
    assert not host.store.path.exists()


def test_without_a_user_and_without_a_pull_there_is_no_login(host):
    put(host, order("a"))
    put(host, order("a", login=LOGIN))
    put(host, order("b", login=LOGIN), check=True)
    assert host.engine.logins == []
    assert {config for _call, config in host.engine.configs} == {""}
