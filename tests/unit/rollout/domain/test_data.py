"""What the ledger says of the data: jobs in effect, jobs that a rollback crosses, backups that it restores, the way back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.rollout.domain import data, ledger
from hypothesis import given
from hypothesis import strategies as st

DB, OTHER = ("core", "db"), ("core", "other")


class Told:
    """A ledger that is written entry by entry; the run of an entry is that of the last `run`."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.by = "run-1"

    def say(self, event: str, **facts: Any) -> Told:
        number = len(self.entries) + 1
        self.entries.append({"seq": number, "event": event, "run": self.by, "at": f"2026-12-01T14:{number:02}:00Z", **facts})
        return self

    def run(self, name: str) -> Told:
        self.by = name
        return self

    def confirmed(self, letter: str, action: str = "rollout") -> Told:
        return self.say("confirmed", name=letter, release=letter, action=action)

    def reverted(self, letter: str) -> Told:
        return self.say("reverted", name=letter)

    def backup(self, number: str, kept: tuple[str, str] = DB) -> Told:
        return self.say("backup", backup=number, stack=kept[0], service=kept[1])

    def job(self, letter: str, compatible: bool = False, code: int | None = 0, name: str = "migrate") -> Told:
        facts = {"name": letter, "release": letter, "stack": "core", "job": name, "key": "k", "compatible": compatible}
        self.say("job", **facts)
        return self if code is None else self.say("ran", **facts, code=code)

    def restored(self, number: str, kept: tuple[str, str] = DB, ended: bool = True) -> Told:
        facts = {"backup": number, "stack": kept[0], "kept": kept[1], "why": "rollback"}
        self.say("restoring", **facts)
        return self.say("restored", **facts) if ended else self

    def switching(self, service: str = "web") -> Told:
        return self.say("switching", name="x", release="x", stack="core", service=service)

    @property
    def ledger(self) -> ledger.Ledger:
        return ledger.fold(self.entries)

    def stable(self, letter: str) -> ledger.Stable:
        return next(known for known in self.ledger.known if known.name == letter)

    def crossed(self, letter: str) -> list[str]:
        return [f"{job['job']} {job['release']}" for job in data.crossed(self.ledger, self.stable(letter))]

    def lacking(self, letter: str) -> list[str]:
        return [f"{job['job']} {job['release']}" for job in data.lacking(self.ledger, self.stable(letter))]

    def restores(self, letter: str) -> dict[str, str | None]:
        found = data.to_restore(self.ledger, self.stable(letter))
        return {service: entry["backup"] if entry else None for (_stack, service), entry in found.items()}

    def way(self, *kept: tuple[str, str]) -> tuple[list[str], list[str]]:
        way = data.way_back(self.ledger, kept or (DB,))
        return [entry["backup"] for entry in way.restore], [str(entry.get("job", entry["event"])) for entry in way.barred]


def two() -> Told:
    """Release a, then b with an incompatible job behind a backup."""
    told = Told().confirmed("a").run("run-2")
    return told.backup("b1").job("b").switching().confirmed("b")


def test_a_rollback_over_an_incompatible_job_crosses_it_and_restores_the_backup_before_it() -> None:
    told = two()
    assert told.crossed("a") == ["migrate b"]
    assert told.restores("a") == {"db": "b1"}
    assert told.crossed("b") == told.lacking("b") == told.lacking("a") == []
    assert data.undone(told.ledger) == set()


def test_a_compatible_job_is_never_crossed() -> None:
    told = Told().confirmed("a").backup("b1").job("b", compatible=True).confirmed("b")
    assert told.crossed("a") == []
    assert told.restores("a") == {}


def test_a_job_that_does_not_say_whether_it_is_compatible_is_not() -> None:
    told = Told().confirmed("a").say("job", name="b", release="b", stack="core", job="migrate", key="k").confirmed("b")
    assert told.crossed("a") == ["migrate b"]


