from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.features import COMPOSE, ENGINE
from ansible.module_utils.rollout.domain.needs import Stack, There, anonymous, faults, sources
from ansible.module_utils.rollout.domain.networks import Route
from hypothesis import given
from hypothesis import strategies as st

# Of `docker info` (20.10.24).
INFO = {
    "NCPU": 2,
    "MemTotal": 25276502016,
    "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "macvlan", "null"], "Log": ["json-file", "local", "journald"]},
}
BRIDGE = {"Name": "bridge", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}, "Labels": {}}
VERSIONS = {ENGINE: "20.10.24+dfsg1", COMPOSE: "2.26.1-4"}
FILE = "docker-compose.work.yml"


def there(**facts):
    given = {"versions": VERSIONS, "networks": [BRIDGE], "info": INFO, "routes": [Route("192.0.2.0/24", "eth0")]}
    return There(**{**given, **facts})


def stack(spec=None, name="work", **config):
    """A stack as Compose prints it while it is checked: as project check."""
    return Stack(f"app-{name}", f"docker-compose.{name}.yml", {"name": "check", "services": {"worker": spec or {}}, **config})


def said(*stacks, **facts):
    return faults(stacks, there(**facts), ["app-web", "app-work"])


MEDIA = {"media": {"name": "check_media"}}
NFS = {"media": {"name": "check_media", "driver_opts": {"type": "nfs", "device": ":/x"}}}


