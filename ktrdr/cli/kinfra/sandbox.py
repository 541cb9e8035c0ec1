"""The verbs of `kinfra sandbox`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ktrdr.cli.kinfra import docker, files, slots
from ktrdr.cli.kinfra.errors import Refusal
from ktrdr.cli.kinfra.slots import COMPOSE, DEV_IMAGE, ENV, LINK, RECORD, Container, Record, Slot

UP_SECONDS = 180
EDITED = Refusal(
    "Slot {number} was edited by hand ({files} in {directory}): use it as it is (kinfra sandbox up {number}), or lose the edits "
    "(kinfra sandbox provision {number} --force).",
    "use the edited files with `kinfra sandbox up N`, or lose the edits with `kinfra sandbox provision N --force`",
)
UNBUILT = Refusal(
    "Image {image} is not on this machine: {how}.",
    "type `make dev-image`, or build the image that it names",
)
NOT_UP = Refusal(
    "Slot {number} did not come up (docker compose says above why): kinfra sandbox logs {number} shows more, {after}.",
    "read Compose's message above it, then `kinfra sandbox logs N`",
)
DOWN = Refusal(
    "Slot {number} is down and has no logs: kinfra sandbox up {number} starts it.",
    "type `kinfra sandbox up N`, then look again",
)
NO_LOGS = Refusal(
    "The logs of slot {number} cannot be shown: docker compose says above why.",
    "read Compose's message above it",
)
NOBODY_ASKED = Refusal(
    "Slot {number} was not destroyed, because nobody could be asked: kinfra sandbox destroy {number} --yes.",
    "give `--yes` if there is no terminal",
)
NOT_DESTROYED = Refusal(
    "Slot {number} was not destroyed.",
    "answer `y` to destroy it",
)
NOT_PROVISIONED = Refusal(
    "Slot {number} has no {name} in {directory}: kinfra sandbox provision {number} makes it.",
    "type `kinfra sandbox provision N`",
)
FOREIGN = Refusal(
    "Project {project} on this engine was made from {elsewhere}, not from {directory}: use another slot, or that folder.",
    "use another slot, or set `KTRDR_SANDBOX_HOME` to the folder that it names: the slot belongs to somebody else, or it is "
    "yours and its folder was moved",
)
PORT_TAKEN = Refusal(
    "Port {port} ({name}) of slot {number} is taken by {holder}: stop the holder, or use another slot.",
    "stop what it names, or use another slot; only root sees the name of `a process of another user`",
)
INTERRUPTED = Refusal(
    "Interrupted: {left}",
    "type the same command again to carry on; the message says what is left until then",
)
app = typer.Typer(no_args_is_help=True, help="Sandboxes: each a whole ktrdr with ports and data of its own, slots 1 to 9.")
Number = Annotated[str, typer.Argument(metavar="N", help="The slot, 1 to 9.")]


@app.command()
def provision(
    n: Number, force: Annotated[bool, typer.Option("--force", help="Overwrite files that were edited by hand.")] = False
) -> None:
    """Make slot N: its docker-compose.yml and .env.sandbox."""
    slot = _slot(n)
    before = slots.record(files.read(slot, RECORD) or b"")
    chosen = {**before.images, **slots.images(os.environ)}
    wanted = {COMPOSE: files.template(), ENV: slots.env_text(slot, chosen).encode()}
    found = {name: content for name in wanted if (content := files.read(slot, name)) is not None}
    edited = slots.edited(before.files, found, wanted) + ([] if files.linked(slot) else [LINK])
    if edited and not force:
        raise EDITED(number=slot.number, files=", ".join(edited), directory=slot.directory)
    every = docker.containers()
    _refuse_taken_ports(slot, every, _own(slot, every))
    word = "is unchanged" if found == wanted else "is"
    kept = Record(before.created or time.time(), chosen, slots.digests(wanted))
    wanted[RECORD] = slots.record_text(kept)
    with _interruptible(f"slot {slot.number} was not provisioned; kinfra sandbox provision {slot.number} tries again."):
        files.write(slot, wanted)
    typer.echo(f"Slot {slot.number} {word} in {slot.directory}. Start it: kinfra sandbox up {slot.number}")
    typer.echo(f"or docker compose up -d there. Then it answers on {_url(slot)}")
    image = slots.image(wanted[ENV].decode())
    if _unbuilt(image):
        typer.echo(UNBUILT.text(image=image, how=_build(image)))


@app.command("list")
def list_() -> None:
    """Show every slot: ports, state, image, age."""
    every = docker.containers()
    table = Table("SLOT", "PORTS", box=None, pad_edge=False)
    for head in ("STATE", "IMAGE", "AGE"):
        table.add_column(head, overflow="fold")
    for slot in files.existing(files.home()):
        created = slots.record(files.read(slot, RECORD) or b"").created
        own = [c for c in every if c.project == slot.project]
        elsewhere = slots.stranger(slot, (c.directory for c in own))
        table.add_row(
            str(slot.number),
            " ".join(map(str, slot.ports.values())),
            f"in {elsewhere}" if elsewhere else slots.state(own),
            slots.image((files.read(slot, ENV) or b"").decode(errors="replace")),
            "?" if created is None else slots.age(time.time() - created),
        )
    if table.row_count:
        Console(highlight=False, markup=False).print(table)
        typer.echo("\nPORTS are those of " + ", ".join(slots.BASES) + ".")
    else:
        typer.echo(f"There is no slot in {files.home()}: kinfra sandbox provision 1 makes one.")


@app.command()
def up(n: Number) -> None:
    """Start slot N and wait until all of it is healthy."""
    slot = _provisioned(n)
    every = docker.containers()
    _refuse_taken_ports(slot, every, _own(slot, every))
    image = slots.image((files.read(slot, ENV) or b"").decode(errors="replace"))
    if _unbuilt(image):
        raise UNBUILT(image=image, how=_build(image))
    after = f"kinfra sandbox down {slot.number} stops it"
    with _interruptible(f"slot {slot.number} may be half up; kinfra sandbox up {slot.number} carries on, {after}."):
        status = docker.compose(slot, "up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS))
    if status:
        raise NOT_UP(number=slot.number, after=after)
    typer.echo(f"Slot {slot.number} answers on {_url(slot)}")


@app.command()
def down(n: Number) -> None:
    """Stop slot N; its data stay."""
    slot = _slot(n)
    own = _own(slot, docker.containers())
    with _interruptible(f"slot {slot.number} may be half down; kinfra sandbox down {slot.number} carries on."):
        docker.remove_containers(own)
        docker.remove("network", slot.project)
    typer.echo(f"Slot {slot.number} is down.")


@app.command()
def logs(n: Number, follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False) -> None:
    """Show the last 200 lines of each service of slot N."""
    slot = _provisioned(n)
    if not _own(slot, docker.containers()):
        raise DOWN(number=slot.number)
    try:
        status = docker.compose(slot, "logs", "--tail", "200", *(["--follow"] if follow else []))
    except KeyboardInterrupt:
        return
    if status:
        raise NO_LOGS(number=slot.number)


@app.command()
def destroy(n: Number, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove slot N: containers, data, files."""
    slot = _slot(n)
    own = _own(slot, docker.containers())
    if not own and not slot.directory.exists() and not docker.volumes(slot.project):
        typer.echo(f"Slot {slot.number} does not exist.")
        return
    if not yes:
        _ask(f"Remove slot {slot.number} with its containers, its data and {slot.directory}?", slot)
    with _interruptible(f"slot {slot.number} is partly destroyed; kinfra sandbox destroy {slot.number} carries on."):
        docker.remove_containers(own)
        docker.remove("network", slot.project)
        docker.remove("volume", slot.project)
        files.remove(slot)
    typer.echo(f"Slot {slot.number} is gone.")


