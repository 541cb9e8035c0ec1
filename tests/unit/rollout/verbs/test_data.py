"""What a rollback, a revert and a guard do with the data behind a job that is not compatible."""

from __future__ import annotations

import json
import time

import pytest
from ansible.module_utils.rollout.agent import steps
from ansible.module_utils.rollout.domain import answers, data
from ansible.module_utils.rollout.domain.steps import STEPS
from ansible.module_utils.rollout.errors import RolloutError, outcome
from ansible.module_utils.rollout.io import machine
from ansible.module_utils.rollout.verbs import backups, guard, job_containers, jobs, quiet, settle, stage, switch
from ansible.module_utils.rollout.verbs.data import Data
from ansible.module_utils.rollout.verbs.jobs import Asked
from story import Host, failure, held, order, with_job

BACKUP = {"dump": ["app", "save"], "restore": ["app", "load"], "verify": ["app", "check"]}


def text(letter, backup=True, **keys):
    document = json.loads(with_job("sha-" + letter * 7, **keys))
    document["x-rollout"]["db"] = {"keep": True, **({"backup": BACKUP} if backup else {})}
    return json.dumps(document)


class Life(Host):
    """A host on which releases with an incompatible job come and go."""

    def staged(self, letter, **keys):
        return str(stage.stage(self.store, self.engine, order(letter, text(letter, **keys)), False)["name"])

    def prepared(self, letter, run, code=0):
        """What comes before the switch: quiesced, backed up, the job."""
        one = self.deployment(f"sha-{letter * 7}", run)
        self.engine.broken["run job"] = {"Status": "exited", "ExitCode": code}
        quiet.quiesce([one], lambda: None)
        jobs.save([one], ["job"], lambda: None)
        return jobs.before([one], Asked(), lambda: None)

    def released(self, letter, **keys):
        name = self.staged(letter, **keys)
        run = f"run-{letter}"
        if letter != "a":
            self.prepared(letter, run)
        self.bring(name, run)
        settle.confirm(self.store, self.engine, name, run, "rollout", 5, False)

    def data(self, run="run-x", name=""):
        return Data(self.store, self.engine, "app", run, [name] if name else [])

    def rolled_back(self, letter, word, run="run-r"):
        """A whole rollback; what was done to the data."""
        name = f"sha-{letter * 7}"
        self.data(run).look(name, word)
        quiet.quiesce([self.deployment(name, run)], lambda: None)
        done = self.data(run).bring(name, word)
        self.bring(name, run)
        settle.confirm(self.store, self.engine, name, run, "rollback", 5, False)
        return done

    def entries(self, *events):
        lines = [json.loads(line) for line in self.store.path.read_text().splitlines()]
        return [entry for entry in lines if entry["event"] in events]

    def backup(self, number=0):
        return self.entries("backup")[number]["backup"]

    def fed(self, word="load"):
        """How often a backup was read by that command."""
        return [pieces for last, pieces in self.engine.fed if last == word]

    def releases(self):
        """Service -> the release whose container runs."""
        labels = {self.engine._label(c, "service"): c for c in self.engine.made if c["State"]["Status"] == "running"}
        return {name: c["Config"]["Image"].partition("@")[2][7:8] for name, c in labels.items()}


@pytest.fixture
def life(tmp_path, monkeypatch):
    seconds = iter(range(10**6))
    monkeypatch.setattr(machine, "now", lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(next(seconds))))
    monkeypatch.setattr(machine, "age", lambda at: 37 * 60.0)
    one = Life(tmp_path / "state")
    one.released("a")
    return one


def test_a_rollback_across_the_job_is_refused_and_says_both_ways(life):
    life.released("b")
    said, _facts = failure(life.data().look, "sha-aaaaaaa", "")
    assert said == (
        "sha-aaaaaaa may not know what job job (release sha-bbbbbbb) did to the data since it ran here. Say what the data may do. As "
        f"it was: ansible-playbook rollback.yml -e sha=aaaaaaa -e data=restore brings back {life.backup()} of db (1970-01-01 00:00 UTC, "
        "4 B). Data since 00:00 UTC (37 min ago) is then only in a backup that is taken first. As it is: ansible-playbook rollback.yml "
        "-e sha=aaaaaaa -e data=keep loses nothing, but sha-aaaaaaa meets a schema that it may not know."
    )