@pytest.mark.parametrize(
    ("asked", "facts", "sentence"),
    [
        (
            stack(networks={"proxy": {"external": True, "name": "proxy-net", "ipam": {}}}),
            {},
            "network proxy is external, and this host has no network proxy-net. Create it there: docker network create proxy-net",
        ),
        (
            stack(volumes={"media": {"external": True, "name": "media-x"}}),
            {},
            "volume media is external, and this host has no volume media-x. Create it there: docker volume create media-x",
        ),
        (
            stack(networks={"bridge": {"name": "bridge"}}),
            {},
            "network bridge is named bridge, and this host has a network of that name that Compose did not make for it. Write "
            "'external: true' beside its name, or choose another name.",
        ),
        (
            stack({"container_name": "taken"}),
            {"containers": {"taken": ("", "", "running")}},
            "service worker needs the container name taken, which another container (running) has on this host. Rename that one there "
            "(docker rename taken taken-old), remove it, or choose another name.",
        ),
        (
            stack({"container_name": "taken"}),
            {"containers": {"taken": ("other", "x", "exited")}},
            "service worker needs the container name taken, which a container of project other (exited) has on this host.",
        ),
        (
            stack(),
            {"containers": {"app-work-worker-1": ("", "", "created")}},
            "needs the container name app-work-worker-1, which another",
        ),
        (
            stack({"network_mode": "container:vpn"}),
            {},
            "service worker has network_mode of container vpn, which does not exist on this host. Start it first, or correct the name.",
        ),
        (
            stack({"pid": "container:vpn"}),
            {"containers": {"vpn": ("", "", "exited")}},
            "has pid of container vpn, which does not run",
        ),
        (stack({"volumes_from": ["container:old:ro"]}), {}, "has volumes_from of container old, which does not exist"),
        (
            stack({"runtime": "sysbox-runc"}),
            {},
            "service worker asks for runtime sysbox-runc, which the engine of this host does not have (it has io.containerd.runc.v2, runc). "
            "Install it and name it in /etc/docker/daemon.json (runtimes), or remove the key.",
        ),
        (stack({"runtime": "io.containerd.kata.v2"}), {}, "runtime io.containerd.kata.v2"),
        (
            stack({"devices": [{"source": "/dev/dri", "target": "/dev/dri", "permissions": "rwm"}]}),
            {"absent": {"/dev/dri"}},
            "service worker needs device /dev/dri, which this host does not have. Connect it or load its driver, until ls /dev/dri "
            "finds it there, or remove it from devices.",
        ),
        (
            stack({"volumes": [{"type": "bind", "source": "/mnt/nas", "target": "/media", "bind": {}}]}),
            {"absent": {"/mnt/nas"}},
            "service worker needs /mnt/nas, which does not exist on this host, and Docker does not create it. Create it there, or correct "
            "the path.",
        ),
        (
            stack({"secrets": [{"source": "pw"}]}, secrets={"pw": {"name": "check_pw", "file": "/etc/pw"}}),
            {"absent": {"/etc/pw"}},
            "secret pw needs /etc/pw, which",
        ),
        (
            stack({"configs": [{"source": "c"}]}, configs={"c": {"name": "cc", "external": True}}),
            {},
            "config c is external, which Compose does not support. Give it a file, content or environment instead.",
        ),
        (stack({"cpus": 64}), {}, "service worker has cpus 64, and this host has 2 CPUs (0 to 1). Lower it."),
        (stack({"cpuset": "0-3"}), {}, "service worker has cpuset 0-3, and this host has 2 CPUs"),
        (stack({"deploy": {"resources": {"limits": {"cpus": "2.5"}}}}), {}, "has deploy.resources.limits.cpus 2.5, and"),
        (stack({"deploy": {"resources": {"reservations": {"cpus": 3}}}}), {}, "has deploy.resources.reservations.cpus 3, and"),
        (stack({"mem_limit": "966367641600"}), {}, "has mem_limit 966.4 GB, and this host has 25.3 GB of memory. Lower it."),
        (stack({"mem_reservation": "966367641600"}), {}, "has mem_reservation 966.4 GB"),
        (
            stack({"deploy": {"resources": {"limits": {"memory": "966367641600"}}}}),
            {},
            "has deploy.resources.limits.memory 966.4 GB",
        ),
        (
            stack({"logging": {"driver": "loki"}}),
            {"plugins": ["vieux/sshfs:latest"]},
            "service worker needs the log driver loki, which the engine of this host does not have (it has journald, json-file, local, "
            "vieux/sshfs:latest). Install it there (docker plugin install), or choose another one.",
        ),
        (stack(volumes={"v": {"name": "check_v", "driver": "rclone"}}), {}, "volume v needs the volume driver rclone, which"),
        (stack(networks={"n": {"name": "check_n", "driver": "weave"}}), {}, "network n needs the network driver weave, which"),
        (
            stack({"networks": {"n": {"ipv4_address": "172.30.1.1"}}}, networks={"n": {"name": "check_n"}}),
            {},
            "service worker asks for address 172.30.1.1 in network n, and the file gives that network no subnet.",
        ),
        (
            stack(
                {"networks": {"n": {"ipv4_address": "172.30.1.1"}}},
                networks={"n": {"name": "check_n", "ipam": {"config": [{"subnet": "172.30.0.0/24"}]}}},
            ),
            {},
            "asks for address 172.30.1.1 in network n, and its subnets are 172.30.0.0/24.",
        ),
        (
            stack({"networks": {"n": {"ipv4_address": "10.0.0.9"}}}, networks={"n": {"name": "bridge", "external": True}}),
            {},
            "asks for address 10.0.0.9 in network n, and its subnets are 172.17.0.0/16.",
        ),
        (
            stack(networks={"fixed": {"name": "check_fixed", "ipam": {"config": [{"subnet": "172.17.0.0/24"}]}}}),
            {},
            "network fixed asks for subnet 172.17.0.0/24, which overlaps with network bridge (172.17.0.0/16) on this host.",
        ),
        (stack({"gpus": [{"count": -1}]}), {}, "service worker uses gpus, which needs Docker Compose 2.30.0 or newer"),
        (
            stack(volumes=NFS),
            {"volumes": {"app-work_media": {"Driver": "local", "Options": None}}},
            "Volume app-work_media of project app-work is not what docker-compose.work.yml says: it has driver_opts none, the file says "
            "device=:/x type=nfs. Docker does not change a volume that exists, so the data would stay in the old one. Write in the file "
            "what the volume has; or give it another name there (volumes.media.name: app-work_media-2), create that volume and copy the "
            "data: docker run --rm --volume app-work_media:/from:ro --volume app-work_media-2:/to alpine cp -a /from/. /to/",
        ),
    ],
)
def test_what_is_not_there_is_said(asked, facts, sentence):
    (found,) = said(asked, **facts)
    assert found.startswith((f"{FILE}: ", "Volume "))
    assert sentence in found


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        (stack(), {}),
        (stack(networks={"default": {"name": "check_default", "ipam": {}}}), {}),
        (
            stack(networks={"b": {"external": True, "name": "bridge"}}, volumes={"media": {"external": True, "name": "m"}}),
            {"volumes": {"m": {}}},
        ),
        # What this application's own containers hold goes over; a killed recreate leaves another name.
        (stack({"container_name": "taken"}), {"containers": {"taken": ("app-work", "old", "running")}}),
        (stack({"container_name": "taken"}), {"containers": {"taken": ("app-web", "web", "running")}}),
        (stack({"container_name": "taken"}), {"containers": {"0123456789ab_taken": ("app-work", "worker", "created")}}),
        (stack({"network_mode": "container:vpn"}), {"containers": {"vpn": ("", "", "running")}}),
        (stack({"network_mode": "container:vpn"}), {"containers": {"vpn": ("app-web", "vpn", "exited")}}),
        (stack({"network_mode": "container:0123456789ab", "volumes_from": ["other"], "pid": "host", "ipc": "service:x"}), {}),
        (stack({"volumes_from": ["container:old"]}), {"containers": {"old": ("", "", "exited")}}),
        (stack({"runtime": "runc"}), {}),
        (stack({"runtime": "io.containerd.kata.v2"}), {"versions": {ENGINE: "28.0"}}),
        (stack({"runtime": "anything"}), {"info": {}}),
        (stack({"cpus": 2, "cpuset": "0,1", "mem_limit": "25276502016"}), {}),
        (stack({"cpus": 200, "cpuset": "9", "mem_limit": "966367641600"}), {"info": {}}),
        (stack({"mem_limit": "much", "deploy": {"resources": {}}}), {}),
        (stack({"logging": {"driver": "none"}}), {}),
        (stack({"logging": {"driver": "loki"}}), {"plugins": ["loki:latest"]}),
        (stack({"logging": {"driver": "loki"}}), {"info": {}}),
        (stack(networks={"n": {"name": "check_n", "driver": "none"}}), {}),
        (
            stack({"devices": ["/dev/dri:/dev/dri"], "volumes": [{"type": "bind", "source": "/srv", "bind": {}}]}),
            {"absent": {"/dev/kfd"}},
        ),
        # Compose makes the directory.
        (stack({"volumes": [{"type": "bind", "source": "/srv", "bind": {"create_host_path": True}}]}), {"absent": {"/srv"}}),
        (
            stack(volumes=MEDIA),
            {"volumes": {"app-work_media": {"Driver": "local", "Options": None}, "check_media": {"Driver": "x"}}},
        ),
        (
            stack({"networks": {"n": {"ipv4_address": "10.0.0.9"}}}, networks={"n": {"name": "x", "external": True}}),
            {"networks": [{"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}}]},
        ),
    ],
)
def test_what_is_there(asked, facts):
    assert said(asked, **facts) == []


def test_all_of_it_is_told_at_once():
    spec = {"runtime": "kata", "cpus": 64, "devices": ["/dev/dri"], "container_name": "taken"}
    web = stack({"mem_limit": "966367641600"}, "web", volumes={"m": {"external": True, "name": "m"}})
    found = said(web, stack(spec), absent={"/dev/dri"}, containers={"taken": ("", "", "running")})
    assert [one.split(": ")[0] for one in found] == ["docker-compose.web.yml"] * 2 + [FILE] * 4


def test_two_services_cannot_have_one_name():
    (found,) = said(stack({"container_name": "one"}, "web"), stack({"container_name": "one"}))
    assert found == (
        f"{FILE}: service worker has container_name one, which service worker of docker-compose.web.yml has too. Choose another name "
        "for one."
    )


def test_what_one_stack_makes_is_there_for_another():
    web = stack({"container_name": "vpn"}, "web", networks={"proxy": {"name": "proxy"}}, volumes={"data": {"name": "check_data"}})
    uses = {"proxy": {"external": True, "name": "proxy"}}
    work = stack({"network_mode": "container:vpn"}, networks=uses, volumes={"d": {"external": True, "name": "app-web_data"}})
    assert said(web, work) == []
    assert len(said(work)) == 3


def test_a_network_that_two_stacks_make_is_made_once():
    both = {"shared": {"name": "shared", "ipam": {"config": [{"subnet": "172.30.0.0/24"}]}}}
    assert said(stack(None, "web", networks=both), stack(networks=both)) == []


def test_a_network_that_changes_is_made_anew():
    now = {
        "Name": "app-work_n",
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "172.30.0.0/24"}]},
        "Labels": {"com.docker.compose.network": "n"},
    }
    same = stack(networks={"n": {"name": "check_n", "internal": True, "ipam": {"config": [{"subnet": "172.30.0.0/24"}]}}})
    assert said(same, networks=[BRIDGE, now]) == []
    other = stack(networks={"n": {"name": "check_n", "ipam": {"config": [{"subnet": "192.0.2.0/24"}]}}})
    assert len(said(other, networks=[BRIDGE, now])) == 1