def _ask(question: str, slot: Slot) -> None:
    """Raise KinfraError unless the answer is yes."""
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        typer.echo()
        raise NOBODY_ASKED(number=slot.number) from None
    except KeyboardInterrupt:
        typer.echo()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise NOT_DESTROYED(number=slot.number)


def _slot(n: str) -> Slot:
    return Slot(slots.number(n), files.home())


def _provisioned(n: str) -> Slot:
    slot = _slot(n)
    for name in (COMPOSE, ENV):
        if files.read(slot, name) is None:
            raise NOT_PROVISIONED(number=slot.number, name=name, directory=slot.directory)
    return slot


def _own(slot: Slot, every: list[Container]) -> list[Container]:
    """The slot's containers; raises KinfraError where its project was made from another folder."""
    own = [c for c in every if c.project == slot.project]
    elsewhere = slots.stranger(slot, [*(c.directory for c in own), *docker.volumes(slot.project).values()])
    if elsewhere:
        raise FOREIGN(project=slot.project, elsewhere=elsewhere, directory=slot.directory)
    return own


def _refuse_taken_ports(slot: Slot, every: list[Container], own: list[Container]) -> None:
    for name, port in slot.ports.items():
        who = "" if any(slots.publishes(c, port) for c in own) else docker.holder(port, every)
        if who:
            raise PORT_TAKEN(port=port, name=name, number=slot.number, holder=who)


def _unbuilt(image: str) -> bool:
    # What has no registry in its name cannot be pulled.
    return "/" not in image and not docker.has_image(image)


def _build(image: str) -> str:
    return "make dev-image builds it" if image == DEV_IMAGE else f"make dev-image builds {DEV_IMAGE}, or build that one"


def _url(slot: Slot) -> str:
    return f"http://localhost:{slot.ports['API']}/api/v1/health"


@contextmanager
def _interruptible(what_is_left: str) -> Iterator[None]:
    """Make Ctrl-C a sentence that says what is left; raises KinfraError."""
    try:
        yield
    except KeyboardInterrupt:
        raise INTERRUPTED(left=what_is_left) from None
