"""The networks of a host: whether they are what a compose file says, and whether new ones find addresses. Pure."""

from __future__ import annotations

import ipaddress
from typing import Any, Collection, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Union

from ansible.module_utils.rollout.errors import Refusal

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_SECTION = "What a stack needs of its host"
SUBNET_TAKEN = Refusal(
    _SECTION,
    "{file}: network {key} asks for subnet {subnet}, which overlaps with {other} ({taken}) on this host. Choose another subnet.",
    "choose a subnet that is free: `docker network ls` and `ip route` on the host list those that are not",
)
NO_SUBNET = Refusal(
    _SECTION,
    "{file}: no free subnet is left on this host for network {key}: the engine's address pools are taken by {number} networks "
    "and routes. Remove networks that nothing uses (docker network prune), or add a pool (default-address-pools in "
    "/etc/docker/daemon.json).",
    "type `docker network prune` on the host, or add `default-address-pools` to `/etc/docker/daemon.json` and restart Docker",
)

# The engine's own, unless its settings name others (docs.docker.com/engine/network: default-address-pools).
POOLS = (
    *(("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16)),
    *(("172.20.0.0/14", 16), ("172.24.0.0/14", 16), ("172.28.0.0/14", 16)),
    ("192.168.0.0/16", 20),
)
# Drivers without addresses of their own, and those that share the addresses of the host's network on purpose.
_WITHOUT, _SHARING = ("host", "none", "null"), ("macvlan", "ipvlan")


class Route(NamedTuple):
    """A route of the host; ``linked`` if what it leads to is on that interface, without a gateway."""

    subnet: str
    interface: str
    linked: bool = True


def differing(
    definition: Mapping[str, Any], inspected: Mapping[str, Any], before: Optional[Mapping[str, Any]] = None
) -> list[str]:
    """What of a network that exists is not what the file says, as "internal: false -> true".

    What the file leaves open is as Compose fills it in. Addresses and options that the engine chose itself do not count.

    Args:
        definition: of the file, as Compose prints it.
        inspected: what `docker network inspect` says.
        before: the definition of the release that made the network, if it is known: what it set and this one does not has to go.
    """
    if definition.get("external"):
        return []
    before = before or {}
    found: list[tuple[str, Any, Any]] = [("driver", inspected.get("Driver"), _driver(definition))]
    for key, fact in (("internal", "Internal"), ("attachable", "Attachable")):
        found.append((key, bool(inspected.get(fact)), bool(definition.get(key))))
    options, asked = _texts(inspected.get("Options")), _texts(definition.get("driver_opts"))
    # Newer engines note it among the options if their settings, not the file, ask for it.
    if definition.get("enable_ipv6") is not None or options.get("com.docker.network.enable_ipv6") != "true":
        found.append(("enable_ipv6", bool(inspected.get("EnableIPv6")), bool(definition.get("enable_ipv6"))))
    found += _pairs("driver_opts", options, asked, _texts(before.get("driver_opts")))
    found += _pairs("labels", _texts(inspected.get("Labels")), _texts(definition.get("labels")), _texts(before.get("labels")))
    found += _ipam(definition.get("ipam") or {}, inspected.get("IPAM") or {}, before.get("ipam") or {})
    return [f"{key}: {_said(there)} -> {_said(wanted)}" for key, there, wanted in found if there != wanted]


def _driver(definition: Mapping[str, Any]) -> str:
    named = str(definition.get("driver") or "bridge")
    return "bridge" if named == "default" else named


def _texts(values: Any) -> dict[str, str]:
    """Names and values; booleans as Compose hands them to the engine."""
    return {str(k): str(v).lower() if isinstance(v, bool) else str("" if v is None else v) for k, v in (values or {}).items()}


def _pairs(
    kind: str, there: Mapping[str, str], asked: Mapping[str, str], before: Mapping[str, str]
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*asked, *before}):
        # What nobody's file set is the engine's own.
        if key in asked or there.get(key) == before[key]:
            yield f"{kind}.{key}", there.get(key), asked.get(key)


def _ipam(asked: Mapping[str, Any], there: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    yield "ipam.driver", str(there.get("Driver") or "default"), str(asked.get("driver") or "default")
    has = {_normal(one.get("Subnet")): one for one in there.get("Config") or [] if one.get("Subnet")}
    wants = {_normal(one.get("subnet")): one for one in asked.get("config") or [] if one.get("subnet")}
    had = {_normal(one.get("subnet")) for one in before.get("config") or [] if one.get("subnet")}
    for family in (False, True):
        ours = [subnet for subnet in wants if (":" in subnet) == family]
        its = [subnet for subnet in has if (":" in subnet) == family]
        if ours:
            yield "ipam.subnet", sorted(its), sorted(ours)
        elif had & set(its):
            # Without one in the file the engine chooses.
            yield "ipam.subnet", sorted(its), None
    for subnet in sorted(set(wants) & set(has)):
        one, other = has[subnet], wants[subnet]
        if other.get("gateway"):
            yield f"ipam.gateway of {subnet}", _normal(one.get("Gateway")), _normal(other["gateway"])
        yield f"ipam.ip_range of {subnet}", _normal(one.get("IPRange")) or None, _normal(other.get("ip_range")) or None
        aux = (_texts(one.get("AuxiliaryAddresses")), _texts(other.get("aux_addresses")))
        yield (f"ipam.aux_addresses of {subnet}", *aux)


def _normal(text: Any) -> str:
    """An address or subnet in the form in which two of them compare."""
    found = parsed(text)
    if found is None:
        return str(text or "")
    return str(found) if "/" in str(text) else str(found.network_address)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        value = [f"{name}={address}" for name, address in sorted(value.items())]
    if isinstance(value, list):
        value = " ".join(value) or None
    return "unset" if value is None else str(value) or "empty"


def parsed(text: Any) -> Optional[Subnet]:
    """A subnet, or None if it is not one."""
    try:
        return ipaddress.ip_network(str(text or ""), strict=False)
    except ValueError:
        return None


def subnets(definition: Mapping[str, Any]) -> list[Subnet]:
    """Those that a file asks for."""
    return _some(one.get("subnet") for one in (definition.get("ipam") or {}).get("config") or [])


def taken(inspected: Mapping[str, Any]) -> list[Subnet]:
    """Those that a network of the host has."""
    return _some(one.get("Subnet") for one in (inspected.get("IPAM") or {}).get("Config") or [])


def _some(texts: Iterable[Any]) -> list[Subnet]:
    return [found for found in map(parsed, texts) if found is not None]


def meets(one: Subnet, other: Subnet) -> bool:
    """Whether two subnets have an address in common."""
    return one.version == other.version and one.overlaps(other)


def addresses(
    new: Sequence[tuple[str, str, Mapping[str, Any]]],
    there: Sequence[Mapping[str, Any]],
    routes: Sequence[Route],
    going: Collection[str] = (),
    pools: Sequence[tuple[str, int]] = POOLS,
    gateways: bool = False,
) -> list[str]:
    """A sentence for each new network that would find no addresses.

    Args:
        new: file, key and definition of the networks that are to be made.
        there: those of the host, as `docker network inspect` has them; ``going`` names those that are replaced.
        routes: of the host.
        pools: base and size of the subnets from which the engine chooses.
        gateways: whether it leaves out what is reached over a gateway, too.
    """
    found: list[str] = []
    staying = [one for one in there if one.get("Name") not in going]
    held: list[tuple[Subnet, str]] = [(subnet, f"network {one.get('Name')}") for one in staying for subnet in taken(one)]
    # The engine's own bridges have routes as well.
    engines = {subnet for one in there for subnet in taken(one)}
    apart = [
        (subnet, route) for route in routes if (subnet := parsed(route.subnet)) and subnet.prefixlen and subnet not in engines
    ]
    for file, key, definition in new:
        sharing = _driver(definition) in _SHARING
        for subnet in subnets(definition):
            # A wider route over a gateway is allowed: the narrower one wins.
            linked = [
                (other, f"the network of interface {route.interface}") for other, route in apart if route.linked and not sharing
            ]
            other = next(((name, one) for one, name in [*held, *linked] if meets(subnet, one)), None)
            if other:
                found.append(SUBNET_TAKEN.text(file=file, key=key, subnet=subnet, other=other[0], taken=other[1]))
            held.append((subnet, f"network {key} of {file}"))
    used = [subnet for subnet, _ in held] + [subnet for subnet, route in apart if route.linked or gateways]
    choice = _free(pools, used)
    for file, key, definition in new:
        ipam = str((definition.get("ipam") or {}).get("driver") or "default")
        chosen = [subnet for subnet in subnets(definition) if subnet.version == 4]
        if _driver(definition) in _WITHOUT or chosen or ipam != "default" or definition.get("enable_ipv4") is False:
            continue
        if next(choice, None) is None:
            found.append(NO_SUBNET.text(file=file, key=key, number=len(used)))
    return found


def _free(pools: Sequence[tuple[str, int]], used: Sequence[Subnet]) -> Iterator[Subnet]:
    """The free IPv4 subnets of the pools, one after the other."""
    for base, size in pools:
        pool = parsed(base)
        if pool is None or pool.version != 4 or size < pool.prefixlen:
            continue
        inside = [one for one in used if meets(one, pool)]
        # A route over all of a large pool would be compared with each of its parts.
        if not any(one.prefixlen <= pool.prefixlen for one in inside):
            yield from (subnet for subnet in pool.subnets(new_prefix=size) if not any(meets(subnet, one) for one in inside))