def test_a_rollback_over_two_jobs_restores_the_oldest_backup() -> None:
    told = two().backup("b2").job("c").confirmed("c")
    assert told.crossed("a") == ["migrate b", "migrate c"]
    assert told.restores("a") == {"db": "b1"}
    assert told.restores("b") == {"db": "b2"}


def test_a_backup_behind_the_job_is_of_no_use_and_the_last_one_before_it_is() -> None:
    told = Told().confirmed("a").backup("daily").backup("b1").job("b").backup("later").confirmed("b")
    assert told.restores("a") == {"db": "b1"}
    told.say("dropped", backup="b1")
    assert told.restores("a") == {"db": "daily"}
    told.say("dropped", backup="daily")
    assert told.restores("a") == {"db": None}


def test_data_kept_once_is_known_to_the_release_that_was_confirmed_with_it() -> None:
    told = two().run("run-3").switching().confirmed("a", "rollback")
    assert told.crossed("a") == told.crossed("b") == told.lacking("b") == []


def test_data_kept_is_crossed_by_the_next_rollback_to_a_release_before() -> None:
    told = Told().confirmed("z").run("run-1").confirmed("a").backup("b1").job("b").confirmed("b").confirmed("a", "rollback")
    assert told.crossed("z") == ["migrate b"]
    assert told.restores("z") == {"db": "b1"}


def back() -> Told:
    """Back on a, with the data of before; backup p has the data of b."""
    return two().run("run-3").backup("p").restored("b1").switching().confirmed("a", "rollback")


def test_data_restored_takes_the_job_back() -> None:
    told = back()
    assert told.crossed("a") == told.lacking("a") == []
    assert {told.entries[seq - 1]["event"] for seq in data.undone(told.ledger)} == {"job", "ran"}


def test_a_release_whose_job_was_taken_back_lacks_it_until_it_runs_again() -> None:
    told = back()
    assert told.lacking("b") == ["migrate b"]
    assert told.restores("b") == {"db": "p"}
    told.run("run-4").backup("b2").job("b").switching().confirmed("b")
    assert told.lacking("b") == []
    assert told.crossed("a") == ["migrate b"]
    assert told.restores("a") == {"db": "b2"}


def test_a_later_release_without_a_job_of_its_own_lacks_that_of_the_one_before() -> None:
    told = two().confirmed("c").run("run-3").backup("p").restored("b1").confirmed("a", "rollback")
    assert told.lacking("c") == ["migrate b"]


def test_a_compatible_job_that_was_taken_back_is_lacking_too() -> None:
    told = Told().confirmed("a").backup("b1").job("b", compatible=True).confirmed("b").backup("p").restored("b1").confirmed("a")
    assert told.lacking("b") == ["migrate b"]


def test_nothing_relies_on_a_job_that_failed() -> None:
    told = Told().confirmed("a").backup("b1").job("b", compatible=True, code=1).confirmed("c").backup("p").restored("b1")
    told.confirmed("a", "rollback")
    assert told.lacking("c") == []


def test_the_backup_is_that_of_the_present_line() -> None:
    """After a restore and back again, what was written between is on a line that was given up."""
    told = back().run("run-4").backup("between").restored("p").confirmed("b", "rollback")
    assert told.crossed("a") == ["migrate b"]
    assert told.restores("a") == {"db": "b1"}
    assert data.undone(told.ledger) == set()


def test_two_databases_come_back_together() -> None:
    told = Told().confirmed("a").backup("b1").backup("o1", OTHER).job("b").confirmed("b")
    assert told.restores("a") == {"db": "b1", "other": "o1"}
    told.backup("p").restored("b1")
    # The job is to run again, and a rollback still crosses it in the other one.
    assert len(data.undone(told.ledger)) == 2
    assert told.crossed("a") == ["migrate b"]
    assert told.restores("a") == {"other": "o1"}