def test_the_code_from_before_the_job_does_not_come_back_by_a_rollout(life):
    life.released("b")
    images = life.store.manifest("sha-aaaaaaa")["images"]
    said, _facts = failure(life.data().require_not_older, "sha-aaaaaaa", images)
    assert said == (
        "sha-aaaaaaa was stable here before job job (release sha-bbbbbbb) changed the data, and asks nothing when it comes by a "
        "rollout. Roll back to it: ansible-playbook rollback.yml -e sha=aaaaaaa -e data=restore, or -e data=keep."
    )
    moved = {reference: {"digest": "sha256:" + "9" * 64} for reference in images}
    for release, found in (("sha-aaaaaaa", moved), ("sha-bbbbbbb", images), ("sha-ccccccc", images)):
        life.data().require_not_older(release, found)
    life.rolled_back("a", "restore")
    life.data().require_not_older("sha-bbbbbbb", life.store.manifest("sha-bbbbbbb")["images"])
    # Killed in its own job, it comes again.
    life.store.append(
        "job", "run-k", name="sha-bbbbbbb", release="sha-bbbbbbb", stack="core", job="job", key="k", compatible=False
    )
    life.data().require_not_older("sha-bbbbbbb", life.store.manifest("sha-bbbbbbb")["images"])


def test_restore_says_what_comes_back_and_keep_what_is_met(life):
    life.released("b")
    assert [row["backup"] for row in life.data().look("sha-aaaaaaa", "restore")["restore"]] == [life.backup()]
    assert life.data().look("sha-aaaaaaa", "keep") == {
        "notes": [
            "data=keep: sha-aaaaaaa meets what job job (release sha-bbbbbbb) did to the data. Nothing of the data is changed."
        ]
    }
    assert not life.fed(), "nothing was touched"


def test_restore_without_a_backup_is_refused(life):
    life.released("b", backup=False)
    said, _facts = failure(life.data().look, "sha-aaaaaaa", "restore")
    assert said.startswith("data=restore is not possible: no backup of any service from before job job (release sha-bbbbbbb)")
    said, _facts = failure(life.data().look, "sha-aaaaaaa", "")
    assert "it cannot come back, for no backup of any service from before that job is on this host." in said


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_restore_of_a_damaged_backup_is_refused(life, how):
    life.released("b")
    file = life.store.root / "backups" / life.entries("backup")[0]["file"]
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"rowz")
    said, _facts = failure(life.data().look, "sha-aaaaaaa", "restore")
    assert said.startswith(f"data=restore is not possible: Backup {life.backup()} cannot be used: its file")
    assert said.endswith("ansible-playbook rollback.yml -e sha=aaaaaaa -e data=keep")


def test_restore_where_nothing_is_crossed_says_so(life):
    life.released("b", compatible=True)
    assert life.data().look("sha-aaaaaaa", "") == {}
    assert life.data().look("sha-aaaaaaa", "restore")["notes"] == [
        "data=restore: no job that is not compatible was begun here since sha-aaaaaaa was confirmed, so nothing is restored here."
    ]


def test_a_rollback_that_restores_saves_the_present_first(life):
    life.released("b")
    done = life.rolled_back("a", "restore")
    assert [row["backup"] for row in done["restored"]] == [life.backup(0)]
    assert [row["backup"] for row in done["backups"]] == [life.backup(1)]
    assert life.fed() == [b"rows"]
    assert [e["event"] for e in life.entries("quiesced", "backup", "restoring", "restored", "switching")][-5:-1] == [
        *("quiesced", "backup", "restoring", "restored"),
    ]
    assert life.releases()["web"] == "a"


