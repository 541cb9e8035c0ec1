"""What a slot is, and what follows from it: names, ports, files, whose things are whose. Nothing here reads or runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ktrdr.cli.kinfra.errors import KinfraError, Refusal

NUMBERS = range(1, 10)
DEV_IMAGE = "ktrdr-backend:dev"
IMAGES = ("KTRDR_BACKEND_IMAGE", "KTRDR_DB_IMAGE")
COMPOSE, ENV, LINK, RECORD = "docker-compose.yml", ".env.sandbox", ".env", ".generated.json"
# Hundreds apart, so that no slot meets another, and away from what production publishes (8000; 5003, 5005, 5013, …).
BASES = {"API": 8000, "BACKTEST": 8100, "TRAINING": 8200, "DB": 8300}
NOT_A_SLOT = Refusal(
    "Slot {text!r} is not a number from {first} to {last}: give one of those.",
    "give a number from 1 to 9",
    2,
)
NOT_AN_IMAGE = Refusal(
    "{name} is {value!r}, which is not an image: set it to one such as {example}, or unset it.",
    "correct `KTRDR_BACKEND_IMAGE` or `KTRDR_DB_IMAGE`, or unset it",
    2,
)


@dataclass(frozen=True)
class Slot:
    """One sandbox: its number and the folder that holds all slots."""

    number: int
    home: Path

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.home / f"slot-{self.number}"

    @property
    def project(self) -> str:
        """Its name for Compose."""
        return f"ktrdr-sandbox-{self.number}"

    @property
    def ports(self) -> dict[str, int]:
        """The port on loopback of each thing that listens."""
        return {name: base + self.number for name, base in BASES.items()}


@dataclass(frozen=True)
class Container:
    """A container on the engine, in docker ps' words; project and directory are empty outside Compose."""

    key: str
    name: str
    project: str
    directory: str
    state: str
    status: str
    ports: str


@dataclass(frozen=True)
class Record:
    """What a slot remembers: when it was made (seconds of the epoch), its images, the digests of what was generated."""

    created: float | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def number(text: str) -> int:
    """The slot's number; raises KinfraError where it is none."""
    if text not in map(str, NUMBERS):
        raise NOT_A_SLOT(text=text, first=NUMBERS[0], last=NUMBERS[-1])
    return int(text)


def images(environment: Mapping[str, str]) -> dict[str, str]:
    """The images that the environment names in place of the usual ones; raises KinfraError where one is no image."""
    chosen = {name: environment[name] for name in IMAGES if environment.get(name)}
    for name, value in chosen.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", value):
            raise NOT_AN_IMAGE(name=name, value=value, example=DEV_IMAGE)
    return chosen


def env_text(slot: Slot, chosen: Mapping[str, str]) -> str:
    """The text of .env.sandbox with the chosen images."""
    facts = {"KTRDR_SLOT": str(slot.number), "KTRDR_SLOT_DIRECTORY": _quoted(str(slot.directory))}
    facts |= {f"KTRDR_{name}_PORT": str(port) for name, port in slot.ports.items()}
    head = f"# Slot {slot.number}. KTRDR_BACKEND_IMAGE=… is the image of its services, {DEV_IMAGE} where it is absent.\n"
    return head + "".join(f"{name}={value}\n" for name, value in {**facts, **chosen}.items())


def _quoted(value: str) -> str:
    # In single quotes Compose takes everything as it is, but for the quote.
    return "'" + value.replace("'", "\\'") + "'"


def image(env: str) -> str:
    """The image of the slot's services, from the text of its .env.sandbox."""
    found = re.findall(r"""^\s*KTRDR_BACKEND_IMAGE\s*=\s*["']?([^\s"']+)""", env, re.M)
    return str(found[-1]) if found else DEV_IMAGE


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def record(text: bytes) -> Record:
    """What .generated.json says; an empty record where it is no such file."""
    try:
        read = json.loads(text)
        return Record(float(read["created"]), images(dict(read["images"])), dict(read["files"]))
    except (ValueError, TypeError, KeyError, KinfraError):
        return Record()


def record_text(kept: Record) -> bytes:
    """The text of .generated.json."""
    return json.dumps(asdict(kept), indent=1).encode() + b"\n"


def edited(recorded: Mapping[str, str], found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    """The files that are neither what was generated nor what would be."""
    now = digests(found)
    return [name for name in wanted if name in found and found[name] != wanted[name] and now[name] != recorded.get(name)]


def stranger(slot: Slot, directories: Iterable[str]) -> str:
    """Another folder that things of the slot's project were made from, empty where there is none."""
    own = slot.directory.resolve()
    return next((d for d in directories if d and Path(d).resolve() != own), "")


def publishes(container: Container, port: int) -> bool:
    """Whether the container holds this port of the machine."""
    spans = re.findall(r":(\d+)(?:-(\d+))?->", container.ports)
    return any(int(first) <= port <= int(last or first) for first, last in spans)


def state(containers: Iterable[Container]) -> str:
    """One word for all containers of a slot, and how many run where not all do."""
    all_of_them = list(containers)
    running = [c for c in all_of_them if c.state == "running"]
    if not running:
        return "down"
    if len(running) < len(all_of_them):
        return f"{len(running)} of {len(all_of_them)} up"
    words = " ".join(c.status for c in running)
    return "unhealthy" if "(unhealthy)" in words else "starting" if "starting)" in words else "healthy"


def age(seconds: float) -> str:
    """A time span in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0) // 1:.0f} s"
