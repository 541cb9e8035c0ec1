from __future__ import annotations

import copy
import json
import os
import posixpath
import shutil
import subprocess

import pytest
from ansible.module_utils.rollout.domain import compose, pins
from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL, RELEASE_LABEL, Service
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

FAR = "/state/.reading.x"
PLACE = f"{FAR}{pins.DEEP}/core"
DATA = "/state/data/core"
DIGEST = "sha256:" + "1" * 64

DATABASES = [
    "postgres",
    "postgres:17-alpine",
    "docker.io/library/postgres:17",
    "localhost:5000/postgres",
    "postgres@sha256:" + "0" * 64,
    "bitnami/postgresql:16",
    "postgis/postgis:16-3.4",
    "timescale/timescaledb-ha:pg16",
    "pgvector/pgvector:pg16",
    "tensorchord/pgvecto-rs:pg14-v0.2.0",
    "tensorchord/vchord-postgres:pg16-v0.3.0",
    "ghcr.io/immich-app/postgres:14-vectorchord0.4.3",
    "mariadb:11",
    "mysql/mysql-server",
    "percona/percona-server:8.0",
    "mongo:7",
    "mongodb/mongodb-community-server",
    "redis:7-alpine",
    "redis/redis-stack-server",
    "docker.io/valkey/valkey:8-bookworm@sha256:" + "0" * 64,
    "eqalpha/keydb",
    "docker.dragonflydb.io/dragonflydb/dragonfly",
    "memcached",
    "rabbitmq:3.13-management",
    "nats",
    "confluentinc/cp-kafka:7.6.1",
    "apache/kafka",
    "docker.redpanda.com/redpandadata/redpanda",
    "apache/activemq-classic",
    "docker.elastic.co/elasticsearch/elasticsearch:8.14.0",
    "opensearchproject/opensearch",
    "influxdb:2",
    "clickhouse/clickhouse-server",
    "scylladb/scylla",
    "neo4j",
    "getmeili/meilisearch:v1.8",
    "typesense/typesense",
    "qdrant/qdrant",
    "chromadb/chroma",
    "quay.io/minio/minio:RELEASE.2024-06-13",
    "quay.io/coreos/etcd",
    "eclipse-mosquitto:2",
    "cockroachdb/cockroach",
    "mcr.microsoft.com/mssql/server:2022-latest",
    "gvenzl/oracle-xe",
]
OTHERS = [
    "nginx",
    "traefik:v3",
    "prom/prometheus:latest",
    "grafana/grafana",
    "jaegertracing/all-in-one",
    "prometheuscommunity/postgres-exporter",
    "oliver006/redis_exporter",
    "rediscommander/redis-commander",
    "redis/redisinsight",
    "dpage/pgadmin4",
    "phpmyadmin:5",
    "mongo-express",
    "edoburu/pgbouncer",
    "prodrigestivill/postgres-backup-local",
    "minio/mc",
    "nextcloud:31",
    "ollama/ollama",
    "provectuslabs/kafka-ui",
    "myredis",
    "postgresql-tools",
    "postgres/app",
    "postgres.example/web",
    "registry.example:5000/postgres/server",
    "mssql-tools",
    "server",
    "elasticsearch-exporter",
    "ghcr.io/immich-app/immich-server",
    "",
]


@pytest.mark.parametrize("image", DATABASES)
def test_a_database_or_broker_is_known_by_its_image(image):
    assert pins.is_database(image)


@pytest.mark.parametrize("image", OTHERS)
def test_what_is_near_a_database_is_none(image):
    assert not pins.is_database(image)


FRONT = {"web": {"start_first": {"proxy": "db", "port": 80}}}