def test_the_engine_names_its_pools():
    info = {**INFO, "DefaultAddressPools": [{"Base": "172.17.0.0/16", "Size": 16}]}
    (found,) = said(stack(networks={"default": {"name": "check_default"}}), info=info)
    assert "no free subnet is left on this host for network default" in found
    info = {**INFO, "DefaultAddressPools": [{"Base": "fd00::/48", "Size": 64}, {"Base": "10.0.0.0/16", "Size": 24}]}
    assert said(stack(networks={"default": {"name": "check_default", "enable_ipv6": True}}), info=info) == []


def test_a_kept_service_that_runs_is_not_asked_about():
    config = {
        "name": "check",
        "services": {"db": {"container_name": "taken", "cpus": 64, "volumes": [{"type": "bind", "source": "/srv"}]}},
    }
    facts = there(containers={"taken": ("", "", "running")}, absent={"/srv"})
    assert len(faults([Stack("app-work", FILE, config)], facts, [])) == 3
    assert faults([Stack("app-work", FILE, config, ["db"])], facts, []) == []


def test_which_sources_have_to_exist_depends_on_compose():
    config = {
        "services": {
            "a": {
                "volumes": [
                    {"type": "bind", "source": "/long"},
                    {"type": "bind", "source": "/short", "bind": {"create_host_path": True}},
                ]
            },
            "b": {
                "volumes": [
                    {"type": "bind", "source": "/never", "bind": {"propagation": "rslave"}},
                    {"type": "volume", "source": "v"},
                ]
            },
        },
        "configs": {"unused": {"file": "/unused"}},
        "volumes": {
            "v": {"driver_opts": {"type": "none", "o": "bind", "device": "/mnt/v"}},
            "w": {"driver_opts": {"o": "addr=x", "device": ":/"}},
        },
    }
    assert sources(config, "2.26.1-4") == {"/long": ["service a"], "/never": ["service b"], "/mnt/v": ["volume v"]}
    assert sources(config, "2.40.0") == {"/never": ["service b"], "/mnt/v": ["volume v"]}