def test_the_job_that_was_taken_back_runs_again_and_is_crossed_again(life):
    life.released("b")
    life.rolled_back("a", "restore")
    said, _facts = failure(life.data().look, "sha-bbbbbbb", "")
    assert said.startswith(
        "sha-bbbbbbb needs what job job (release sha-bbbbbbb) did to the data. A restore took that back, and a rollback runs no job. "
        "Roll it out: ansible-playbook rollout.yml -e sha=bbbbbbb (its jobs run again). Or with the data that it had: ansible-playbook rollback.yml"
    )
    assert failure(life.data().look, "sha-bbbbbbb", "keep")[0].startswith("sha-bbbbbbb needs what")
    assert [row["backup"] for row in life.data().look("sha-bbbbbbb", "restore")["restore"]] == [life.backup(1)]
    assert len(life.prepared("b", "run-again")["jobs"]) == 1
    life.bring("sha-bbbbbbb", "run-again")
    settle.confirm(life.store, life.engine, "sha-bbbbbbb", "run-again", "rollout", 5, False)
    assert [row["backup"] for row in life.data().look("sha-aaaaaaa", "restore")["restore"]] == [life.backup(2)]


def test_data_kept_is_asked_for_once(life):
    life.released("b")
    assert life.rolled_back("a", "keep") == {"changed": False, "restored": [], "backups": []}
    assert life.data().look("sha-aaaaaaa", "") == life.data().look("sha-bbbbbbb", "") == {}
    assert not life.fed()


def test_a_rollback_over_two_jobs_restores_the_oldest_backup(life):
    life.released("b")
    life.released("c")
    assert [row["backup"] for row in life.rolled_back("a", "restore")["restored"]] == [life.backup(0)]