@pytest.mark.parametrize(
    ("image", "keys", "before", "why"),
    [
        ("mine", {}, {}, None),
        ("mine", {"db": {}}, {}, None),
        ("mine", {"db": {"keep": True}}, {}, "asked"),
        ("mine", {"db": {"keep": False}}, {}, None),
        ("mine", {}, {"db": "earlier"}, "earlier"),
        ("mine", FRONT, {}, "proxy"),
        ("postgres:17", {}, {}, "image"),
        # What the inventory says goes before all else, ...
        ("postgres:17", {"db": {"keep": False}}, {}, None),
        ("postgres:17", {"db": {"keep": True}}, {"db": "earlier"}, "asked"),
        ("postgres:17", {"db": {"keep": False}}, {"db": "earlier"}, None),
        ("mine", {**FRONT, "db": {"keep": False}}, {"db": "earlier"}, None),
        # ... then what was kept by an earlier version, ...
        ("postgres:17", {}, {"db": "earlier"}, "earlier"),
        ("postgres:17", FRONT, {"db": "earlier"}, "earlier"),
        # ... then that it is a proxy. For this version's other reasons there must be one today.
        ("haproxy", FRONT, {"db": "image"}, "proxy"),
        ("mine", {}, {"db": "image"}, None),
        ("mine", {}, {"db": "asked"}, None),
        ("mine", {}, {"db": "proxy"}, None),
        ("mine", {}, {"other": "earlier"}, None),
        # None stands in front of itself.
        ("mine", {"db": {"start_first": {"proxy": "db", "port": 80}}}, {}, None),
    ],
)
def test_why_a_service_is_kept(image, keys, before, why):
    found = pins.kept({"web": "r/web:1", "db": image}, keys, before)
    assert found == ({"db": why} if why else {})


KEYS = st.dictionaries(st.sampled_from(["web", "db"]), st.sampled_from([{}, {"keep": True}, {"keep": False}]))
IMAGES = st.dictionaries(st.sampled_from(["web", "db"]), st.sampled_from(["mine", "postgres"]))
BEFORE = st.dictionaries(st.sampled_from(["web", "db", "gone"]), st.sampled_from(["earlier", "image"]))


@given(IMAGES, KEYS, BEFORE)
def test_only_services_of_the_file_are_kept_and_what_the_inventory_says_is_done(images, keys, before):
    found = pins.kept(images, keys, before)
    assert set(found) <= set(images)
    for name in images:
        if "keep" in keys.get(name, {}):
            assert (found.get(name) == "asked") is keys[name]["keep"]
    # Nobody's database restarts because this tool was upgraded, and its second run decides as the first.
    assert pins.kept(images, keys, {**before, **found}) == found


def bind(source, target="/t", **more):
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": True}, **more}


def config_of(*volumes, **top):
    return {"services": {"web": {"image": "x", "volumes": [*volumes]}}, **top}


MIXED = {
    "services": {
        "web": {
            "image": "x",
            "volumes": [
                bind(f"{PLACE}/a.conf", "/a", read_only=True),
                bind(f"{PLACE}/data", "/d"),
                bind("/srv/x", "/x"),
                {"type": "volume", "source": "v", "target": "/v"},
                {"type": "tmpfs", "target": "/tmp"},
                "short:/syntax",
            ],
        },
        "plain": {"image": "x", "volumes": None},
    },
    "configs": {"c": {"file": f"{PLACE}/c/c.conf"}, "inline": {"content": "x"}},
    "secrets": {"s": {"file": f"{PLACE}/s.txt"}, "variable": {"environment": "PW"}, "outside": {"file": "/etc/s"}},
    "volumes": {
        "v": {"driver_opts": {"device": f"{PLACE}/vol", "o": "bind", "type": "none"}},
        "w": {"driver_opts": {"device": "./vol2"}},
        "nfs": {"driver_opts": {"device": ":/export"}},
        "none": None,
    },
}


def mount(path, kind, service, target="", read_only=False):
    return {"path": path, "kind": kind, "service": service, "target": target, "read_only": read_only}


def test_the_mounts_below_the_source():
    assert pins.mounts(MIXED, PLACE) == [
        mount("a.conf", "bind", "web", "/a", True),
        mount("data", "bind", "web", "/d"),
        mount("c/c.conf", "config", "c", read_only=True),
        mount("s.txt", "secret", "s", read_only=True),
        mount("vol", "volume", "v"),
        mount("vol2", "volume", "w"),
    ]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (PLACE, "."),
        (f"{PLACE}/", "."),
        (posixpath.dirname(PLACE), ".."),
        (f"{posixpath.dirname(PLACE)}/x", "../x"),
        (f"{FAR}/.source/x", "../../../../../../x"),
        ("../x", "../x"),
        ("./x/../../y", "../y"),
        (f"{PLACE}s/x", "../cores/x"),
    ],
)
def test_a_path_that_leaves_the_source_says_so(source, path):
    assert [one["path"] for one in pins.mounts(config_of(bind(source)), PLACE)] == [path]


