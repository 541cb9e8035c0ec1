"""One stack of one release on this host: what it wants, what runs, and what is said of both.

The verbs that look at a stack, and those that change it, share this.
"""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass, field
from typing import Any, Sequence

from ansible.module_utils.rollout.domain import compose, dotenv
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.changes import Change, Container, active_first, compare, container
from ansible.module_utils.rollout.domain.gate import CHECKPOINT, Expectation
from ansible.module_utils.rollout.domain.manifest import Part
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, machine, masking, torch_check
from ansible.module_utils.rollout.io.atomic import sha256
from ansible.module_utils.rollout.io.compose_project import Stack
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import image_ids
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import networks, projects, refusals
from ansible.module_utils.rollout.verbs.networks import Changed
from ansible.module_utils.rollout.verbs.phases import Phases

# Seconds behind its grace period in which the engine kills a container, and the pause between two looks.
STOP_S, STOP_PAUSE_S = 5.0, 0.5


@dataclass(frozen=True)
class Policy:
    """How a run switches a stack. Times are in seconds.

    ``gpu_release_s`` is how long a card may take to be free after the old container was stopped. ``drain_mode`` and ``drain_s``
    apply to services whose gate does not say otherwise. With ``together``, services that do not depend on each other are
    switched at once. Kept services in ``replace`` are restarted where they differ; ``*`` stands for all.
    """

    torch_limit_s: float = 60.0
    gpu_release_s: float = 60.0
    drain_mode: str = CHECKPOINT
    drain_s: float = 300.0
    together: bool = True
    replace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """The stack ``stack`` of the release in directory ``name``; ``run`` goes into the ledger.

    What the release wants is read once. What runs is looked at anew with each call.
    """

    store: Store
    engine: Engine
    application: str
    stack: str
    name: str
    run: str
    policy: Policy = Policy()
    phases: Phases = field(default_factory=Phases)

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """The release's release.json.

        Raises:
            RolloutError: it is gone or unreadable.
        """
        return self.store.manifest(self.name)

    @property
    def release(self) -> str:
        """The tag of the release; as the ledger has it, where the release's files are damaged."""
        try:
            return str(self.manifest["release"])
        except RolloutError:
            ledger = self.store.ledger()
            armed = [ledger.armed["release"]] if ledger.armed and ledger.armed.get("name") == self.name else []
            known = armed or [stable.release for stable in ledger.known if stable.name == self.name]
            if not known:
                raise
            return str(known[-1])

    def damage(self) -> str:
        """Why the release cannot be brought back by its files, as a sentence; empty if it can. Edited ones are used as long as
        Compose accepts them.

        Raises:
            RolloutError: Compose cannot read files that are as they were staged, or the engine is away.
        """
        try:
            files = self.manifest["files"]
        except RolloutError as error:
            return str(error)
        empty = [file for file, digest in files.items() if digest != sha256("") and not self.store.read(self.name, file)]
        if empty:
            return refusals.FILES_EMPTY.text(files=", ".join(sorted(empty)))
        try:
            self.wanted  # noqa: B018 # read for the first time
        except RolloutError as error:
            edited = self.store.edited(self.name)
            if not edited or error.facts.get("away"):
                raise
            return refusals.FILES_EDITED.text(files=", ".join(edited), why=error)
        return ""

    @functools.cached_property
    def project(self) -> str:
        """The Compose project of the stack, also where the release does not have it."""
        return projects.of(self.store, self.application, self.stack, self.name)

    @functools.cached_property
    def part(self) -> Part:
        """What the release says of the stack."""
        return manifests.part(self.manifest, self.stack)

    @functools.cached_property
    def compose_project(self) -> Stack:
        """The stack's Compose project on the release's own files."""
        directory = self.store.directory(self.name) / self.part.directory
        return Stack(self.engine, self.project, directory, self.part.files, self.part.profiles)

    @functools.cached_property
    def wanted(self) -> list[compose.Service]:
        """The services of the stack. None if the release does not have the stack: then all its containers go."""
        if self.stack not in self.manifest["stacks"]:
            return []
        return compose.services(self.compose_project.config(), self.part.files[0], self.part)

    @functools.cached_property
    def jobs(self) -> list[compose.Service]:
        """The services of the stack that end by themselves, in their order."""
        if self.stack not in self.manifest["stacks"]:
            return []
        return compose.jobs(self.compose_project.config(), self.part.files[0], self.part)

    @functools.cached_property
    def by_name(self) -> dict[str, compose.Service]:
        """Name -> service."""
        return {service.name: service for service in self.wanted}

    @functools.cached_property
    def image_ids(self) -> dict[str, str]:
        """Reference -> the id that the engine knows the release's image by, or the recorded one if it has no such image.

        Another image store (containerd's) knows the same image by another id.
        """
        images = self.manifest["images"]
        return {**{r: i["id"] for r, i in images.items()}, **image_ids(self.engine, images)}

    def running(self) -> list[Container]:
        """The containers of the stack, stopped ones too, without those of its jobs; of a start-first service the one that gets
        the requests comes first."""
        active, jobs = self.store.active(self.stack, self.wanted), {job.name for job in self.jobs}
        return active_first([c for c in self.engine.containers(self.project) if c.service not in jobs], active)

    def changes(self, running: list[Container]) -> list[Change]:
        """The changes that bring the stack from ``running`` to the release, one for each service."""
        active, replace = self.store.active(self.stack, self.wanted), {*self.policy.replace, *self._replaced()}
        return compare(self.wanted, self.image_ids, running, active, replace, networks.renewed(self.networks()))

    def networks(self) -> list[Changed]:
        """The networks of the stack that are not what the release says."""
        if not self.wanted:
            return []
        ledger, found = self.store.ledger(), dict[str, Changed]()
        # A run that is open may have made them, for another release than the stable one.
        stable = [ledger.stable.name] if ledger.stable else []
        for name in dict.fromkeys([*stable, *(str(entry.get("name") or "") for entry in ledger.open)]) or [""]:
            before: dict[str, Any] = {}
            with contextlib.suppress(RolloutError):
                before = dict(manifests.part(self.store.manifest(name), self.stack).networks) if name else {}
            config = self.compose_project.config()
            found.update({one.key: one for one in networks.changed(self.engine, self.project, config, before)})
        return list(found.values())

    def _replaced(self) -> set[str]:
        """Kept services that a run has begun to restart since: the way back restarts them too."""
        begun = self.begun()
        return {service.name for service in self.wanted if not service.released and service.name in begun}

    def begun(self, run: str = "") -> set[str]:
        """The services that a run has begun to switch since the last release was confirmed: any run, or ``run`` alone."""
        mine = [e for e in self.store.ledger().open if e.get("stack") == self.stack and "service" in e]
        return {str(e["service"]) for e in mine if not run or e["run"] == run}

    def quiet(self) -> dict[str, dict[str, Any]]:
        """Service -> the entry ``quiesced`` with which this run stopped it before its jobs."""
        about = ("quiesced", self.run, self.stack)
        mine = [e for e in self.store.ledger().open if (e["event"], e["run"], e.get("stack")) == about]
        return {str(service): entry for entry in mine for service in entry.get("services") or []}

    def record(self, event: str, service: str) -> None:
        """Write into the ledger before the step: what was begun is known whatever happens."""
        self.store.append(event, self.run, name=self.name, release=self.release, stack=self.stack, service=service)

    def stopping(self, containers: Sequence[Container], grace: float = 0.0) -> None:
        """Write into the ledger, before the engine is told to stop containers, which ones, and how long they may take.

        Args:
            grace: seconds that they get to end, where that is more than their own.
        """
        ids = [c.id for c in containers if c.status == "running"]
        if ids:
            seconds = max(grace, *(c.grace for c in containers)) + STOP_S
            about = {"name": self.name, "release": self.release, "stack": self.stack, "containers": ids, "seconds": seconds}
            self.store.append("stopping", self.run, **about, **machine.clock().mark())

    def outlast(self) -> None:
        """Wait for the end of what an open run has told the engine to stop: until then Docker says that it runs.

        The run that told it may have been killed since. A container that still runs when its time is over was not told.
        """
        while True:
            self.store.fence()
            told = ledgers.stopping(self.store.ledger(), self.stack, machine.clock())
            asked = [container(c) for c in self.engine.inspect("container", sorted(told))]
            here = [c for c in asked if c.status == "running"]
            if not here:
                return
            self.store.tell(step="stop", what=here[0].service)
            clock.sleep(STOP_PAUSE_S)

    def remove_containers(self, containers: Sequence[Container]) -> None:
        """Stop and remove containers, one after another."""
        self.stopping(containers)
        for found in containers:
            self.engine.checked(["stop", found.id], f"Stopping {found.service}", timeout=found.grace + 120)
            self.engine.checked(["rm", found.id], f"Removing {found.service}")

    def prove(self, service: compose.Service, expected: Expectation, found: Container, proven: bool) -> dict[str, Any]:
        """Hold a running container to its torch contract.

        Args:
            proven: this very container was proven before. Then a card that it has filled since is not a fault.

        Raises:
            RolloutError: it does not keep it.
        """
        self.store.tell(step="torch", what=service.name)
        with self.phases.phase("torch", service.name):
            verdict = torch_check.in_container(self.engine, found.id, expected, self.policy.torch_limit_s)
        if verdict["verdict"] != reasons.PASS and not (proven and torch_verdict.passed_or_busy(verdict)):
            raise self.failure(service, "torch", refusals.TORCH_BROKEN.text(expected=torch_verdict.sentence(verdict)))
        return verdict

    def waits(self, step: str, service: compose.Service, what: str, elapsed: float, deadline: float) -> None:
        """Say what a step waits for, and how long it has, in seconds."""
        facts = {"waiting_for": self.masked(what), "elapsed": round(elapsed, 1), "deadline": deadline}
        self.store.tell(step=step, what=service.name, **facts)

    @functools.cached_property
    def _edited(self) -> bool:
        """Whether the release's .env file, which says what is secret, no longer says it."""
        try:
            dotenv.parse(self.store.read(self.name, self.part.env) or "")
        except RolloutError:
            return True
        return False

    def masked(self, text: str) -> str:
        """The text of a service without secrets: it goes to screens, reports and notifications."""
        hidden = "(not shown: the release's .env file, which names what to hide, cannot be read)"
        return hidden if text and self._edited else masking.masked(text)

    def seen(self) -> list[Container]:
        """The containers of the stack after a failure; none if the engine cannot be asked, for that would hide the failure."""
        with contextlib.suppress(RolloutError):
            return self.engine.containers(self.project)
        return []

    def failure(
        self,
        service: compose.Service,
        gate: str,
        what: str,
        before: Sequence[Container] = (),
        sentence: Refusal = refusals.NOT_PASSED,
    ) -> RolloutError:
        """The sentence for a service that failed its gate, with the last lines of its log.

        It names the release of the container that failed, which may be an earlier one. That is to blame (fact ``release``), but
        not where a release was not started.

        Args:
            before: containers whose log says nothing about the failure.
        """
        past = {c.id for c in before}
        # The newest first: of two it is the one that did not come up.
        here = [c for c in self.seen() if c.service == service.name]
        found = next((c for c in here if c.id not in past), None)
        log = self.masked(self.engine.logs(found.id)) if found else ""
        what = self.masked(what).rstrip(".")
        ledger = self.store.ledger()
        idle = bool(ledger.stable and ledger.stable.name == self.name and not ledger.open)
        # A stable release fails here without a run that has begun anything.
        about = {"service": service.name, "stack": self.stack, "gate": gate, "log": log, **({"idle": True} if idle else {})}
        release = self.release
        if sentence is not refusals.NOT_STARTED:
            runs = here[0].release if sentence is refusals.NOT_REPLACED and here else found.release if found else ""
            about["release"] = release = runs if re.fullmatch(releases.NAME, runs) else release
        return sentence(service=service.name, stack=self.stack, release=release, what=what, facts=about)