def test_without_a_backup_there_is_nothing_to_restore() -> None:
    told = Told().confirmed("a").run("run-2").job("b")
    assert told.way() == ([], ["migrate"])
    told.confirmed("b")
    assert told.crossed("a") == ["migrate b"]
    assert told.restores("a") == {}


def test_the_way_back_restores_while_no_released_service_was_started() -> None:
    told = Told().confirmed("a").run("run-2").say("quiesced", name="b", release="b", stack="core", services=["web"])
    assert told.way() == ([], [])
    told.backup("b1")
    assert told.way() == ([], [])
    told.job("b", code=None)
    assert told.way() == (["b1"], [])
    told.switching("db")
    assert told.way() == (["b1"], [])
    told.switching("web")
    assert told.way() == ([], ["migrate"])


def test_the_way_back_has_nothing_to_do_behind_a_restore_and_a_confirmation() -> None:
    told = Told().confirmed("a").run("run-2").backup("b1").job("b", code=1).restored("b1")
    assert told.way() == ([], [])
    assert two().way() == ([], [])
    assert two().reverted("b").way() == ([], [])


def test_a_compatible_job_changes_nothing_about_the_way_back() -> None:
    told = Told().confirmed("a").run("run-2").backup("b1").job("b", compatible=True).switching()
    assert told.way() == ([], [])


def test_a_restore_that_did_not_end_is_finished_on_the_way_back() -> None:
    told = Told().confirmed("a").run("run-2").backup("b1").job("b", code=1).restored("b1", ended=False)
    assert [entry["backup"] for entry in data.unfinished(told.ledger)] == ["b1"]
    assert told.way() == (["b1"], [])
    told.say("restored", backup="b1", stack="core", kept="db")
    assert data.unfinished(told.ledger) == []


def test_a_rollback_that_restored_goes_back_to_the_data_of_the_present() -> None:
    told = two().run("run-3").backup("p").restored("b1", ended=False)
    assert told.way() == (["p"], [])
    told.say("restored", backup="b1", stack="core", kept="db")
    assert told.way() == (["p"], [])
    told.switching()
    assert told.way() == ([], ["migrate"])


def test_only_a_backup_of_the_run_that_changed_the_data_is_restored_unasked() -> None:
    """Services have written since an older one."""
    told = Told().confirmed("a").run("daily").backup("b0").run("run-2").job("b")
    assert told.way() == ([], ["migrate"])


def test_the_backup_of_a_killed_run_counts_for_the_next_one() -> None:
    told = Told().confirmed("a").run("run-2").backup("b1").job("b", code=None)
    told.run("run-3").backup("b2").job("b", code=1)
    assert told.way() == (["b1"], [])


def test_without_a_stable_release_no_old_code_is_started() -> None:
    told = Told().run("run-1").backup("b1").job("b").switching()
    assert told.way() == ([], [])


def test_a_host_whose_fleet_has_run_a_job_elsewhere_is_barred() -> None:
    told = Told().confirmed("a").run("run-2").say("switching", name="b", release="b", across=["migrate"])
    assert told.way() == ([], ["switching"])
    own = Told().confirmed("a").run("run-2").backup("b1").job("b").say("switching", name="b", release="b", across=["migrate"])
    assert own.way() == ([], ["migrate"])


@pytest.mark.parametrize("removed", [False, True])
def test_backups_are_those_that_were_not_removed(removed: bool) -> None:
    told = Told().backup("b1").backup("b2")
    if removed:
        told.say("dropped", backup="b1")
    assert [entry["backup"] for entry in data.backups(told.ledger)] == ["b1", "b2"][removed:]


STEPS = st.lists(
    st.sampled_from(["run", "backup", "job", "good", "web", "db", "restore", "torn", "confirm", "revert"]), max_size=25
)