@pytest.mark.parametrize("source", ["/", "/srv", "/state", "/state/.reading.xy/x", "named", ":/export", "", "~/x"])
def test_an_absolute_path_is_nobodys_business(source):
    assert pins.mounts(config_of(bind(source)), PLACE) == []
    assert pins.rebased(config_of(bind(source)), PLACE, {}, DATA, "f") == (config_of(bind(source)), {})


def moved(*volumes, where=None, **top):
    return pins.rebased(config_of(*volumes, **top), PLACE, where or {}, DATA, "f.yml")


@pytest.mark.parametrize(
    ("path", "where", "place", "created"),
    [
        ("a.conf", {"a.conf": "/state/files/1/a.conf"}, "/state/files/1/a.conf", False),
        ("dash", {"dash": "/state/files/2/dash"}, "/state/files/2/dash", False),
        ("dash/sub/x", {"dash": "/state/files/2/dash"}, "/state/files/2/dash/sub/x", False),
        # Its name only begins so.
        ("dashboards", {"dash": "/state/files/2/dash"}, f"{DATA}/dashboards", True),
        ("data", {}, f"{DATA}/data", True),
        ("a/b", {"b": "/state/files/1/b"}, f"{DATA}/a/b", True),
        ("a", {"a/b": "/state/files/1/b"}, f"{DATA}/a", True),
    ],
)
def test_where_a_bind_is_in_a_release(path, where, place, created):
    config, document = moved(bind(f"{PLACE}/{path}", read_only=True), where=where)
    entry = {**bind(place, read_only=True), "bind": {"create_host_path": created}}
    assert config["services"]["web"]["volumes"] == [entry]
    assert document == {"services": {"web": {"volumes": [entry]}}}


def test_what_else_a_bind_says_stays():
    entry = bind(f"{PLACE}/a", bind={"create_host_path": True, "propagation": "rslave", "selinux": "z"})
    found = moved(entry, where={"a": "/f/a"})[0]["services"]["web"]["volumes"][0]
    assert found["bind"] == {"create_host_path": False, "propagation": "rslave", "selinux": "z"}
    assert moved({"type": "bind", "source": f"{PLACE}/d", "target": "/d"})[0]["services"]["web"]["volumes"][0]["bind"] == {
        "create_host_path": True
    }


def test_configs_secrets_and_devices_of_volumes_move_too():
    before = copy.deepcopy(MIXED)
    where = {"a.conf": "/f/1/a.conf", "c": "/f/2/c", "s.txt": "/f/3/s.txt"}
    config, document = pins.rebased(MIXED, PLACE, where, DATA, "f.yml")
    assert document == {
        "services": {
            "web": {
                "volumes": [
                    {**bind("/f/1/a.conf", "/a", read_only=True), "bind": {"create_host_path": False}},
                    bind(f"{DATA}/data", "/d"),
                ]
            }
        },
        "configs": {"c": {"file": "/f/2/c/c.conf"}},
        "secrets": {"s": {"file": "/f/3/s.txt"}},
        "volumes": {
            "v": {"driver_opts": {"device": f"{DATA}/vol"}},
            "w": {"driver_opts": {"device": f"{DATA}/vol2"}},
        },
    }
    assert config["volumes"]["v"] == {"driver_opts": {"device": f"{DATA}/vol", "o": "bind", "type": "none"}}
    assert config["secrets"]["outside"] == {"file": "/etc/s"}
    assert before == MIXED, "what was read stays as it was"


