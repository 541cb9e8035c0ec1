from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.bundle import File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock as clocks
from ansible.module_utils.rollout.io import http
from ansible.module_utils.rollout.verbs import settle, stage
from ansible.module_utils.rollout.verbs.gates import Gates
from fake_engine import digest
from story import JOB, STOP, WEB, draining, failure, held, on_gpu, order
from story import stack as text_of


def test_confirm_makes_the_release_stable(host):
    assert host.rollout("a") == {"changed": True, "removed": [], "left": []}
    assert host.store.ledger().stable.release == "sha-aaaaaaa"
    assert host.store.ledger().interrupted is None


def test_check_mode_writes_nothing(host):
    host.rollout("a")
    events, host.engine.calls = host.events(), []
    assert settle.confirm(host.store, host.engine, "sha-aaaaaaa", "r", "rollout", 1, True) == {
        "changed": True,
        "removed": [],
        "left": [],
    }
    assert (host.events(), host.engine.calls) == (events, [])


def test_old_releases_go_with_their_images(host):
    for letter in "abc":
        done = host.rollout(letter, keep=1)
    assert done["removed"] == ["sha-aaaaaaa"]
    assert host.store.names() == ["sha-bbbbbbb", "sha-ccccccc"], "the present and the previous one stay in any case"
    left = [i for i in host.engine.images if "aaaaaaa" in i]
    assert left == []
    for letter in "bc":
        assert f"{WEB}@{digest(letter)}" in host.engine.images
        assert f"{JOB}@{digest(letter)}" in host.engine.images
    assert host.events()[-2:] == [("confirmed", "sha-ccccccc"), ("removed", "sha-aaaaaaa")]
    assert not any("--force" in c or "-f" in c.split() for c in host.engine.calls)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_rollback_keeps_what_the_host_may_still_go_back_to(host, keep):
    """Another one may be lost at its confirmation."""
    for letter in "abc":
        host.rollout(letter)
    host.bring("sha-aaaaaaa", "back")
    done = settle.confirm(host.store, host.engine, "sha-aaaaaaa", "back", "rollback", keep, False)
    assert done["removed"] == ["sha-bbbbbbb"]
    host.bring("sha-ccccccc", "back")
    assert settle.reverted(host.store, "back", "sha-ccccccc")["changed"]
    # The next one takes away what is not needed then.
    assert host.rollout("d", keep=keep)["removed"] == ["sha-aaaaaaa"]


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 9])
def test_keep(host, keep):
    for letter in "abcd":
        host.rollout(letter, keep=keep)
    assert len(host.store.names()) == min(4, max(2, keep))


def test_an_image_that_a_kept_release_shares_stays(host):
    for letter in "abc":
        known = order(letter).images
        images = {
            **known,
            f"{WEB}:sha-{letter * 7}": {**known[f"{WEB}:sha-{letter * 7}"], "digest": digest("a"), "platforms": {}},
        }
        host.rollout(letter, keep=1, images=images)
    assert "sha-aaaaaaa" not in host.store.names()
    assert f"{WEB}@{digest('a')}" in host.engine.images
    assert f"{JOB}@{digest('a')}" not in host.engine.images


def mounting(letter, content):
    """A release whose services web and db mount a file of that content."""
    document = json.loads(text_of(f"sha-{letter * 7}"))
    for service in ("web", "db"):
        document["services"][service]["volumes"] = [
            {"type": "bind", "source": "./a.conf", "target": "/a.conf", "read_only": True, "bind": {}}
        ]
    asked = order(letter, json.dumps(document))
    bundle = asked.stacks["core"]
    files = {**bundle.files, "a.conf": File(content)}
    return replace(asked, stacks={"core": replace(bundle, files=files, paths=("a.conf",))})


def rollout(host, asked, keep=1):
    name = stage.stage(host.store, host.engine, asked, False)["name"]
    host.bring(name, asked.run)
    return settle.confirm(host.store, host.engine, name, asked.run, "rollout", keep, False)


def contents(host):
    """What the files say that lie below files/, each with its place."""
    return {path.read_text(): path for path in host.store.content.root.rglob("*") if path.is_file()}


def test_mounted_files_go_with_the_last_release_that_needs_them(host):
    for letter, content in zip("abc", (b"1", b"2", b"2"), strict=True):
        done = rollout(host, mounting(letter, content))
    assert (done["removed"], done["left"]) == (["sha-aaaaaaa"], [])
    assert set(contents(host)) == {"2"}
    for letter in "de":
        rollout(host, order(letter))
    assert contents(host) == {}