def test_a_failed_job_is_undone_before_the_old_release_comes_back(life):
    life.staged("b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    done = life.data("run-b").come_back()
    assert [row["backup"] for row in done["restored"]] == [life.backup()]
    switch.bring_back(life.deployment("sha-aaaaaaa", "run-b"))
    settle.reverted(life.store, "run-b", "sha-aaaaaaa")
    assert life.releases()["web"] == "a"
    assert life.data().look("sha-aaaaaaa", "") == {}
    assert len(life.prepared("b", "run-c")["jobs"]) == 1, "it runs again"


def test_behind_a_start_nothing_comes_back_and_both_commands_are_named(life):
    life.staged("b")
    life.prepared("b", "run-b")
    life.bring("sha-bbbbbbb", "run-b")
    said, facts = failure(life.data("run-b").come_back)
    assert said == (
        "job job (release sha-bbbbbbb) changed the data, and services have been started since the backup. So sha-aaaaaaa was not "
        "started again and no backup was restored: rows would be lost, or old code meet a schema that it does not know. What runs is "
        "left as it is. To go back with the data as it was: ansible-playbook rollback.yml -e sha=aaaaaaa -e data=restore brings back "
        f"{life.backup()} of db (1970-01-01 00:00 UTC, 4 B). Data since 00:00 UTC (37 min ago) is then only in a backup that is taken "
        "first. With the data as it is: ansible-playbook rollback.yml -e sha=aaaaaaa -e data=keep (sha-aaaaaaa meets a schema that it "
        "may not know)"
    )
    assert facts == {"gate": "data"}
    assert life.releases()["web"] == "b"
    assert not life.fed()


def test_both_commands_do_what_they_say(life):
    life.staged("b")
    life.prepared("b", "run-b")
    life.bring("sha-bbbbbbb", "run-b")
    failure(life.data("run-b").come_back)
    assert [row["backup"] for row in life.rolled_back("a", "restore")["restored"]] == [life.backup(0)]
    assert life.data("run-r").come_back() == {"changed": False, "restored": []}
    assert not life.store.ledger().open


def test_a_compatible_job_changes_nothing_about_the_way_back(life):
    life.staged("b", compatible=True)
    life.prepared("b", "run-b")
    life.bring("sha-bbbbbbb", "run-b")
    assert life.data("run-b").come_back() == {"changed": False, "restored": []}


def test_a_service_that_the_engine_started_by_itself_bars_the_restore(life):
    life.staged("b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    life.edit("web", State={"Status": "running"})
    said, _facts = failure(life.data("run-b").come_back)
    assert "changed the data, and web has been started since the backup." in said


def test_a_rollback_whose_gate_fails_at_once_goes_back_to_the_data_of_the_present(life):
    life.released("b")
    name = "sha-aaaaaaa"
    quiet.quiesce([life.deployment(name, "run-r")], lambda: None)
    life.data("run-r").bring(name, "restore")
    assert [row["backup"] for row in life.data("run-r").come_back()["restored"]] == [life.backup(1)]
    assert life.data("run-r").come_back() == {"changed": False, "restored": []}


def test_behind_a_start_of_a_rollback_both_commands_are_named(life):
    life.released("b")
    name = "sha-aaaaaaa"
    quiet.quiesce([life.deployment(name, "run-r")], lambda: None)
    life.data("run-r").bring(name, "restore")
    life.bring(name, "run-r")
    said, _facts = failure(life.data("run-r").come_back)
    assert f"-e sha=bbbbbbb -e data=restore brings back {life.backup(1)}" in said
    assert "With the data as it is: ansible-playbook rollout.yml -e sha=bbbbbbb" in said


def killed_while_restoring(life, run, call):
    """A step that is killed amid the restore: the ledger says that it was begun, and not that it has ended."""
    append = life.store.append

    def dying(event, *rest, **facts):
        if event == "restored":
            raise KeyboardInterrupt
        append(event, *rest, **facts)

    life.store.append = dying
    with pytest.raises(KeyboardInterrupt):
        call()
    life.store.append = append


def test_a_restore_that_was_killed_is_finished_by_the_same_rollback(life):
    life.released("b")
    name = "sha-aaaaaaa"
    quiet.quiesce([life.deployment(name, "run-r")], lambda: None)
    killed_while_restoring(life, "run-r", lambda: life.data("run-r").bring(name, "restore"))
    assert [row["backup"] for row in life.data("run-s").look(name, "restore")["restore"]] == [life.backup(0)]
    done = life.data("run-s").bring(name, "restore")
    assert ([row["backup"] for row in done["restored"]], done["backups"]) == ([life.backup(0)], [])


def test_any_other_run_takes_a_killed_restore_back(life):
    life.released("b")
    quiet.quiesce([life.deployment("sha-aaaaaaa", "run-r")], lambda: None)
    killed_while_restoring(life, "run-r", lambda: life.data("run-r").bring("sha-aaaaaaa", "restore"))
    assert failure(life.data("run-s").look, "sha-aaaaaaa", "")[0].startswith("sha-aaaaaaa may not know what")
    assert [row["backup"] for row in life.data("run-s").to_finish()["restore"]] == [life.backup(1)]
    assert [row["backup"] for row in life.data("run-s").bring("sha-bbbbbbb", "")["restored"]] == [life.backup(1)]
    assert life.data("run-s").to_finish() == {}


def test_a_restore_that_fails_names_both_commands(life):
    life.staged("b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    life.engine.fail[f"exec --interactive {life.engine.running()['db']} app load"] = "disk full"
    said, facts = failure(life.data("run-b").come_back)
    assert said.startswith("The data from before could not be brought back, so sha-aaaaaaa was not started again: Backup")
    assert "-e sha=aaaaaaa -e data=restore" in said
    assert "-e sha=aaaaaaa -e data=keep" in said
    assert facts["gate"] == "data"


def test_a_database_that_stands_still_is_started_for_the_restore(life):
    life.staged("b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    life.edit("db", State={"Status": "exited"})
    life.data("run-b").come_back()
    assert life.fed() == [b"rows"]
    assert "db" in life.releases()


def test_a_host_whose_fleet_ran_the_job_elsewhere_leaves_everything(life):
    name = life.staged("b", compatible=True)
    life.data("run-b").passed(name)
    said, facts = failure(life.data("run-b").come_back)
    assert said.startswith("A job of this run changed the data on another host, and services have been started since.")
    assert facts == {"gate": "data"}


ARMED = {"timeout": 0.0, "keeper": "process"}


def armed(life, run, letter):
    facts = {"name": f"sha-{letter * 7}", "application": "app", "release": f"sha-{letter * 7}", "stacks": ["core"]}
    life.store.append("armed", run, **facts, **ARMED, **machine.clock().mark())
    return life.store.ledger().armed


def test_the_guard_restores_before_it_brings_the_stable_release_back(life):
    life.staged("b")
    entry = armed(life, "run-b", "b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    guard.revert(life.store, life.engine, entry)
    assert life.fed() == [b"rows"]
    ledger = life.store.ledger()
    assert (ledger.open, ledger.armed, ledger.barred, ledger.closed["event"]) == ([], None, None, "reverted")
    assert life.releases()["web"] == "a"


def test_a_guard_that_may_not_go_back_says_so_once_and_ends(life):
    life.staged("b")
    held(life.store, "run-b")
    entry = armed(life, "run-b", "b")
    life.prepared("b", "run-b")
    life.bring("sha-bbbbbbb", "run-b")
    guard.revert(life.store, life.engine, entry)
    ledger = life.store.ledger()
    assert (ledger.armed, ledger.guarded, ledger.barred["by"]) == (None, "run-b", "guard")
    assert "-e data=restore" in ledger.barred["fault"]
    assert ledger.open, "the run is open, until somebody has said what the data may do"
    assert life.releases()["web"] == "b"
    # The run's own controller hears of it, if it is still there.
    said, facts = failure(life.store.fence, "run-b")
    assert said.startswith("The guard of this host acted before the run was confirmed. It left everything as it is")
    assert facts == {"fenced": "guard", "unproven": ledger.barred["fault"]}
    life.rolled_back("a", "keep")
    assert life.store.ledger().barred is None


@pytest.mark.parametrize("rollback", [False, True])
def test_a_kill_at_any_entry_leaves_a_way_back_that_is_defined(life, rollback):
    """Whatever entry was the last one: either the stable release meets the data that it knows, or the guard says that it does not."""
    if rollback:
        life.released("b")
        life.rolled_back("a", "restore")
    else:
        life.staged("b")
        life.prepared("b", "run-b")
        life.bring("sha-bbbbbbb", "run-b")
    lines = life.store.path.read_text().splitlines(keepends=True)
    run, ends = ("run-r" if rollback else "run-b"), set()
    first = next(at for at, line in enumerate(lines) if json.loads(line)["run"] == run and '"staged"' not in line)
    for end in range(first + 1, len(lines) + 1):
        life.store.path.write_text("".join(lines[:end]))
        life.engine.fed.clear()
        ledger = life.store.ledger()
        if not ledger.open:
            continue
        started = [e for e in ledger.open if e["event"] == "switching"]
        for one in life.engine.made:
            if life.engine._label(one, "service") == "web":
                one["State"]["Status"] = "running" if started else "exited"
        said = outcome(life.data("run-z").come_back)
        ends.add(bool(said.get("failed")))
        if said.get("failed"):
            assert (said["gate"], bool(started)) == ("data", True)
            assert "ansible-playbook r" in said["msg"]
        else:
            now = life.store.ledger()
            assert data.crossed(now, now.stable) == data.lacking(now, now.stable) == data.unfinished(now) == []
    assert ends == {False, True}


def test_the_answers_are_declared(life):
    life.released("b")
    held(life.store, "run-r")

    def do(step, check=False, /, **given):
        defaults = {name: spec.get("default") for name, spec in STEPS[step].arguments.items()}
        params = {**defaults, "root": str(life.store.root), "application": "app", "run": "run-r", "name": "sha-aaaaaaa", **given}
        said = json.loads(json.dumps(outcome(lambda: steps.ACTS[step](life.store, life.engine, params, check)), default=str))
        assert answers.taken(answers.name(step, params, check), said) == said
        return said

    asked = {"stacks": {"core": {}}}
    assert do("release", True, **asked)["failed"]
    preview = do("release", True, **asked, data="restore")["preview"]
    assert [row["service"] for row in preview["restore"]] == ["db"]
    do("job", stacks=["core"], state="quiesced")
    done = do("job", stacks=["core"], state="restored", data="restore")
    assert done["restored"]
    assert done["backups"]
    assert do("job", stacks=["core"], state="back")["restored"]


def test_a_backup_that_an_operator_names_comes_back(life):
    """Whatever is in effect: on another day, to the release that runs."""
    life.released("a")
    chosen = backups.take(life.deployment("sha-aaaaaaa"), life.deployment("sha-aaaaaaa").by_name["db"], "by hand")
    life.engine.fed.clear()
    one = Data(life.store, life.engine, "app", "run-r", ["sha-aaaaaaa"], chosen=str(chosen["backup"]))
    said = one.look("sha-aaaaaaa", "restore")
    assert [row["backup"] for row in said["restore"]] == [chosen["backup"]]
    done = one.bring("sha-aaaaaaa", "restore")
    assert [row["backup"] for row in done["restored"]] == [chosen["backup"]]
    assert [entry["event"] for entry in life.store.ledger().data] == ["backup", "backup", "restoring", "restored"]
    assert data.backups(life.store.ledger())[-1]["why"] == f"before the restore of {chosen['backup']}"


def test_a_backup_of_another_host_is_nothing_here(life):
    life.released("a")
    one = Data(life.store, life.engine, "app", "run-r", ["sha-aaaaaaa"], chosen="db-elsewhere")
    assert one.look("sha-aaaaaaa", "restore") == {}
    assert one.bring("sha-aaaaaaa", "restore") == {"changed": False, "restored": [], "backups": []}


def test_a_backup_of_a_service_that_the_release_does_not_have_is_refused(life):
    life.released("a")
    about = {"stack": "core", "service": "old", "name": "sha-0000000", "release": "sha-0000000"}
    life.store.append("backup", "run-0", backup="old-1", file="old-1.dump", bytes=1, sha256="", **about)
    one = Data(life.store, life.engine, "app", "run-r", ["sha-aaaaaaa"], chosen="old-1")
    assert failure(one.look, "sha-aaaaaaa", "restore")[0] == (
        "Backup old-1 is of service old (stack core), and sha-aaaaaaa, which runs, has no kept service of that name. Bring back the "
        "release that has it, then restore the backup: ansible-playbook rollback.yml -e sha=0000000"
    )


def test_a_backup_from_before_an_incompatible_job_does_not_fit_the_release_behind_it(life):
    life.released("a")
    life.released("b")
    (saved,) = data.backups(life.store.ledger())
    one = Data(life.store, life.engine, "app", "run-r", ["sha-bbbbbbb"], chosen=str(saved["backup"]))
    assert failure(one.look, "sha-bbbbbbb", "restore")[0] == (
        f"Backup {saved['backup']} does not fit sha-bbbbbbb, which runs: job job (release sha-bbbbbbb) stands between them. Bring a "
        "release back together with its data: ansible-playbook rollback.yml -e sha=… -e data=restore"
    )


def test_a_job_that_still_runs_is_ended_before_its_backup_is_restored(life, monkeypatch):
    """Its run was killed, and it writes."""
    life.staged("b")
    with pytest.raises(RolloutError):
        life.prepared("b", "run-b", code=1)
    seen = []
    monkeypatch.setattr(job_containers, "clear", lambda one: seen.append((one.stack, one.name, life.fed())))
    life.data("run-x").come_back()
    assert seen == [("core", "sha-bbbbbbb", [])]
    assert life.fed() == [b"rows"]
