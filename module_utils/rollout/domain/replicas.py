"""Services with several containers: how many a file asks for, and what keeps a service from having them. Pure."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

SEVERAL = Refusal(
    "Compose file and environment",
    "{file}: service {service} is to have {number} containers, and {reason}.",
    "remove or change what the sentence names, or name a service for each container; two services can share their text by a "
    "YAML anchor",
)
_JOINING = ("network_mode", "ipc", "pid")


def number(spec: Mapping[str, Any]) -> int:
    """How many containers a service is to have."""
    asked = spec.get("scale", (spec.get("deploy") or {}).get("replicas"))
    return 1 if asked is None else int(asked)


def without(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A service's configuration without the number of its containers, which changes none of them."""
    deploy = spec.get("deploy") or {}
    if "scale" not in spec and "replicas" not in deploy:
        return spec
    rest = {key: value for key, value in deploy.items() if key != "replicas"}
    plain = {key: value for key, value in spec.items() if key not in ("scale", "deploy")}
    # Compose prints the parts of `deploy` that are empty as soon as there is one.
    return {**plain, "deploy": rest} if any(rest.values()) else plain


def require(name: str, specs: Mapping[str, Mapping[str, Any]], drained: bool, file: str) -> None:
    """Refuse a service that cannot have as many containers as it is to have.

    Args:
        specs: the services of the stack, as Compose prints them.
        drained: whether the service has the key ``drain``.

    Raises:
        RolloutError: all that is in the way.
    """
    spec, wanted, wrong = specs[name], number(specs[name]), Faults()
    reasons = [*_alone(spec, wanted), *_joined(name, specs)] if wanted > 1 else []
    if drained and wanted > 1:
        reasons.append("its key drain speaks to one; without that key each container ends in its stop_grace_period")
    for reason in reasons:
        wrong.add(SEVERAL.text(file=file, service=name, number=wanted, reason=reason))
    wrong.refuse()


def _alone(spec: Mapping[str, Any], wanted: int) -> Iterator[str]:
    """What of a service only one container can have."""
    if spec.get("container_name"):
        yield f"it has container_name {spec['container_name']}, which one alone can have. Remove that key"
    for port in spec.get("ports") or []:
        published = str(port.get("published") or "")
        first, _dash, last = published.partition("-")
        if not first.isdigit() or int(last or first) - int(first) + 1 >= wanted:
            continue
        whole = f"{first}-{int(first) + wanted - 1}:{port.get('target')}"
        yield f"it publishes port {published} alone. Publish a range ({whole}), or let a service in front publish the port"
    for network, facts in (spec.get("networks") or {}).items():
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if (facts or {}).get(key):
                yield f"it has {key} {facts[key]} in network {network}, which one alone can have. Remove that key"


def _joined(name: str, specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for other, spec in specs.items():
        for key in _JOINING:
            if spec.get(key) == f"service:{name}":
                yield f"service {other} has the {key} of one of them ({key}: service:{name}). Give {other} one of its own"
