"""Services with several containers: one goes, its successor passes its gate, then the next. At most one is away at any time.

What an interrupted run left is used where it is right. Compose numbers a new container behind the highest that is there, so the
numbers grow.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, Sequence

from ansible.module_utils.rollout.domain import compose
from ansible.module_utils.rollout.domain.changes import Change, Container
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import refusals
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates

# Waits until the processes of a container have left the card.
FreeCard = Callable[[compose.Service, Expectation, Collection[int]], None]


class OneByOne:
    """The switch of one service with several containers to the release, or ``back`` to it, which holds no gates."""

    def __init__(self, deployment: Deployment, change: Change, free_card: FreeCard, back: bool) -> None:
        self.deployment, self.change, self.free_card, self.back = deployment, change, free_card, back
        self.service = deployment.by_name[change.service]
        self.engine: Engine = deployment.engine
        self.gates = Gates(deployment)
        # Of a run that goes on, whose engine was away: what it made has yet to pass.
        self.resumed = change.service in deployment.begun(deployment.run)

    def bring(self, row: dict[str, Any]) -> None:
        """Do it, and fill the service's row of the report. A service that is to have one container keeps the best of those that
        it has; that one may still have to be replaced.

        Raises:
            RolloutError: a container did not start, or did not pass; those that were not touched yet still run.
        """
        one, service, wrong = self.deployment, self.service, self.change.wrong
        one.record("switching", service.name)
        here = self._mine()
        if self.change.action != "create":
            # What does not run is away already. Of the others those go first that are to be replaced anyway.
            gone = [c for c in here if c.id in wrong and c.status != "running" and service.replicas != 1]
            left = sorted((c for c in here if c not in gone), key=lambda c: (c.id not in wrong, c.status == "running"))
            self._remove([*gone, *left[: max(0, len(left) - service.replicas)]])
        if service.replicas > 1:
            self._replace(row)
        gaps = {"replace": 0.0, **dict.fromkeys(("create", "recreate"), one.phases.out_of_service(service.name))}
        row["gap"] = gaps.get(self.change.action)

    def _replace(self, row: dict[str, Any]) -> None:
        service, wrong = self.service, self.change.wrong
        here = self._mine()
        if not self.back and service.released:
            # Those that are right answer before another one is away.
            self.gates.each(service, [c for c in here if c.id not in wrong], self.resumed)
        self._fill(here, row)
        for old in [c for c in here if c.id in wrong]:
            card = service.torch if service.torch and service.torch.on_gpu else None
            pids = self.engine.processes(old.id) if card else []
            self._remove([old])
            if card:
                self.free_card(service, card, pids)
            self._fill(self._mine(), row)

    def _fill(self, here: Sequence[Container], row: dict[str, Any]) -> None:
        """Start what is missing, and hold the gate of each."""
        one, service = self.deployment, self.service
        # A kept one that was stopped is started again.
        if sum(c.status == "running" for c in here) >= service.replicas:
            return
        before = {c.id for c in here if c.status == "running"}
        limit = service.grace + service.deadline + 120
        try:
            with one.phases.phase("start", service.name):
                number = max(service.replicas, len(here))
                one.compose_project.up([service.name], recreate=False, timeout=limit, scale=number)
        except RolloutError as error:
            if error.facts.get("fenced") or error.facts.get("away"):
                raise
            raise one.failure(service, "start", str(error), here, refusals.NOT_STARTED) from error
        # Compose starts what has stopped meanwhile, too.
        for made in [] if self.back else [c for c in self._mine() if c.id not in before and c.id not in self.change.wrong]:
            passed = self.gates.hold([service], made.id)[service.name]
            if service.torch:
                row["torch"] = one.prove(service, service.torch, passed, proven=False)

    def _remove(self, containers: Sequence[Container]) -> None:
        for found in containers:
            with self.deployment.phases.phase("stop", self.service.name):
                self.deployment.remove_containers([found])

    def _mine(self) -> list[Container]:
        return [c for c in self.engine.containers(self.deployment.project) if c.service == self.service.name]