def test_what_a_container_mounts_stays(host, monkeypatch):
    """A kept service runs on what the release had that started it."""
    rollout(host, mounting("a", b"1"))
    there = contents(host)["1"]
    monkeypatch.setattr(host.engine, "mounted", lambda having: {str(there), "/srv/other", "/"})
    for letter in "bcd":
        rollout(host, mounting(letter, letter.encode()))
    assert set(contents(host)) == {"1", "c", "d"}
    assert host.engine.running()["db"] == "c1"
    monkeypatch.setattr(host.engine, "mounted", lambda having: set())
    rollout(host, order("e"))
    assert set(contents(host)) == {"d"}


def test_while_it_is_not_known_what_a_release_mounts_all_of_it_stays(host):
    for letter in "ab":
        rollout(host, mounting(letter, letter.encode()))
    host.spoil("sha-aaaaaaa", "torn")
    for letter in "cde":
        done = rollout(host, order(letter))
    assert len(done["left"]) == 1
    assert set(contents(host)) == {"a", "b"}


def test_an_image_of_a_service_beside_the_release_is_never_removed(host):
    """It may be anybody's: only what follows the release is its own."""
    for letter in "abc":
        host.rollout(letter, keep=1)
    assert f"postgres@{digest('d')}" in host.engine.images
    assert not [call for call in host.engine.calls if call.startswith("image rm postgres")]


def test_an_image_that_is_in_use_is_left(host):
    host.engine.fail = {"image rm": "conflict: unable to remove repository reference (must force)"}
    for letter in "abc":
        done = host.rollout(letter, keep=1)
    assert done["removed"] == ["sha-aaaaaaa"]
    assert f"{WEB}@{digest('a')}" in host.engine.images


def test_what_no_rollout_wrote_is_never_removed(host):
    host.rollout("a")
    data = host.store.directory("sha-aaaaaaa") / "pgdata"
    data.mkdir()
    (data / "PG_VERSION").write_text("16")
    for letter in "bcd":
        done = host.rollout(letter, keep=1)
    assert done["removed"] == ["sha-bbbbbbb"], "the others go"
    assert done["left"] == [
        f"Old release sha-aaaaaaa stays: {data.parent} holds pgdata, which no rollout wrote. Move pgdata to a place of their own, and "
        "use an absolute path or a named volume."
    ]
    assert (data / "PG_VERSION").read_text() == "16"
    assert ("removed", "sha-aaaaaaa") not in host.events()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(13, "Permission denied", "/x/pgdata"), "Permission denied (/x/pgdata)."),
        (OSError("odd"), "odd ({releases})."),
        (RolloutError("The ledger cannot be written."), "The ledger cannot be written."),
    ],
)
def test_a_release_is_stable_where_old_ones_cannot_be_removed(host, monkeypatch, error, said):
    def fails(*_any):
        raise error

    for letter in "ab":
        host.rollout(letter)
    monkeypatch.setattr(host.store, "remove", fails)
    done = host.rollout("c", keep=1)
    assert done == {
        "changed": True,
        "removed": [],
        "left": [f"Old releases are still there: {said.format(releases=host.store.releases)}"],
    }
    assert host.store.ledger().stable.name == "sha-ccccccc"


def test_what_was_staged_and_never_confirmed_goes(host):
    host.rollout("a")
    stage.stage(host.store, host.engine, order("x"), False)
    assert host.rollout("b")["removed"] == ["sha-xxxxxxx"]
    assert host.store.ledger().staged == ["sha-aaaaaaa", "sha-bbbbbbb"]


def test_a_rollback_goes_back_in_the_history(host):
    for letter in "abc":
        host.rollout(letter)
    settle.confirm(host.store, host.engine, "sha-bbbbbbb", "r", "rollback", 5, False)
    ledger = host.store.ledger()
    assert (ledger.stable.name, ledger.previous.name) == ("sha-bbbbbbb", "sha-aaaaaaa")


def test_reverted_closes_an_open_run_once(host):
    host.rollout("a")
    assert settle.reverted(host.store, "r", "sha-aaaaaaa") == {"changed": False}
    name = stage.stage(host.store, host.engine, order("b", text_of("v")), False)["name"]
    host.bring(name, "r")
    assert settle.reverted(host.store, "r", "sha-aaaaaaa") == {"changed": True}
    assert host.events()[-1] == ("reverted", "sha-aaaaaaa")
    assert settle.reverted(host.store, "r", "sha-aaaaaaa") == {"changed": False}


