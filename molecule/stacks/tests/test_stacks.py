"""Each application is deployed as its folder is, then changed. A story is the life of one; they go side by side."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import EXAMPLES, HERE, REGISTRY, Application, move, pinned, recreated

FIRST, SECOND = "aaaaaa1", "bbbbbb2"
KINDS = [
    *("network proxy-that-is-not-there", "volume media-that-is-not-there", "taken-name", "start_interval", "sysbox-runc"),
    *("/dev/absent", "/srv/no-such-folder", "172.17.0.0/24"),
]


def photos(app: Application) -> None:
    app.rollout(f"sha={FIRST}")
    first = app.containers()
    # The suffix is the file's; the image without it is another one, which is there too.
    assert first["machine-learning"].image == pinned("photos-ml", f"sha-{FIRST}-cuda")
    assert first["machine-learning"].stands_for == f"{FIRST}-cuda"
    assert first["server"].image == pinned("photos", f"sha-{FIRST}")
    # By extends, and by the .env beside the file, with the release's own tag in it.
    assert first["machine-learning"].environment["DEVICE"] == "cuda"
    assert first["machine-learning"].facts["HostConfig"]["ShmSize"] == 256 * 2**20
    assert first["server"].environment["DB_PASSWORD"] == "change-me-first"
    assert first["server"].environment["PHOTOS_VERSION"] == f"sha-{FIRST}"
    # Data lies where it outlives the release.
    assert first["database"].source("/var/lib/postgresql/data") == "/var/lib/rollout/photos/data/photos/postgres"
    assert first["server"].source("/data") == "/var/lib/rollout/photos/data/photos/library"

    app.rollout(f"sha={SECOND}")
    second = app.containers()
    assert recreated(first, second) == {"server", "machine-learning"}
    assert second["machine-learning"].image == pinned("photos-ml", f"sha-{SECOND}-cuda")
    assert second["server"].source("/data") == first["server"].source("/data")

    app.rollback()
    third = app.containers()
    assert recreated(second, third) == {"server", "machine-learning"}
    assert third["machine-learning"].image == pinned("photos-ml", f"sha-{FIRST}-cuda")
    assert third["server"].environment["PHOTOS_VERSION"] == f"sha-{FIRST}"


def documents(app: Application) -> None:
    def internal() -> bool:
        (network,) = json.loads(app.machine.exec("docker", "network", "inspect", "documents-documents_conversion"))
        return network["Internal"]

    app.rollout(f"sha={FIRST}")
    first = app.containers()
    assert first["server"].source("/usr/src/documents/consume") == "/srv/documents/consume"
    assert first["server"].environment["DOCUMENTS_OCR_LANGUAGE"] == "eng"
    assert not internal()

    app.edit("documents.env", "LANGUAGE=eng", "LANGUAGE=deu+eng")
    app.rollout(f"sha={FIRST}")
    second = app.containers()
    assert recreated(first, second) == {"server"}
    assert second["server"].environment["DOCUMENTS_OCR_LANGUAGE"] == "deu+eng"

    app.edit("docker-compose.yml", "    driver: bridge", "    driver: bridge\n    internal: true")
    app.rollout(f"sha={FIRST}")
    third = app.containers()
    assert internal()
    assert recreated(second, third) == {"server", "converter"}
    assert third["converter"].networks == {"documents-documents_conversion"}
    assert third["server"].networks == {"documents-documents_conversion", "documents-documents_default"}

    app.rollback()
    assert not internal()
    assert recreated(third, app.containers()) == {"server", "converter"}


def identity(app: Application) -> None:
    app.rollout(f"sha={FIRST}")
    first = app.containers()
    assert {first[name].image for name in ("server", "worker")} == {pinned("identity", f"sha-{FIRST}")}
    assert first["server"].environment["IDENTITY_SECRET_KEY"] == "change-me-third"

    app.rollout(f"sha={SECOND}")
    second = app.containers()
    assert recreated(first, second) == {"server", "worker"}
    assert {second[name].image for name in ("server", "worker")} == {pinned("identity", f"sha-{SECOND}")}

    app.edit(".env", "IDENTITY_PORT=9000", "IDENTITY_PORT=9001")
    app.rollout(f"sha={SECOND}")
    third = app.containers()
    assert recreated(second, third) == {"server"}
    assert [one["HostPort"] for one in third["server"].facts["HostConfig"]["PortBindings"]["8000/tcp"]] == ["9001"]


def monitoring(app: Application) -> None:
    config, boards = "/etc/prometheus/prometheus.yml", "/var/lib/grafana/dashboards"
    app.rollout()
    first, release = app.containers(), app.release()
    assert "scrape_interval: 30s" in first["prometheus"].reads(config)
    assert first["prometheus"].mounts[config]["RW"] is False
    assert first["prometheus"].source(config).startswith("/var/lib/rollout/monitoring/files/")
    assert "alert: Gone" in first["prometheus"].reads("/etc/prometheus/alerts.yml")
    assert first["grafana"].reads("/run/secrets/grafana_admin") == "change-me-fourth"
    assert first["grafana"].source("/var/lib/grafana") == "/var/lib/rollout/monitoring/data/monitoring/grafana/data"

    app.edit("prometheus/prometheus.yml", "scrape_interval: 30s", "scrape_interval: 15s")
    app.edit("prometheus/alerts.yml", "for: 5m", "for: 9m")
    app.rollout()
    second = app.containers()
    assert recreated(first, second) == {"prometheus"}
    assert "scrape_interval: 15s" in second["prometheus"].reads(config)
    assert "for: 9m" in second["prometheus"].reads("/etc/prometheus/alerts.yml")

    (app.folder / "grafana/dashboards/new.json").write_text('{"uid": "new"}')
    app.edit("grafana/admin.secret", "change-me-fourth", "changed")
    app.rollout()
    third = app.containers()
    assert recreated(second, third) == {"grafana"}
    assert third["grafana"].reads(f"{boards}/new.json") == '{"uid": "new"}'
    assert third["grafana"].reads("/run/secrets/grafana_admin") == "changed"

    app.rollback(f"tag={release}")
    fourth = app.containers()
    assert recreated(third, fourth) == {"prometheus", "grafana"}
    assert "scrape_interval: 30s" in fourth["prometheus"].reads(config)
    assert fourth["grafana"].source(boards) == first["grafana"].source(boards)
    assert fourth["grafana"].reads("/run/secrets/grafana_admin") == "change-me-fourth"


def proxy(app: Application) -> None:
    routes = "/etc/traefik/conf.d/routers.yml"
    app.rollout()
    first = app.containers()
    assert "192.168.1.10" in first["traefik"].reads(routes)
    assert first["traefik"].networks == {"edge"}

    app.edit("conf.d/routers.yml", "192.168.1.10", "192.168.1.20")
    said = app.run("rollout.yml").said
    assert "kept: configuration" in said
    assert "-e replace=traefik" in said
    assert not recreated(first, app.containers())
    # What the screen says to type.
    command = f"rollout.yml -e tag={app.release()} -e replace=traefik"
    assert f"configuration. To bring it: ansible-playbook {command}" in app.run("status.yml", "strict=true", rc=2).said

    app.rollout(f"tag={app.release()}", "replace=traefik")
    second = app.containers()
    assert recreated(first, second) == {"traefik"}
    assert "192.168.1.20" in second["traefik"].reads(routes)


def home(app: Application) -> None:
    for name in ("home", "mariadb"):
        move(name, TAGS[name], "older")
    app.rollout()
    first = app.containers()
    assert first["home"].facts["HostConfig"]["NetworkMode"] == "host"
    assert {first[name].stands_for for name in ("home", "history")} == {"older"}

    for name in ("home", "mariadb"):
        move(name, TAGS[name], "newer")
    said = app.rollout()
    assert f"{REGISTRY}/home:stable means another image by now" in said
    assert not recreated(first, app.containers())

    app.rollout("refresh=home")
    second = app.containers()
    assert recreated(first, second) == {"home"}
    assert second["home"].stands_for == "newer"
    assert second["home"].image == pinned("home", "stable")

    app.rollback()
    third = app.containers()
    assert recreated(second, third) == {"home"}
    assert third["home"].image == first["home"].image


def notes(app: Application) -> None:
    app.rollout(f"sha={FIRST}")
    first = app.containers()
    ports = first["web"].facts["HostConfig"]["PortBindings"]["8000/tcp"]
    assert ports == [{"HostIp": "127.0.0.1", "HostPort": "8021"}]
    assert "NOTES_DEBUG" not in first["web"].environment
    assert first["web"].environment["DATABASE_URL"] == "postgres://notes:change-me-fifth@database:5432/notes"
    assert first["database"].environment["POSTGRES_USER"] == "notes"
    assert first["database"].source("/var/lib/postgresql/data") == "/var/lib/rollout/notes/data/notes/database/files"
    script = f"{first['database'].source('/docker-entrypoint-initdb.d')}/10-extensions.sh"
    assert app.machine.exec("stat", "--format", "%a", script) == "755"

    app.rollout(f"sha={SECOND}")
    second = app.containers()
    assert recreated(first, second) == {"web"}
    assert second["web"].image == pinned("notes", f"sha-{SECOND}")


def thumbnails(app: Application) -> None:
    def ids() -> dict[str, set[str]]:
        return {service: {one.id for one in ones} for service, ones in app.replicas().items()}

    app.rollout(f"sha={FIRST}")
    first = ids()
    assert {service: len(ones) for service, ones in first.items()} == {"queue": 1, "worker": 3, "renderer": 2}

    app.edit("docker-compose.yml", "replicas: 3", "replicas: 2")
    app.rollout(f"sha={FIRST}")
    second = ids()
    assert second["worker"] < first["worker"]
    assert (second["queue"], second["renderer"]) == (first["queue"], first["renderer"])

    app.rollout(f"sha={SECOND}")
    third = app.replicas()
    assert {service: len(ones) for service, ones in third.items()} == {"queue": 1, "worker": 2, "renderer": 2}
    assert {one.image for name in ("worker", "renderer") for one in third[name]} == {pinned("thumbnails", f"sha-{SECOND}")}
    assert {one.id for one in third["queue"]} == first["queue"]


def ktrdr(app: Application) -> None:
    workers = {f"{kind}-worker-{n}" for kind in ("backtest", "training") for n in (1, 2)}
    own = {"backend": "ktrdr-backend", "mcp": "ktrdr-mcp", **dict.fromkeys(workers, "ktrdr-worker-cpu")}
    boards = "/var/lib/grafana/dashboards"
    app.rollout(f"sha={FIRST}")
    first = app.containers()
    # No host has a card here, so the third stack is nowhere; profile scale-3 is not asked for.
    assert set(first) == {*own, "db", "prometheus", "grafana", "jaeger"}
    assert {service: first[service].image for service in own} == {s: pinned(i, f"sha-{FIRST}") for s, i in own.items()}
    assert first["backend"].facts["HostConfig"]["GroupAdd"] == ["1500"]
    assert first["backend"].source("/app/data") == "/mnt/ktrdr"
    assert first["training-worker-2"].environment["KTRDR_API_URL"] == "http://192.168.1.10:8000"

    app.edit("core/monitoring/dashboards/workers.json", "Idle", "Idle workers")
    app.edit("core/.env", "LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG")
    app.rollout(f"sha={SECOND}")
    second = app.containers()
    assert recreated(first, second) == {*own, "grafana"}
    assert {service: second[service].image for service in own} == {s: pinned(i, f"sha-{SECOND}") for s, i in own.items()}
    assert "Idle workers" in second["grafana"].reads(f"{boards}/workers.json")
    assert second["backend"].environment["LOG_LEVEL"] == "DEBUG"

    app.rollback()
    third = app.containers()
    assert recreated(second, third) == {*own, "grafana"}
    assert {service: third[service].image for service in own} == {s: pinned(i, f"sha-{FIRST}") for s, i in own.items()}
    assert "Idle workers" not in third["grafana"].reads(f"{boards}/workers.json")
    assert third["backend"].environment["LOG_LEVEL"] == "INFO"


def models(app: Application) -> None:
    # This host has no card; what it would run on one is for a machine that has it.
    said = app.run("rollout.yml", f"sha={FIRST}", rc=2).said
    assert "ROLLOUT REFUSED" in said
    assert "Service ollama needs the GPU" in said
    assert not app.containers()


def cases(app: Application) -> None:
    assert "no release was ever confirmed here" in app.run("status.yml", "strict=true", rc=2).said

    app.rollout(f"sha={FIRST}")
    first = app.containers()
    assert {first[name].environment["COLOUR"] for name in ("required", "optional")} == {"blue"}
    assert first["beside"].reads("/c") == "one"
    assert first["carried"].reads("/assets/release") == first["renewed"].reads("/assets/release") == FIRST

    # Whatever the host does not have is said before anything is touched, all at once.
    app.machine.exec("docker", "create", "--name", "taken-name", f"{REGISTRY}/app:sha-{FIRST}")
    said = app.run("rollout.yml", f"sha={SECOND}", "cases_asks=lacking.yml", "--check", rc=2).said
    assert [kind for kind in KINDS if kind not in said] == []
    said = app.run("rollout.yml", f"sha={SECOND}", "cases_asks=unset.yml", rc=2).said
    assert "not set: PASSWORD." in said
    assert not recreated(first, app.containers())

    # What a Compose left that was killed while it recreated a container.
    name = first["named"].facts["Name"][1:]
    labels = [part for key, value in first["named"].facts["Config"]["Labels"].items() for part in ("--label", f"{key}={value}")]
    image = f"{REGISTRY}/app:sha-{FIRST}"
    app.machine.exec("docker", "create", "--name", f"{first['named'].id[:12]}_{name}", *labels, image)

    app.edit("group_vars/all.yml", "COLOUR: blue", "COLOUR: green")
    app.edit("beside.yml", "content: one", "content: two")
    said = app.rollout(f"sha={SECOND}")
    assert "carried keeps what the container before it wrote to /assets" in said
    second = app.containers()
    assert {second[name].environment["COLOUR"] for name in ("required", "optional")} == {"green"}
    assert {second[name].image for name in ("named", "unnamed")} == {pinned("app", f"sha-{SECOND}")}
    assert second["beside"].reads("/c") == "two"
    assert second["carried"].reads("/assets/release") == FIRST
    assert second["renewed"].reads("/assets/release") == SECOND


TAGS = {"home": "stable", "mariadb": "11"}
# The longest first.
STORIES = [ktrdr, documents, cases, monitoring, photos, home, thumbnails, identity, proxy, notes, models]


@pytest.fixture(scope="session")
def told(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("applications")
    asked = {item.callspec.params["story"] for item in request.session.items}
    pool = ThreadPoolExecutor(4)

    def tell(story):
        folder = HERE if story is cases else EXAMPLES
        return story(Application(folder / story.__name__, place))

    yield {story: pool.submit(tell, story) for story in STORIES if story in asked}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_story(told, story):
    told[story].result()
