"""The verbs of an application's data: what a rollback may do with it, and what is brought back before services are.

`domain/data.py` decides, `backups.py` does it.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Sequence

from ansible.module_utils.rollout.domain import data
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.data import Entry, Kept
from ansible.module_utils.rollout.domain.ledger import Ledger, Stable
from ansible.module_utils.rollout.domain.reference import choice
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import backups, job_containers
from ansible.module_utils.rollout.verbs import data_sentences as said
from ansible.module_utils.rollout.verbs.candidate import known
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates
from ansible.module_utils.rollout.verbs.phases import Phases


class _Keeper(NamedTuple):
    """A kept service, and a release that knows it."""

    deployment: Deployment
    service: Service

    @property
    def kept(self) -> Kept:
        """The service as entries name it."""
        return self.deployment.stack, self.service.name


class Data:
    """The data of an application on a host, as `run` finds it. ``names`` are the directories of releases that know its services
    where its stable one does not. ``chosen`` is the backup that an operator wants back, whatever is in effect; empty for none."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        application: str,
        run: str,
        names: Iterable[str] = (),
        phases: Optional[Phases] = None,
        chosen: str = "",
    ) -> None:
        self.store, self.engine, self.application, self.run = store, engine, application, run
        self.names, self.phases, self.chosen = tuple(names), phases or Phases(), chosen

    @property
    def ledger(self) -> Ledger:
        """What the ledger says now."""
        return self.store.ledger()

    def look(self, name: str, word: str) -> dict[str, Any]:
        """What a rollback to the release in directory ``name`` does with the data (``word``: empty, ``keep`` or ``restore``).
        Nothing is touched.

        Returns:
            ``restore``: the backups that it brings back, for people; and ``notes``. Both only if there is something to say.

        Raises:
            RolloutError: the word is missing, or cannot be obeyed.
        """
        target, halves = self.target(name), data.unfinished(self.ledger)
        if not target:
            return self.to_finish()
        if self.chosen:
            return self._look_chosen(target)
        # What a killed run left half restored: with `restore` it is finished, otherwise taken back first.
        finishing = self._unfinished(word) if halves else []
        ledger = data.finished(self.ledger, finishing)
        lacks, across, wanted = data.lacking(ledger, target), data.crossed(ledger, target), self._wanted(target, ledger)
        way, chosen = self._restores(target, wanted), choice(target.release)
        if lacks and (word != data.RESTORE or not all(wanted.values())):
            possible = said.WITH_ITS_DATA.text(restore=way) if wanted and all(wanted.values()) else ""
            raise said.LACKING(release=target.release, jobs=said.jobs(lacks), choice=chosen, restore=possible)
        if across and not word:
            raise said.ACROSS(release=target.release, jobs=said.jobs(across), restore=way, choice=chosen)
        notes, rows = list[str](), [said.row(entry) for entry in finishing if word != data.RESTORE or _of(entry) not in wanted]
        if across and word == data.KEEP:
            notes.append(said.KEPT.text(release=target.release, jobs=said.jobs(across)))
        if word == data.RESTORE and (across or wanted):
            self._require(target, across, wanted)
            rows += [said.row(entry) for entry in wanted.values() if entry]
        elif word == data.RESTORE and not rows:
            notes.append(said.NOTHING_CROSSED.text(release=target.release))
        return {**({"restore": rows} if rows else {}), **({"notes": notes} if notes else {})}

    def _look_chosen(self, target: Stable) -> dict[str, Any]:
        """As `look`, of the backup that was chosen. On a host that does not have it there is nothing to say."""
        wanted = self._wanted(target)
        rows = [entry for entry in wanted.values() if entry]
        after = data.finished(self.ledger, rows)
        apart = [*data.lacking(after, target), *data.crossed(after, target)] if rows else []
        if apart:
            raise said.NOT_OF_THIS_RELEASE(backup=self.chosen, release=target.release, jobs=said.jobs(apart))
        for entry in rows:
            if _of(entry) not in self.kept:
                had, (stack, service) = choice(str(entry["release"])), _of(entry)
                raise said.OF_NO_SERVICE(backup=self.chosen, service=service, stack=stack, release=target.release, choice=had)
        if rows:
            self._require(target, [], wanted)
        return {"restore": [said.row(entry) for entry in rows]} if rows else {}

    def require_not_older(self, release: str, images: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse to roll out the very code that was stable here before a job which is not compatible: only a rollback asks what
        the data may do.

        Args:
            images: reference -> what its registry says of it.

        Raises:
            RolloutError: names the job.
        """
        now = self.ledger.stable
        for one in reversed(self.ledger.known if now and now.release != release else []):
            before = known(self.store, one.name).get("images", {}) if one.release == release else {}
            # A tag may have moved to newer code.
            same = before and all(i.get("digest") == before.get(r, i).get("digest") for r, i in images.items())
            # A release knows its own job, which an interrupted run may have begun once more.
            across = [job for job in data.crossed(self.ledger, one) if job["release"] != release] if same else []
            if across:
                raise said.OLDER(release=release, jobs=said.jobs(across), choice=choice(release))

    def to_finish(self) -> dict[str, Any]:
        """``restore``, as `look` has it, of what a killed run left half restored."""
        found = self._unfinished("") if data.unfinished(self.ledger) else []
        return {"restore": [said.row(entry) for entry in found]} if found else {}

    def target(self, name: str) -> Optional[Stable]:
        """The stable release that a rollback to that directory means: with another environment it has a directory of its own."""
        known = self.ledger.known
        found = [one for one in known if one.name == name]
        if not found:
            with contextlib.suppress(RolloutError):
                release = self.store.manifest(name)["release"]
                found = [one for one in known if one.release == release]
        return found[-1] if found else None

    def bring(self, name: str, word: str, arm: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Before a release is switched to, bring the data to what it needs: what a rollback restores, and what a killed run left
        half restored. What uses it was stopped.

        Args:
            arm: is called before anything is changed.

        Returns:
            changed; restored: what was, for people; backups: what was saved of the present first.

        Raises:
            RolloutError: a backup could not be taken or restored.
        """
        target = self.target(name) if word == data.RESTORE else None
        wanted = {kept: entry for kept, entry in self._wanted(target).items() if entry} if target else {}
        halves = {_of(entry) for entry in data.unfinished(self.ledger)}
        saved = list[Entry]()
        if not wanted and not halves:
            return {"changed": False, "restored": [], "backups": []}
        arm()
        self._end_jobs()
        if target and wanted:
            for kept in wanted:
                self._start(self.kept[kept])
            self._require(target, data.crossed(self.ledger, target), dict(wanted))
            # Data that is half restored is not worth a backup: that of the present was taken when its restore began.
            for keeper in (self.kept[kept] for kept in wanted if kept not in halves):
                why = f"before the restore of {wanted[keeper.kept]['backup']}"
                saved.append(backups.take(keeper.deployment, keeper.service, why))
        rest = [entry for entry in (self._unfinished(word) if halves else []) if _of(entry) not in wanted]
        for entry in [*wanted.values(), *rest]:
            self._restore(entry, "rollback" if target else "finish")
        rows = [said.row(entry) for entry in [*wanted.values(), *rest]]
        return {"changed": True, "restored": rows, "backups": [said.row(entry) for entry in saved]}

    def passed(self, name: str) -> dict[str, Any]:
        """Record, before any host of the fleet switches a service, that those meet what the run did to the data on one of them:
        from then on no host goes back unasked."""
        self.store.append("switching", self.run, name=name, release=self.store.manifest(name)["release"], across=True)
        return {"changed": False}

    def _unfinished(self, word: str) -> Sequence[Entry]:
        """The backups that end what a killed run left half restored: those that it meant, or those of the way back."""
        ledger = self.ledger
        if word == data.RESTORE:
            return [backups.find(ledger, str(entry["backup"])) for entry in data.unfinished(ledger)]
        return self._way().restore

    def come_back(self) -> dict[str, Any]:
        """Before services are brought back: bring the data back that the open run has changed, or say why not.

        Returns:
            changed; restored: what was restored, for people.

        Raises:
            RolloutError: neither the data nor the stable release may be brought back, or the data could not. The services are
                left as they are. Fact ``gate``: `data.GATE`.
        """
        way = self._way()
        if way.restore:
            self.store.go_back()
            self._end_jobs()
        for entry in way.restore:
            try:
                self._restore(entry, "way back")
            except RolloutError as error:
                if error.facts.get("away") or error.facts.get("fenced"):
                    raise
                facts = {**error.facts, "gate": data.GATE}
                raise said.NOT_BACK(stable=self._stable(), choice=choice(self._stable()), why=error, facts=facts) from error
        return {"changed": bool(way.restore), "restored": [said.row(entry) for entry in way.restore]}

    def _end_jobs(self) -> None:
        """End the jobs that still run, of a run that was killed: they write."""
        left = {str(entry["stack"]): str(entry["name"]) for entry in self.ledger.open if entry["event"] == "job"}
        for stack, name in left.items():
            job_containers.clear(Deployment(self.store, self.engine, self.application, stack, name, self.run, phases=self.phases))

    def _way(self) -> data.WayBack:
        """What the way back does.

        Raises:
            RolloutError: it is barred.
        """
        ledger = self.ledger
        way = data.way_back(ledger, ())
        if not (way.restore or way.barred):
            return way
        way = data.way_back(ledger, self.kept)
        here = [entry for entry in way.barred if entry["event"] == "job"]
        if way.barred and not here:
            raise said.BARRED_ELSEWHERE(stable=self._stable(), ways=self._ways(), facts={"gate": data.GATE})
        running = self._running_again() if way.restore else []
        if here or running:
            why = said.STARTED.format(services=" and ".join(running)) if running else self._why(here)
            jobs = said.jobs(here or data.crossed(ledger, ledger.stable) if ledger.stable else here)
            raise said.BARRED(
                jobs=jobs or "A restore", why=why, stable=self._stable(), ways=self._ways(), facts={"gate": data.GATE}
            )
        return way

    def _why(self, jobs: Sequence[Entry]) -> str:
        run, first = jobs[0]["run"], jobs[0]["seq"]
        saved = any(entry["run"] == run and entry["seq"] < first for entry in data.backups(self.ledger))
        return "services have been started since the backup" if saved or self._restoring() else "nothing was backed up before"

    def _restoring(self) -> bool:
        return any(entry["event"] == "restoring" for entry in self.ledger.open)

    def _stable(self) -> str:
        stable = self.ledger.stable
        return stable.release if stable else "the stable release"

    def _ways(self) -> str:
        """Both commands, with what each of them loses."""
        stable = self.ledger.stable
        if not stable:
            return ""
        chosen, wanted = choice(stable.release), self._wanted(stable)
        back = self._restores(stable, wanted) if wanted else ""
        if not wanted:
            back = f"ansible-playbook rollback.yml -e {chosen} -e data=restore: the host of the data knows the backup."
        if data.lacking(self.ledger, stable):
            return f"With the data that it had: {back} With the data as it is: ansible-playbook rollout.yml -e {chosen}"
        keep = f"ansible-playbook rollback.yml -e {chosen} -e data=keep ({stable.release} meets a schema that it may not know)"
        return f"To go back with the data as it was: {back} With the data as it is: {keep}"

    def _running_again(self) -> list[str]:
        """Services that were stopped so that they write nothing, and run: the engine starts some by itself after a reboot."""
        quiet = [entry for entry in self.ledger.open if entry["event"] == "quiesced"]
        found = list[str]()
        for entry in quiet:
            deployment = Deployment(self.store, self.engine, self.application, str(entry["stack"]), str(entry["name"]), self.run)
            here = {c.service for c in self.engine.containers(deployment.project) if c.status == "running"}
            found += [str(name) for name in entry.get("services") or [] if name in here]
        return sorted(set(found))

    @functools.cached_property
    def kept(self) -> dict[Kept, _Keeper]:
        """The kept services of this host, each with a release that knows it."""
        ledger, found = self.ledger, dict[Kept, _Keeper]()
        names = [*([ledger.stable.name] if ledger.stable else []), *(str(entry.get("name") or "") for entry in ledger.open)]
        for name in dict.fromkeys((*names, *self.names)):
            with contextlib.suppress(RolloutError):
                for stack in self.store.manifest(name)["stacks"] if name else []:
                    one = Deployment(self.store, self.engine, self.application, stack, name, self.run, phases=self.phases)
                    for service in one.wanted:
                        if not service.released:
                            found.setdefault((stack, service.name), _Keeper(one, service))
        return found

    def _wanted(self, target: Stable, ledger: Optional[Ledger] = None) -> dict[Kept, Optional[Entry]]:
        """As `data.to_restore`, of the kept services that are still here."""
        if self.chosen:
            there = {str(entry["backup"]): entry for entry in data.backups(self.ledger)}
            return {_of(there[self.chosen]): there[self.chosen]} if self.chosen in there else {}
        wanted = data.to_restore(ledger or self.ledger, target)
        return {one: entry for one, entry in wanted.items() if one in self.kept}

    def _restores(self, target: Stable, wanted: Mapping[Kept, Optional[Entry]]) -> str:
        """The way with the data as it was, as a sentence."""
        lost = sorted(service for (_stack, service), entry in wanted.items() if not entry)
        if lost or not wanted:
            return said.RESTORES_NOTHING.text(services=" and ".join(lost) or "any service")
        return said.restores([entry for entry in wanted.values() if entry], choice(target.release))

    def _require(self, target: Stable, across: Sequence[Entry], wanted: Mapping[Kept, Optional[Entry]]) -> None:
        """Refuse a restore of what is not there, or not whole.

        Raises:
            RolloutError: says which backup.
        """
        lost, chosen = sorted(service for (_stack, service), entry in wanted.items() if not entry), choice(target.release)
        if lost or not wanted:
            raise said.NO_BACKUP(services=" and ".join(lost) or "any service", jobs=said.jobs(across), choice=chosen)
        for kept, entry in wanted.items():
            try:
                backups.verify(self.kept[kept].deployment, entry or {})
            except RolloutError as error:
                if error.facts.get("away") or error.facts.get("fenced"):
                    raise
                raise said.NOT_USABLE(why=error, choice=chosen, facts=error.facts) from error

    def _restore(self, entry: Entry, why: str) -> None:
        """Restore a backup into its service, which runs and passes its gate before and afterwards."""
        keeper = self.kept[_of(entry)]
        self._start(keeper)
        backups.restore(keeper.deployment, entry, why)
        try:
            Gates(keeper.deployment).again([keeper.service])
        except RolloutError as error:
            if error.facts.get("away") or error.facts.get("fenced"):
                raise
            raise said.NOT_HEALTHY(backup=entry["backup"], why=error, facts=error.facts) from error

    def _start(self, keeper: _Keeper) -> None:
        """Have a kept service run and pass: it may have been stopped amid its own restore."""
        one, service = keeper
        here = [c for c in self.engine.containers(one.project) if c.service == service.name]
        if any(c.status == "running" for c in here):
            return
        if here:
            self.engine.checked(["start", here[0].id], f"Starting {service.name}")
        else:
            one.compose_project.up([service.name], recreate=False, timeout=service.deadline + 120)
        Gates(one).hold([service])


def _of(entry: Entry) -> Kept:
    """The kept service of a backup, or of a restore."""
    return str(entry["stack"]), str(entry.get("kept") or entry.get("service"))
