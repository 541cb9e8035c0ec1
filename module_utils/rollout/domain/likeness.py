"""Whether a container is what a service's configuration asks for, by what `docker inspect` says of it. Pure.

Compose's own hash says it at once, as long as the version of Compose that made the container hashes like the present one. What is
compared here must be sound: a key that is not known here is a difference.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping, Optional, Sequence

# Keys that change no container, or are compared by themselves (the image by its id, the number of containers by counting).
_BESIDE = {"image", "build", "develop", "pull_policy", "depends_on", "profiles", "scale", "expose", "attach", "annotations"}
_DURATION = re.compile(r"([\d.]+)(ms|us|ns|h|m|s)")
_NANOSECONDS = {"h": 3600e9, "m": 60e9, "s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
# Settings that the engine fills in by itself.
_OWN_LABELS = ("com.docker.compose.", "desktop.docker.io/")
# Keys of HostConfig that must be empty: no key that is compared here asks for them.
_EMPTY = (
    *("Devices", "DeviceRequests", "DeviceCgroupRules", "Sysctls", "Ulimits", "VolumesFrom", "Links", "StorageOpt", "Tmpfs"),
    *("Memory", "NanoCpus", "CpuShares", "CpuQuota", "CpusetCpus", "BlkioWeight", "UsernsMode", "UTSMode", "CgroupParent"),
    *("PidMode", "MemoryReservation", "PidsLimit", "OomScoreAdj", "DnsOptions", "DnsSearch", "VolumeDriver"),
)
# The engine's defaults.
_USUAL = {"IpcMode": ("", "private", "shareable"), "ShmSize": (0, 64 * 2**20)}

Inspected = Mapping[str, Any]


def differences(spec: Mapping[str, Any], config: Mapping[str, Any], found: Inspected, image: Inspected) -> list[str]:
    """In what a container is not known to be what its service asks for; nothing if it is. No value is told: it may be a secret.

    Args:
        spec: the service as Compose prints it; ``config`` the whole project.
        found: the container, and ``image`` the image that it runs, as `docker inspect` has them.
    """
    known = _Likeness(spec, config, found, image)
    wrong = [word for key, alike in known.parts().items() for word in ([] if alike else [key])]
    wrong += [f"{key} (not compared)" for key, value in spec.items() if value and key not in _BESIDE | set(known.parts())]
    host = found.get("HostConfig") or {}
    wrong += [f"{key} (not compared)" for key in _EMPTY if host.get(key)]
    return wrong + [f"{key} (not compared)" for key, usual in _USUAL.items() if host.get(key, usual[0]) not in usual]


def _plain(value: Any) -> str:
    """A value as Compose gives it to the engine: its own output doubles each dollar sign."""
    return str(value).replace("$$", "$")


def _words(value: Any) -> Optional[list[str]]:
    return None if value is None else [_plain(one) for one in value]


def nanoseconds(text: Any) -> int:
    """A duration as Compose prints it (1m30s)."""
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in _DURATION.findall(str(text or ""))))


class _Likeness:
    def __init__(self, spec: Mapping[str, Any], config: Mapping[str, Any], found: Inspected, image: Inspected) -> None:
        self.spec, self.project, self.found = spec, config, found
        self.host, self.own = found.get("HostConfig") or {}, found.get("Config") or {}
        self.image = image.get("Config") or {}

    def parts(self) -> dict[str, bool]:
        """Key of a service -> whether the container is as it says."""
        compared: dict[str, Callable[[], bool]] = {
            "environment": self._environment,
            "entrypoint": self._entrypoint,
            "command": self._command,
            "labels": self._labels,
            "ports": lambda: self._ports() == (self.host.get("PortBindings") or {}),
            "volumes": self._volumes,
            "networks": self._networks,
            "network_mode": self._network_mode,
            "restart": self._restart,
            "deploy": self._deploy,
            "healthcheck": self._healthcheck,
            "container_name": lambda: not self.spec.get("container_name") or self.spec["container_name"] == self._name,
            "hostname": lambda: (self.spec.get("hostname") or self.found.get("Id", "")[:12]) == self.own.get("Hostname"),
            "stop_grace_period": self._grace,
            "logging": self._logging,
            "working_dir": lambda: self._same("working_dir", "WorkingDir"),
            "user": lambda: self._same("user", "User"),
            "stop_signal": lambda: self._same("stop_signal", "StopSignal"),
        }
        flags = {"privileged": "Privileged", "read_only": "ReadonlyRootfs", "init": "Init"}
        lists = {
            **{"cap_add": "CapAdd", "cap_drop": "CapDrop", "security_opt": "SecurityOpt", "dns": "Dns"},
            **{"group_add": "GroupAdd", "extra_hosts": "ExtraHosts"},
        }
        terminal = {"tty": "Tty", "stdin_open": "OpenStdin"}
        found = {key: compare() for key, compare in compared.items()}
        found.update({key: bool(self.spec.get(key)) == bool(self.host.get(name)) for key, name in flags.items()})
        found.update({key: bool(self.spec.get(key)) == bool(self.own.get(name)) for key, name in terminal.items()})
        found.update({key: self._listed(key) == sorted(map(str, self.host.get(name) or [])) for key, name in lists.items()})
        return found

    @property
    def _name(self) -> str:
        return str(self.found.get("Name") or "").lstrip("/")

    def _listed(self, key: str) -> list[str]:
        value = self.spec.get(key) or []
        if isinstance(value, Mapping):
            value = [f"{name}:{one}" for name, ones in value.items() for one in ([ones] if isinstance(ones, str) else ones)]
        # Compose prints host=address, the engine has host:address.
        return sorted(_plain(one).replace("=", ":", 1) if key == "extra_hosts" else _plain(one) for one in value)

    def _same(self, key: str, name: str) -> bool:
        asked = self.spec.get(key)
        return _plain(asked) == self.own.get(name) if asked else (self.own.get(name) or "") == (self.image.get(name) or "")

    def _environment(self) -> bool:
        def pairs(listed: Any) -> dict[str, str]:
            return {name: value for name, _is, value in (str(one).partition("=") for one in listed or [])}

        asked = {name: _plain(value) for name, value in (self.spec.get("environment") or {}).items() if value is not None}
        return {**pairs(self.image.get("Env")), **asked} == pairs(self.own.get("Env"))

    def _entrypoint(self) -> bool:
        asked = _words(self.spec.get("entrypoint"))
        return (asked if asked is not None else self.image.get("Entrypoint") or []) == (self.own.get("Entrypoint") or [])

    def _command(self) -> bool:
        asked = _words(self.spec.get("command"))
        if asked is None:
            # With another entrypoint, the image's command is none.
            asked = [] if self.spec.get("entrypoint") is not None else self.image.get("Cmd") or []
        return asked == (self.own.get("Cmd") or [])

    def _labels(self) -> bool:
        asked = {name: _plain(value) for name, value in (self.spec.get("labels") or {}).items()}
        here = {n: v for n, v in (self.own.get("Labels") or {}).items() if not n.startswith(_OWN_LABELS)}
        own = {n: v for n, v in (self.image.get("Labels") or {}).items() if not n.startswith(_OWN_LABELS)}
        return {**own, **asked} == here

    def _ports(self) -> dict[str, list[dict[str, str]]]:
        bound: dict[str, list[dict[str, str]]] = {}
        for port in self.spec.get("ports") or []:
            if port.get("published") or port.get("host_ip"):
                where = {"HostIp": str(port.get("host_ip") or ""), "HostPort": str(port.get("published") or "")}
                bound.setdefault(f"{port.get('target')}/{port.get('protocol') or 'tcp'}", []).append(where)
        return bound

    def _volumes(self) -> bool:
        mounts = {str(one.get("Destination")): one for one in self.found.get("Mounts") or []}
        for entry in self.spec.get("volumes") or []:
            one = mounts.pop(str(entry.get("target")).rstrip("/") or "/", None)
            if one is None or not self._mounted(entry, one):
                return False
        # The rest must be the image's own volumes, without a name.
        return all(one.get("Type") == "volume" and path in (self.image.get("Volumes") or {}) for path, one in mounts.items())

    def _mounted(self, entry: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
        if entry.get("type") != one.get("Type") or bool(entry.get("read_only")) == bool(one.get("RW", True)):
            return False
        source = str(entry.get("source") or "")
        if entry.get("type") == "bind":
            return source == one.get("Source") and not set(entry.get("bind") or {}) - {"create_host_path"}
        if entry.get("type") == "volume" and not (entry.get("volume") or {}):
            name = ((self.project.get("volumes") or {}).get(source) or {}).get("name")
            return name == one.get("Name") if source else True
        return False

    def _networks(self) -> bool:
        if self.spec.get("network_mode"):
            return True
        there = (self.found.get("NetworkSettings") or {}).get("Networks") or {}
        asked = self.spec.get("networks") or {}
        names = {key: ((self.project.get("networks") or {}).get(key) or {}).get("name") for key in asked}
        return set(names.values()) == set(there) and all(
            self._attached(asked[key] or {}, there[name]) for key, name in names.items() if name
        )

    @staticmethod
    def _attached(asked: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
        fixed = there.get("IPAMConfig") or {}
        known = {"aliases", "ipv4_address", "ipv6_address", "priority"}
        return (
            not {key for key, value in asked.items() if value} - known
            and set(asked.get("aliases") or ()) <= set(there.get("Aliases") or ())
            and (asked.get("ipv4_address") or "") == (fixed.get("IPv4Address") or "")
            and (asked.get("ipv6_address") or "") == (fixed.get("IPv6Address") or "")
        )

    def _network_mode(self) -> bool:
        asked, here = self.spec.get("network_mode"), str(self.host.get("NetworkMode") or "")
        return asked == here if asked in ("host", "none", "bridge") else not asked and here not in ("host", "none")

    def _restart(self) -> bool:
        policy = self.host.get("RestartPolicy") or {}
        name, _colon, most = str(self.spec.get("restart") or "no").partition(":")
        return (policy.get("Name") or "no") == name and int(policy.get("MaximumRetryCount") or 0) == int(most or 0)

    def _deploy(self) -> bool:
        deploy = {key: value for key, value in (self.spec.get("deploy") or {}).items() if key not in ("replicas", "placement")}
        return not any(deploy.values())

    def _healthcheck(self) -> bool:
        asked, here, own = self.spec.get("healthcheck"), self.own.get("Healthcheck") or {}, self.image.get("Healthcheck") or {}
        if not asked:
            return bool(here == own)
        if asked.get("disable"):
            return here.get("Test") == ["NONE"]
        times = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod", "start_interval": "StartInterval"}
        test = asked.get("test")
        test = ["CMD-SHELL", test] if isinstance(test, str) else test
        return (
            (_words(test) if test else own.get("Test")) == here.get("Test")
            and all(
                nanoseconds(asked[k]) == here.get(n, 0) if k in asked else here.get(n, 0) == own.get(n, 0)
                for k, n in times.items()
            )
            and int(asked.get("retries") or own.get("Retries") or 0) == int(here.get("Retries") or 0)
        )

    def _grace(self) -> bool:
        asked = self.spec.get("stop_grace_period")
        here = self.own.get("StopTimeout")
        return here is None if not asked else nanoseconds(asked) == int(here or 0) * 10**9

    def _logging(self) -> bool:
        asked, here = self.spec.get("logging"), self.host.get("LogConfig") or {}
        # Without a wish it is the engine's own, which may have changed since.
        return not asked or (
            asked.get("driver", here.get("Type")) == here.get("Type")
            and (asked.get("options") or {}) == (here.get("Config") or {})
        )


def told(wrong: Sequence[str]) -> str:
    """The differences in a few words."""
    return ", ".join(wrong[:3]) + (" and more" if len(wrong) > 3 else "")