@pytest.mark.parametrize("path", [".", "..", "../x", "../../x", "a/../..", "a/.."])
@pytest.mark.parametrize("kind", ["bind", "config", "secret", "volume"])
def test_a_path_that_leaves_the_source_or_is_all_of_it_is_refused(kind, path):
    source = posixpath.normpath(posixpath.join(PLACE, path))
    config = {
        "bind": config_of(bind(source)),
        "config": {"configs": {"c": {"file": source}}},
        "secret": {"secrets": {"c": {"file": source}}},
        "volume": {"volumes": {"c": {"driver_opts": {"device": source}}}},
    }[kind]
    where = {"bind": "services.web", "config": "configs.c", "secret": "secrets.c", "volume": "volumes.c"}[kind]
    with pytest.raises(RolloutError) as error:
        pins.rebased(config, PLACE, {}, DATA, "f.yml")
    assert str(error.value) == (
        f"f.yml: {where} has the path '{posixpath.normpath(path)}', which leaves the folder of the Compose file. Write an absolute "
        "path, or put what it names beside that file."
    )


def test_which_paths_are_data():
    where = {"a.conf": "/f/1/a.conf", "c": "/f/2/c", "s.txt": "/f/3/s.txt"}
    assert pins.data(MIXED, PLACE, where, DATA) == {path: f"{DATA}/{path}" for path in ("data", "vol", "vol2")}


