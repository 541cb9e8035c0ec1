"""The verb `taken_over`: record what runs on a host before the first rollout there as a stable release that can be brought back.

Nothing that runs is touched. The release is one like any other: Compose files, `.env`, images by digest, or by id where no
registry knows them. Its relative paths lead to where they led before.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import baseline, compose, jobs, pins
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain.bundle import PLAIN, PRIVATE, Bundle, File
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import machine, masking, project_files
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import originals, projects, reading, refusals, variants
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.draft import Draft, draft
from ansible.module_utils.rollout.verbs.former import Before
from ansible.module_utils.rollout.verbs.originals import SECTION, Running

# How many files beside its Compose files a project may have Compose read.
MOST = 50
# Where a stack lies whose paths are absolute by now.
NOWHERE = f"/.nowhere{pins.DEEP}"
HAS_RELEASES = Refusal(
    SECTION,
    "Stack {stack}: what runs in Compose project {project} cannot be taken over, because this host has releases of {application} "
    "already, and a way back to them would take it away. Make an application of its own of that stack.",
    "give the stack a `rollout_application` and an inventory of its own",
)
TAKES_OVER = Refusal(
    "Notes",
    "stack {stack}: what runs of Compose project {project} ({folder}) is recorded as {release}, which a rollback brings back: "
    "{services}",
    "nothing: what ran is a release like any other",
)
NOT_PROVEN = Refusal(
    "Notes",
    "{service} is not proven to be what its files say ({why}): unless the release changes it, it stays as it is, and a way back "
    "would start what the files say. To recreate it: -e replace={service}",
    "type it when a restart of that service suits you: `docker compose up` would make it anew too",
)


class _Foreseen(Store):
    """The store of a host as it will be once the baseline of it was recorded."""

    def __init__(self, store: Store, aside: Store, stable: ledgers.Stable, ran: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(str(store.root))
        about = {"event": "ran", "seq": 0, "run": stable.run, "name": stable.name, "release": stable.release}
        self._aside, self._stable, self._ran = aside, stable, [{**about, **facts} for facts in ran]

    def ledger(self) -> ledgers.Ledger:
        now = super().ledger()
        more: dict[str, Any] = {"staged": [*now.staged, self._stable.name], "data": [*now.data, *self._ran]}
        return replace(now, history=[self._stable], known=[*now.known, self._stable], **more)

    def directory(self, name: str) -> Path:
        return self._aside.directory(name) if name == self._stable.name else super().directory(name)

    def names(self) -> list[str]:
        return sorted({*super().names(), self._stable.name})

    def taken(self) -> list[str]:
        return sorted({*super().taken(), self._stable.name})


@contextlib.contextmanager
def taken_over(
    store: Store, engine: Engine, application: str, run: str, stacks: Mapping[str, Bundle], adopt: bool, check: bool
) -> Iterator[tuple[Store, Optional[ledgers.Stable], list[str]]]:
    """Take over what runs in the Compose projects of these stacks, where that is asked for (of all of them, with ``adopt``), no
    release was ever stable here, and containers run there that are not this tool's.

    Yields:
        The store to go on with: with ``check`` one that has the baseline, without anything being written. The baseline as the
        ledger has it, None if nothing was taken over. And sentences about it.

    Raises:
        RolloutError: what runs could not be brought back by its files; all that is in the way. Nothing was written.
    """
    found = _found(store, engine, application, stacks, adopt)
    if not found:
        yield store, None, []
        return
    masking.learn([one.hidden() for one in found])
    release = baseline.release(run, machine.now()[:10])
    files, manifest, notes, ran = _release(store, engine, application, release, found)
    name, there = variants.directory(store, release, files, manifest["parts"], manifest["images"])
    manifest.update(name=name, run=run)
    if check:
        with store.aside() as place:
            aside = Store(str(place))
            aside.write_release(name, files, manifest)
            stable = ledgers.Stable(name, release, run, 0)
            yield _Foreseen(store, aside, stable, ran), stable, notes
        return
    if not there:
        store.write_release(name, files, manifest)
    _require_readable(store, engine, application, name, found)
    for reference, image in manifest["images"].items():
        # The name of a project may be one that no image can have; then it is without.
        engine.run(["tag", pins.by_digest(reference, image), image["tag"]])
    store.append("staged", run, name=name, release=release)
    for facts in ran:
        store.append("ran", run, name=name, release=release, **facts)
    store.append("confirmed", run, name=name, release=release, action="rollout")
    yield store, store.ledger().stable, notes


def _found(store: Store, engine: Engine, application: str, stacks: Mapping[str, Bundle], adopt: bool) -> list[Running]:
    wrong, found = Faults(), list[Running]()
    asked = {stack: projects.of_bundle(application, stack, bundle) for stack, bundle in stacks.items() if adopt or bundle.adopt}
    for stack, project in asked.items():
        here = projects.foreign(store, engine, stack, project)
        containers = engine.inspect("container", [c.id for c in here if c.status in baseline.RUNNING])
        with wrong.gather():
            if containers and store.ledger().stable:
                raise HAS_RELEASES(stack=stack, project=project, application=application)
            ended = [one for one in engine.inspect("container", [c.id for c in here if c.status == "exited"]) if not _code(one)]
            found += [originals.read(engine, stack, project, containers, ended)] if containers else []
    wrong.refuse()
    return found


def _code(container: Mapping[str, Any]) -> int:
    return int((container.get("State") or {}).get("ExitCode", 1))


def _release(
    store: Store, engine: Engine, application: str, release: str, found: Sequence[Running]
) -> tuple[dict[str, str], dict[str, Any], list[str], list[dict[str, Any]]]:
    """The files of the baseline, its manifest, sentences about it, and the jobs that ran, as the ledger has them.

    Raises:
        RolloutError: the image of something that runs is gone, or its files cannot be moved.
    """
    wrong, before, notes = Faults(), Before(store, engine, application), list[str]()
    images: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    parts: dict[str, Any] = {}
    ran: list[dict[str, Any]] = []
    for one in found:
        with wrong.gather():
            drafted, unproven = _draft(store, engine, one, images, before, release)
            ran += _ran(engine, one, drafted.jobs)
            drafted = replace(drafted, jobs=[])  # A job that is not running needs no image here.
            files.update(drafted.files(images, release))
            former = dict.fromkeys((service.name for service in drafted.services), "")
            more: dict[str, Any] = {"former": former, "folder": one.original.origin.folder}
            parts[one.stack] = {**drafted.part, **more, **({"unproven": unproven} if unproven else {})}
            said, where = ", ".join(former), str(more["folder"])
            notes.append(TAKES_OVER.text(stack=one.stack, project=one.project, folder=where, release=release, services=said))
            notes += [NOT_PROVEN.text(service=service, why=why) for service, why in unproven.items()]
    wrong.refuse()
    manifest = {
        "release": release,
        "images": images,
        "application": application,
        "stacks": [one.stack for one in found],
        "parts": parts,
        "secrets": sorted({name for one in found for name in one.secrets}),
    }
    return files, manifest, notes, ran


def _ran(engine: Engine, one: Running, services: Sequence[compose.Service]) -> list[dict[str, Any]]:
    """What ended well by itself: a job that need not run once more, if the new release has the same one."""
    found, ended = [], originals.ended(one)
    for service in services:
        image = engine.image(str(ended[service.name]["Image"])) if service.name in ended else None
        if image:
            facts = reading.identity(str(ended[service.name]["Config"]["Image"]), image)
            about = {"stack": one.stack, "job": service.name, "key": jobs.key(service, facts), "compatible": True}
            found.append({**about, "code": 0, "seconds": 0.0, "by": "somebody"})
    return found


def _draft(
    store: Store, engine: Engine, one: Running, images: dict[str, dict[str, Any]], before: Before, release: str
) -> tuple[Draft, dict[str, str]]:
    """The draft of a stack, whose images are added to ``images``; and why services are not proven to be what the files say."""
    inspected = {name: _image(engine, one, name, here[0]) for name, here in one.running.items()}
    bundle, config, moved = _moved(store, engine, before.application, one)
    pinned: dict[str, dict[str, Any]] = {}
    for name, spec in config["services"].items():
        if name in inspected:
            image = str(one.running[name][0]["Config"]["Image"])
            facts = reading.identity(image, inspected[name])
            image = baseline.reference(image, facts, images)
            images.setdefault(image, {**facts, "tag": baseline.tag(one.project, name, release)})
            pinned[name] = baseline.scaled(spec, len(one.running[name]))
            spec.update(pinned[name], image=image)
        elif not spec.get("image"):
            # It is built, and never started: for Compose it needs a name.
            pinned[name] = {"image": f"{one.project}-{name}"}
            spec.update(pinned[name])
    values = {name: str(value) for name, value in reading.values(release, bundle, allow_short=True).items()}
    found = draft(store, one.stack, bundle, config, NOWHERE, values, before)
    services = dict(moved.get("services") or {})
    services.update({name: {**services.get(name, {}), **more} for name, more in pinned.items() if more})
    return replace(found, moved={**moved, **({"services": services} if services else {})}), originals.unproven(
        store, one, inspected
    )


def _image(engine: Engine, one: Running, service: str, container: Mapping[str, Any]) -> dict[str, Any]:
    found = engine.image(str(container["Image"]))
    if found is None:
        raise originals.NO_IMAGE(stack=one.stack, service=service, image=container["Config"]["Image"])
    return found


def _moved(store: Store, engine: Engine, application: str, one: Running) -> tuple[Bundle, dict[str, Any], dict[str, Any]]:
    """The project as the source of a stack, how Compose reads it in another folder, with its paths where they led before, and the
    part of the pins that says these.

    It consists of its own files, if these say the same there; else of what Compose makes of them.

    Raises:
        RolloutError: neither can be.
    """
    folder, files = one.original.origin.folder, one.original.origin.files
    names = [baseline.below(folder, path) for path in files]
    if all(names):
        texts = {name: project_files.content(path) for name, path in zip(names, files)}
        for _file in range(MOST):
            bundle = _bundle(one, texts, names)
            found, lacks = _try(store, engine, application, one, bundle)
            if found:
                return (bundle, *found)
            if not lacks or lacks in texts or not project_files.is_file(f"{folder}/{lacks}"):
                break
            texts[lacks] = project_files.content(f"{folder}/{lacks}")
    whole = json.dumps(one.config, indent=2, sort_keys=True) + "\n"
    bundle = _bundle(one, {baseline.WHOLE: whole.encode()}, [baseline.WHOLE])
    found, lacks = _try(store, engine, application, one, bundle)
    if not found:
        why = f"it reads what it has printed itself otherwise ({lacks or 'it differs'})"
        raise originals.NOT_READ(stack=one.stack, project=one.project, why=why, folder=folder)
    return (bundle, *found)


def _bundle(one: Running, texts: Mapping[str, bytes], names: Sequence[str]) -> Bundle:
    hidden = [value.encode() for value in one.hidden()]
    # What does not run is not started on the way back: as a job, which no way back runs.
    idle = {name: {"job": "before"} for name in one.config["services"] if name not in one.running}

    def mode(name: str, text: bytes) -> str:
        return PRIVATE if name not in names or any(value in text for value in hidden) else PLAIN

    return Bundle(
        files={name: File(text, mode(name, text)) for name, text in texts.items()},
        compose=tuple(names),
        profiles=one.profiles,
        environment={name: value for name, value in one.variables.items() if name not in one.secrets},
        secrets=one.secrets,
        services=idle,
        tag_variable=baseline.NO_TAG,
        data=one.original.origin.folder,
        project=one.project,
    )


def _try(
    store: Store, engine: Engine, application: str, one: Running, bundle: Bundle
) -> tuple[Optional[tuple[dict[str, Any], dict[str, Any]]], str]:
    """As `_moved`, of one way to copy it, if that is the same as where it lies; else the path of a file that it lacks."""
    with reading.written(store, engine, application, "", {one.stack: bundle}, allow_short=True) as stacks:
        place = str(stacks[one.stack].directory)
        try:
            config = stacks[one.stack].config()
            found = pins.rebased(config, place, {}, bundle.data, bundle.compose[0], leaves=True)
        except RolloutError as error:
            if error.facts.get("away"):
                raise
            return None, baseline.missing(str(error), place)
    # Of no service's gate: what ran had none of ours.
    found[0].pop("x-rollout", None)
    return (found, "") if compose.comparable(found[0]) == compose.comparable(one.config) else (None, "")


def _require_readable(store: Store, engine: Engine, application: str, name: str, found: Sequence[Running]) -> None:
    """Have Compose read the baseline where it lies, before anything relies on it.

    Raises:
        RolloutError: it cannot, or a path leads elsewhere than before.
    """
    for one in found:
        there = compose.comparable(Deployment(store, engine, application, one.stack, name, "").compose_project.config())
        asked = compose.comparable(one.config)
        numbers = ("scale", "deploy")
        for config in (there, asked):
            config["services"] = {n: {k: v for k, v in s.items() if k not in numbers} for n, s in config["services"].items()}
        if there != asked:
            raise refusals.READ_OTHERWISE(stack=one.stack, path=store.directory(name))