def _life(steps: list[str]) -> tuple[Told, set[str]]:
    """A ledger of these steps, and what has really been done to the data: the jobs in effect, as a machine would have them."""
    told, real, saved = Told().confirmed("a"), set[str](), dict[str, set[str]]()
    for count, step in enumerate(steps, 1):
        if step == "run":
            told.run(f"run-{count}")
        elif step == "backup":
            told.backup(f"b{count}")
            saved[f"b{count}"] = {*real}
        elif step in ("job", "good"):
            told.job(f"r{count}", compatible=step == "good")
            real.add(f"r{count}")
        elif step in ("web", "db"):
            told.switching(step)
        elif step in ("restore", "torn") and saved:
            number = [*saved][count % len(saved)]
            told.restored(number, ended=step == "restore")
            real = {*saved[number]}
        elif step == "confirm":
            told.confirmed(f"s{count}")
        elif step == "revert":
            told.reverted("a")
    return told, real


@given(STEPS)
def test_property_what_is_undone_is_what_is_not_in_effect(steps: list[str]) -> None:
    told, real = _life(steps)
    jobs = {entry["seq"]: entry["release"] for entry in told.ledger.data if entry["event"] == "job"}
    gone = data.undone(told.ledger) & set(jobs)
    if any(entry["event"] == "backup" for entry in told.ledger.data):
        assert {release for seq, release in jobs.items() if seq not in gone} == real
    else:
        assert not gone


@given(STEPS)
def test_property_a_restore_leads_to_data_that_the_target_knows(steps: list[str]) -> None:
    told, _real = _life(steps)
    for target in told.ledger.known:
        for entry in data.to_restore(told.ledger, target).values():
            if entry:
                after = ledger.fold(
                    [*told.entries, {"seq": 99, "event": "restoring", "run": "r", "backup": entry["backup"], "stack": "core"}]
                )
                after.data[-1].update(kept="db")
                assert data.crossed(after, target) == data.lacking(after, target) == []


@given(STEPS)
def test_property_the_way_back_never_restores_over_a_start(steps: list[str]) -> None:
    told, _real = _life(steps)
    way = data.way_back(told.ledger, [DB])
    assert not (way.restore and way.barred)
    started = [e["seq"] for e in told.ledger.open if e["event"] == "switching" and e["service"] == "web"]
    torn = {entry["backup"] for entry in data.unfinished(told.ledger)}
    for entry in way.restore:
        assert entry["backup"] in torn or not [seq for seq in started if seq > entry["seq"]]


@given(STEPS)
def test_property_behind_the_way_back_the_stable_release_meets_the_data_that_it_knows(steps: list[str]) -> None:
    """Or the way back says that it is barred."""
    told, _real = _life(steps)
    way = data.way_back(told.ledger, [DB])
    if not way.barred and told.ledger.stable:
        for entry in way.restore:
            told.restored(entry["backup"])
        again = data.way_back(told.ledger, [DB])
        assert again.restore == again.barred == []


@pytest.mark.parametrize("early", [True, False])
def test_what_the_run_of_a_job_did_not_save_is_none_of_its_data(early):
    """Somebody backs up another service by hand: the way back neither restores that nor is barred by it."""
    told = Told().confirmed("a").run("run-hand")
    if early:
        told.backup("hand-1", OTHER)
    told.run("run-2").backup("b1").job("b", code=1)
    assert told.way(DB, OTHER) == (["b1"], [])
    told.reverted("a").run("run-3").backup("b2").job("c").switching().confirmed("c")
    told.run("run-hand-2").backup("hand-2", OTHER)
    assert told.restores("a") == {"db": "b1"}
    assert told.run("run-4").restored("b1").crossed("a") == []
    assert {entry["seq"] for entry in told.ledger.data if entry["event"] == "job"} <= data.undone(told.ledger)


def test_a_job_whose_run_saved_nothing_may_have_changed_all():
    told = Told().confirmed("a").run("run-hand").backup("hand-1", OTHER).run("run-2").job("b", code=1)
    assert told.way(DB, OTHER) == ([], ["migrate"])