def test_reverted_after_confirm_takes_it_back_like_a_rollback(host):
    for letter in "abc":
        host.rollout(letter)
    assert settle.reverted(host.store, "run-c", "sha-bbbbbbb") == {"changed": True}
    ledger = host.store.ledger()
    assert (ledger.stable.name, ledger.stable.run, ledger.previous.name) == ("sha-bbbbbbb", "run-c", "sha-aaaaaaa")
    assert ledger.closed["action"] == "rollback"
    assert settle.reverted(host.store, "run-c", "sha-bbbbbbb") == {"changed": False}, "once"
    assert host.store.names() == ["sha-aaaaaaa", "sha-bbbbbbb", "sha-ccccccc"]


def test_reverted_after_another_run_confirmed_takes_nothing_back(host):
    for letter in "ab":
        host.rollout(letter)
    assert settle.reverted(host.store, "run-x", "sha-aaaaaaa") == {"changed": False}
    assert host.store.ledger().stable.name == "sha-bbbbbbb"


def test_reverted_after_confirming_the_first_release_ever(host):
    host.rollout("a")
    host.remove("sha-aaaaaaa", "run-a")
    assert settle.reverted(host.store, "run-a", "") == {"changed": True}
    ledger = host.store.ledger()
    assert (ledger.stable, ledger.known, ledger.open, ledger.armed) == (None, [], [], None)
    assert set(host.engine.running()) == {"db"}
    assert settle.reverted(host.store, "run-a", "") == {"changed": False}
    # What it was reverted by is as good as new.
    host.rollout("a")
    assert host.store.ledger().stable.name == "sha-aaaaaaa"


@pytest.mark.parametrize(("behind", "facts"), [((), {}), (("h2",), {"behind": ["h2"]})])
def test_confirm_records_who_was_left_out(host, behind, facts):
    host.rollout("a")
    settle.confirm(host.store, host.engine, "sha-aaaaaaa", "r", "rollout", 5, False, behind)
    closed = host.store.ledger().closed
    assert {k: v for k, v in closed.items() if k == "behind"} == facts


@pytest.mark.parametrize("end", ["confirmed", "reverted"])
def test_both_ends_disarm(host, end):
    host.rollout("a")
    host.store.append("armed", "r", name="sha-aaaaaaa", timeout=900, boot="b", clock=1)
    assert host.store.ledger().armed
    if end == "confirmed":
        settle.confirm(host.store, host.engine, "sha-aaaaaaa", "r", "rollout", 5, False)
    else:
        assert settle.reverted(host.store, "r", "sha-aaaaaaa") == {"changed": True}
    assert host.store.ledger().armed is None


@pytest.mark.parametrize(
    ("reason", "holds"), [("ok", True), ("out_of_memory", True), ("gpu_busy", True), ("gpu_lost", False), ("no_answer", False)]
)
def test_settling_proves_the_gpu_again_in_the_same_container(host, card, torch, reason, holds):
    host.rollout("a", text=on_gpu("a"))
    torch.seen.clear()
    torch.reason = reason
    host.look("sha-aaaaaaa")
    assert torch.seen == [], "only settling asks"
    if holds:
        assert not host.prove("sha-aaaaaaa")["changed"]
    else:
        sentence, facts = failure(lambda: host.prove("sha-aaaaaaa"))
        assert f"({reason})" in sentence
        assert facts["gate"] == "torch"
    assert torch.seen == [host.engine.running()["web"]]


def test_settling_does_not_prove_cpu_torch_again(host, torch):
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), torch="cpu"))
    torch.seen.clear()
    host.prove("sha-aaaaaaa")
    assert torch.seen == []


def test_what_is_proven_works_again_and_is_told_so_behind_its_gate(host, work, monkeypatch):
    host.rollout("a", text=draining("a"))
    name = host.staged("b", text=draining("b"))
    host.bring(name, "run-b")
    order_of = []
    hold = Gates.again
    monkeypatch.setattr(Gates, "again", lambda *a, **k: order_of.append("gate") or hold(*a, **k))
    tell = work.tell
    http.tell = lambda url, document: order_of.append(document["draining"]) or tell(url, document)
    host.prove(name, "run-b")
    assert order_of.index(False) > order_of.index("gate"), "before its gate nobody there may know it yet"
    # It has just started, and has to be registered first.
    answers = [Answer(STOP, 404, reason="not registered")] * 3 + [Answer(STOP, 200, operations=())]
    http.tell = lambda _url, _document: answers.pop(0)
    host.prove(name, "run-b")
    assert answers == []
    http.tell = work.tell
    work.at_hand = [Answer(STOP, 404, reason="not registered")]
    sentence, facts = failure(host.prove, name, "run-b")
    assert facts["gate"] == "drain"
    assert "it could not be told to take work again" in sentence


