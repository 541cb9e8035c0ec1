"""The devices that services ask for, and those that a host has: files in /dev, CDI devices, GPUs. Pure."""

from __future__ import annotations

from typing import Any, Collection, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.domain import features
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "What a stack needs of its host"
NO_DEVICE = Refusal(
    _SECTION,
    "{file}: service {service} needs device {device}, which this host does not have. Connect it or load its driver, until ls "
    "{device} finds it there, or remove it from devices.",
    "connect the device, load its driver, or remove it from `devices`; name it by `/dev/serial/by-id/…` if its number changes",
)
NO_CDI = Refusal(
    _SECTION,
    "{file}: service {service} needs CDI device {device}, which the engine of this host does not know (it knows {known}). Write "
    "its specification there, for a card of NVIDIA: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
    "write the specification with the device's own tool (`nvidia-ctk cdi generate`), or correct the name",
)
NO_SUCH_CARD = Refusal(
    _SECTION,
    "{file}: service {service} asks for GPU {wanted}, and this host has {known}. Correct count or device_ids.",
    "correct `count` or `device_ids`: `nvidia-smi --list-gpus` on the host lists the cards",
)


def faults(file: str, service: str, spec: Mapping[str, Any], absent: Collection[str], cdi: Collection[str]) -> Iterator[str]:
    """A sentence for each device that a service asks for and the host does not have.

    Args:
        absent: the paths that do not exist.
        cdi: the CDI devices that the engine knows.
    """
    named = [device for device in features.devices(spec) if features.CDI.fullmatch(device)]
    for device in features.devices(spec):
        if device not in named and device in absent:
            yield NO_DEVICE.text(file=file, service=service, device=device)
    named += [str(one) for request in requests(spec) if request.get("driver") == "cdi" for one in request.get("device_ids") or []]
    for device in named:
        if device not in cdi:
            yield NO_CDI.text(file=file, service=service, device=device, known=", ".join(sorted(cdi)) or "none")


def requests(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a service asks for as device requests: `gpus`, and the devices of `deploy.resources.reservations`."""
    reservations = ((spec.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    return [one for one in [*(reservations.get("devices") or []), *(spec.get("gpus") or [])] if isinstance(one, Mapping)]


def wants_nvidia(spec: Mapping[str, Any]) -> bool:
    """Whether a service asks for cards of NVIDIA, or for a GPU without saying of whom."""
    asked = [(one.get("driver") or "nvidia", one.get("capabilities") or ["gpu"]) for one in requests(spec)]
    return any(driver == "nvidia" and {"gpu", "nvidia"} & set(words) for driver, words in asked)


def cards(file: str, service: str, spec: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each card that a service asks for and the host does not have; nothing is said if it lists none."""
    ids = {str(card[key]) for card in known for key in ("index", "uuid")}
    said = ", ".join(str(card["index"]) for card in known)
    for one in requests(spec):
        if known and one.get("driver") in (None, "", "nvidia"):
            count = one.get("count")
            # A part of a card (MIG) has a name of its own.
            asked = [str(card) for card in one.get("device_ids") or [] if str(card).isdigit() or str(card).startswith("GPU-")]
            asked = [card for card in asked if card not in ids and not any(has.startswith(card) for has in ids if card[0] == "G")]
            if type(count) is int and count > len(known):
                asked.append(f"count {count}")
            for wanted in asked:
                yield NO_SUCH_CARD.text(file=file, service=service, wanted=wanted, known=f"GPU {said}")