# Of `docker image inspect`.
IMAGE = {"Config": {"Volumes": {"/app/public": {}, "/data/": {}}}}


@pytest.mark.parametrize(
    ("image", "spec", "paths"),
    [
        (IMAGE, {}, ["/app/public", "/data"]),
        (IMAGE, {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}, ["/app/public"]),
        (IMAGE, {"volumes": [{"type": "bind", "source": "/srv", "target": "/app/public/"}], "tmpfs": ["/data:size=1m"]}, []),
        (IMAGE, {"volumes": [{"type": "tmpfs", "target": "/data"}], "configs": [{"source": "c", "target": "/app/public"}]}, []),
        # A mount above hides nothing: the engine makes a volume all the same.
        (
            IMAGE,
            {
                "volumes": [
                    {"type": "volume", "source": "a", "target": "/app"},
                    {"type": "volume", "source": "d", "target": "/data"},
                ]
            },
            ["/app/public"],
        ),
        ({"Config": {"Volumes": None}}, {"volumes": [{"type": "volume", "target": "/anon", "volume": {}}]}, ["/anon"]),
        (
            {"Config": {"Volumes": {"/run/secrets/pw": {}, "/c": {}}}},
            {"secrets": [{"source": "pw"}], "configs": [{"source": "c"}]},
            [],
        ),
        ({}, {}, []),
    ],
)
def test_anonymous(image, spec, paths):
    assert anonymous(image, spec) == paths


@given(st.sets(st.sampled_from(["/a", "/a/b", "/c", "/d"])), st.sets(st.sampled_from(["/a", "/a/b", "/c", "/e"])))
def test_each_volume_is_mounted_or_anonymous(declared, mounted):
    spec = {"volumes": [{"type": "volume", "source": "v", "target": path} for path in mounted]}
    assert set(anonymous({"Config": {"Volumes": {path: {} for path in declared}}}, spec)) == declared - mounted