def test_where_nothing_is_switched_a_crash_fails_the_gate(host):
    host.rollout("a")
    assert host.prove("sha-aaaaaaa", calm=True)["services"][1]["restarts"] == 0
    host.edit("web", RestartCount=4)
    sentence, facts = failure(lambda: host.prove("sha-aaaaaaa", calm=True))
    assert sentence == (
        "Service web (stack core) does not pass on sha-aaaaaaa: it crashed and was restarted 4 times since it was started, and "
        "nothing was switched that could end that."
    )
    assert (facts["gate"], facts["restarts"], facts["idle"], facts["log"]) == ("container", 4, True, "the last line")
    # On the way back, and beside what is switched, it is told and no reason to fail.
    found = {row["service"]: row for row in host.prove("sha-aaaaaaa")["services"]}
    assert {name: row["restarts"] for name, row in found.items()} == {"db": 0, "web": 4, "job": 0}


def test_a_failure_on_the_way_to_a_release_is_not_that_of_the_stable_one(host):
    host.rollout("a")
    host.edit("web", State={"Health": {"Status": "unhealthy"}})
    assert failure(host.prove, "sha-aaaaaaa")[1]["idle"]
    name = host.staged("b")
    host.store.append("switching", "run-b", name=name, service="web")
    assert "idle" not in failure(host.prove, "sha-aaaaaaa")[1]


def then(monkeypatch, clock, at, happens):
    """Have something happen once the clock has come to ``at``."""
    sleep, due = clocks.sleep, [happens]

    def slept(seconds):
        sleep(seconds)
        if clock.time >= at and due:
            due.pop()()

    monkeypatch.setattr(clocks, "sleep", slept)


@pytest.mark.parametrize("service", ["web", "job"])
@pytest.mark.parametrize("made", [True, False])
def test_who_crashes_while_all_are_watched_fails_its_gate(host, monkeypatch, clock, made, service):
    """Also one that this run has not started, and that crashed long ago."""
    host.rollout("a")
    if made:
        name = host.staged("b")
        host.bring(name, "run-b")
    else:
        name = "sha-aaaaaaa"
        host.edit("web", RestartCount=2)
    began = clock.time

    def crashes():
        host.edit(service, RestartCount=3)

    then(monkeypatch, clock, began + 40, crashes)
    sentence, facts = failure(lambda: host.prove(name, "run-b", watch=60))
    assert f"Service {service} (stack core)" in sentence
    assert "crashed and was restarted" in sentence
    assert facts["gate"] == "container"
    assert 40 <= clock.time - began < 45


@pytest.mark.parametrize("state", ["restarting", "exited"])
def test_who_has_ended_at_the_look_fails_its_gate_with_its_log(host, state):
    host.rollout("a")
    name = host.staged("b")
    host.bring(name, "run-b")
    host.edit("web", State={"Status": state, "ExitCode": 3})
    sentence, facts = failure(host.prove, name, "run-b")
    assert f"does not pass on sha-bbbbbbb: it ended with exit status 3 ({state})" in sentence
    assert (facts["gate"], facts["log"]) == ("container", "the last line")


def test_who_turns_sick_while_all_are_watched_fails_its_gate(host, monkeypatch, clock):
    host.rollout("a")
    then(monkeypatch, clock, clock.time + 10, lambda: host.edit("web", State={"Health": {"Status": "unhealthy"}}))
    assert failure(lambda: host.prove("sha-aaaaaaa", watch=60))[1]["gate"] == "health"


def test_watching_takes_as_long_as_it_was_told_and_says_what_it_is_at(host, clock, told):
    host.rollout("a")
    began = clock.time
    told.clear()
    host.prove("sha-aaaaaaa", watch=60)
    assert 60 <= clock.time - began < 62
    watched = [facts for facts in told if facts["step"] == "watch"]
    assert watched[0] == {
        "step": "watch",
        "what": "all services",
        "waiting_for": "the end of the watch",
        "elapsed": 0.0,
        "deadline": 60,
    }
    began = clock.time
    host.prove("sha-aaaaaaa")
    assert clock.time == began


def test_watching_ends_when_the_run_loses_its_lock(host, monkeypatch, clock):
    host.rollout("a")
    held(host.store, "r9")
    with host.store.step("r9"):
        then(monkeypatch, clock, clock.time + 10, host.store.remove_lock)
        with pytest.raises(RolloutError) as error:
            host.prove("sha-aaaaaaa", "r9", watch=60)
    assert error.value.facts["fenced"] == "run"