SEGMENT = st.sampled_from(["a", "b", "a.conf", ".x", "..y"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


@given(st.lists(PATHS, max_size=4), st.sets(PATHS, max_size=3))
def test_every_relative_path_ends_in_the_release_or_in_the_data_and_nowhere_else(paths, released):
    where = {path: f"/state/files/{number}/{posixpath.basename(path)}" for number, path in enumerate(sorted(released))}
    config = config_of(*(bind(f"{PLACE}/{path}", f"/t{number}") for number, path in enumerate(paths)))
    found, document = pins.rebased(config, PLACE, where, DATA, "f")
    assert FAR not in json.dumps([found, document])
    sources = [one["source"] for one in found["services"]["web"]["volumes"]]
    for path, source in zip(paths, sources, strict=True):
        ours = [folder for folder in released if f"{path}/".startswith(f"{folder}/")]
        assert source.startswith("/state/files/" if ours else f"{DATA}/")
        assert source.endswith(f"/{posixpath.basename(path)}")
    # The same as what says it to Compose, and what was read again stays where it is.
    assert document.get("services", {}).get("web", {}).get("volumes", []) == found["services"]["web"]["volumes"]
    assert pins.rebased(found, PLACE, where, DATA, "f")[0] == found
    assert set(pins.data(config, PLACE, where, DATA).values()) == {s for s in sources if s.startswith(DATA)}


def service(name, image="r/web:v1", released=True, **facts):
    return Service(name, image, released, config_hash=f"hash-{name}", **facts)


def test_pins_name_digest_and_labels_of_every_service():
    images = {"r/web:v1": {"digest": DIGEST}, "postgres:17": {"digest": DIGEST}}
    text = pins.pins([service("db", "postgres:17", False), service("web")], images, "sha-abc1234")
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "services": {
            "web": {
                "image": f"r/web:v1@{DIGEST}",
                "labels": {RELEASE_LABEL: "sha-abc1234", CONFIG_LABEL: "hash-web"},
            },
            # What is kept is of no release.
            "db": {"image": f"postgres:17@{DIGEST}", "labels": {CONFIG_LABEL: "hash-db"}},
        }
    }


def test_pins_say_where_paths_are_too_and_leave_that_as_it_was():
    _config, document = moved(bind(f"{PLACE}/d"), configs={"c": {"file": f"{PLACE}/c"}})
    before = copy.deepcopy(document)
    found = json.loads(pins.pins([service("web")], {"r/web:v1": {"digest": DIGEST}}, "v1", document))
    assert found["services"]["web"]["volumes"] == [bind(f"{DATA}/d")]
    assert found["services"]["web"]["image"] == f"r/web:v1@{DIGEST}"
    assert found["configs"] == {"c": {"file": f"{DATA}/c"}}
    assert document == before


def test_the_text_of_pins_depends_on_nothing_but_what_it_says():
    images = {"r/web:v1": {"digest": DIGEST}}
    services = [service("web"), service("api")]
    assert pins.pins(services, images, "v1") == pins.pins(services[::-1], images, "v1")


@pytest.mark.parametrize(
    ("reference", "image", "pinned", "found"),
    [
        ("r/web:v1", {"digest": DIGEST}, f"r/web:v1@{DIGEST}", f"r/web@{DIGEST}"),
        ("h:5000/r/web:v1", {"digest": DIGEST, "id": "sha256:2"}, f"h:5000/r/web:v1@{DIGEST}", f"h:5000/r/web@{DIGEST}"),
        ("h:5000/web", {"digest": DIGEST}, f"h:5000/web@{DIGEST}", f"h:5000/web@{DIGEST}"),
        (f"r/web:v1@{DIGEST}", {"digest": DIGEST}, f"r/web:v1@{DIGEST}", f"r/web@{DIGEST}"),
        # Built here.
        ("mine:dev", {"digest": "", "id": "sha256:2"}, "sha256:2", "sha256:2"),
        ("mine:dev", {"id": "sha256:2"}, "sha256:2", "sha256:2"),
    ],
)
def test_an_image_is_pinned_by_its_digest_or_by_its_id(reference, image, pinned, found):
    assert (pins.pinned(reference, image), pins.by_digest(reference, image)) == (pinned, found)


STACK = """
x-rollout: {web: {deadline: 3}}
services:
  web:
    image: r/web:${IMAGE_TAG}
    build: .
    ports: ["8000:80"]
    volumes:
      - ./a.conf:/a.conf:ro
      - ./data:/data/
      - named:/v
      - {type: bind, source: ./dash, target: /dash, read_only: true}
      - /srv/x:/x
    configs: [c]
    secrets: [s]
    depends_on: [db]
    labels: {own: x}
  db:
    image: postgres:17
    volumes: [./pg:/var/lib/postgresql/data, dev:/dev2]
volumes:
  named: {}
  dev: {driver: local, driver_opts: {type: none, o: bind, device: ./devd}}
configs: {c: {file: ./c.conf}}
secrets: {s: {file: ./sub/s.txt}}
"""


@pytest.mark.skipif(not shutil.which("docker"), reason="needs Compose")
def test_compose_reads_a_release_as_its_pins_say(tmp_path):
    def read(folder, *files):
        place = ["--project-name", "check", "--project-directory", folder, "--env-file", folder / ".env"]
        names = [part for name in files for part in ("--file", folder / name)]
        call = ["docker", "compose", *place, *names, "config", "--format", "json"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return json.loads(subprocess.run(call, capture_output=True, text=True, check=True, env=environment).stdout)

    source, release = tmp_path / pins.DEEP[1:] / "core", tmp_path / "release"
    for folder in (source, release):
        folder.mkdir(parents=True)
        (folder / "docker-compose.yml").write_text(STACK)
        (folder / ".env").write_text("IMAGE_TAG=v1\n")
    config = read(source, "docker-compose.yml")
    assert {(one["kind"], one["path"]) for one in pins.mounts(config, str(source))} == {
        *(("bind", path) for path in ("a.conf", "data", "dash", "pg")),
        ("volume", "devd"),
        ("config", "c.conf"),
        ("secret", "sub/s.txt"),
    }
    where = {"a.conf": "/f/1/a.conf", "dash": "/f/2/dash", "c.conf": "/f/3/c.conf", "sub/s.txt": "/f/4/s.txt"}
    wanted, document = pins.rebased(config, str(source), where, DATA, "f")
    assert str(tmp_path) not in json.dumps({**wanted, "services": {n: {**s, "build": 0} for n, s in wanted["services"].items()}})
    services = [service("web"), service("db", "postgres:17", False)]
    images = {one.image: {"digest": DIGEST} for one in services}
    (release / "rollout.pins.json").write_text(pins.pins(services, images, "v1", document))
    found = read(release, "docker-compose.yml", "rollout.pins.json")
    assert compose.comparable(found) == compose.comparable(wanted)
    web = found["services"]["web"]
    assert (web["image"], web["labels"][CONFIG_LABEL], web["labels"]["own"]) == (f"r/web:v1@{DIGEST}", "hash-web", "x")
    assert [one["source"] for one in web["volumes"]] == ["/f/1/a.conf", f"{DATA}/data", "named", "/f/2/dash", "/srv/x"]
    assert found["volumes"]["dev"]["driver_opts"]["device"] == f"{DATA}/devd"
    assert found["secrets"]["s"]["file"] == "/f/4/s.txt"
