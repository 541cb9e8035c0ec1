from __future__ import annotations

import pytest
from ansible.module_utils.rollout import settle, stage
from ansible.module_utils.rollout.errors import RolloutError
from fake_engine import digest
from story import JOB, WEB, Host, order
from story import stack as text_of


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "state")


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
    host.switch("sha-aaaaaaa", "back").switch(False)
    done = settle.confirm(host.store, host.engine, "sha-aaaaaaa", "back", "rollback", keep, False)
    assert done["removed"] == ["sha-bbbbbbb"]
    host.switch("sha-ccccccc", "back").switch(False)
    assert settle.reverted(host.store, "back", "sha-ccccccc")["changed"]
    # The next one takes away what is not needed then.
    assert host.rollout("d", keep=keep)["removed"] == ["sha-aaaaaaa"]


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 9])
def test_keep(host, keep):
    for letter in "abcd":
        host.rollout(letter, keep=keep)
    assert len(host.store.names()) == min(4, max(2, keep))


def test_an_image_that_a_kept_release_shares_stays(host):
    shared = {WEB: {"digest": digest("a"), "platforms": {}}}
    for letter in "abc":
        images = {**order(letter).images, **shared}
        host.rollout(letter, keep=1, images=images)
    assert "sha-aaaaaaa" not in host.store.names()
    assert f"{WEB}@{digest('a')}" in host.engine.images
    assert f"{JOB}@{digest('a')}" not in host.engine.images


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
        f"Old release sha-aaaaaaa stays: {data.parent} holds pgdata, which no rollout wrote. Move that to a place of its own, and "
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
    host.switch(name, "r").switch(False)
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
    host.switch("sha-aaaaaaa", "run-a").remove(False)
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
