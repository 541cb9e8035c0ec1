"""What a first rollout finds on a host: refused before anything is touched, or not in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain import reference
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import occupants, stage
from fake_engine import digest, image_id
from story import WEB, Host, order, ports_of, stack

NOT_ITS_OWN = (
    "Stack core is Compose project app-core, and this host has containers of it that no rollout made: {}. A rollout would replace them, "
    "and could not bring them back. Take them over: ansible-playbook playbooks/adopt.yml -i <hosts> shows what runs, and adopt: true in "
    "rollout_stacks.core, or -e adopt=true, takes it over."
)


def put(host, *letter, check=False, **facts):
    return stage.stage(host.store, host.engine, order(*letter or "a", **facts), check)


def refused(host, *letter, **facts):
    before = list(host.engine.touched)
    with pytest.raises(RolloutError) as error:
        put(host, *letter, **facts)
    assert host.engine.touched == before
    assert not host.store.names()
    return str(error.value).splitlines()


def runs(host, project="photos", service="web", image=f"{WEB}:old", labels=None, **facts):
    """A container that no rollout made."""
    host.engine.images[image] = image_id("e")
    host.engine.add(project, service, {"image": image, "labels": labels or {}})
    one = host.engine.made[-1]
    one["NetworkSettings"]["Ports"] = {"80/tcp": [{"HostIp": "", "HostPort": str(port)} for port in facts.pop("ports", ())]}
    one.update(facts)
    return one["Name"][1:]


def volume(name="photos_v", project="photos", key="v"):
    return {"Name": name, "Labels": {"com.docker.compose.project": project, "com.docker.compose.volume": key}}


def mounting(*mounts, services=("web", "job"), **top):
    """The text of a compose file whose service web has these mounts."""
    document = json.loads(stack("sha-aaaaaaa", services))
    document["services"]["web"]["volumes"] = list(mounts)
    return json.dumps({**document, **top})


def with_volume(**definition):
    return mounting({"type": "volume", "source": "v", "target": "/v"}, volumes={"v": definition})


LIBRARY = mounting({"type": "bind", "source": "./library", "target": "/data"})


class TestContainers:
    def test_of_its_own_project_are_not_replaced(self, host):
        names = [runs(host, "app-core"), runs(host, "app-core", "cron", State={"Status": "exited"})]
        assert refused(host) == [NOT_ITS_OWN.format(", ".join(sorted(names)))]
        assert refused(host, check=True) == [NOT_ITS_OWN.format(", ".join(sorted(names)))]

    @pytest.mark.parametrize("label", ["rollout.config", "rollout.release"])
    def test_what_an_interrupted_first_rollout_left_is_its_own(self, host, label):
        runs(host, "app-core", labels={label: "x"})
        put(host)

    def test_kept_services_of_a_first_rollout_that_was_taken_back_are_its_own(self, host):
        name = host.staged("a")
        host.bring(name, "run-a")
        host.remove(name, "run-a")
        assert list(host.engine.running()) == ["db"]
        put(host, "b")

    def test_later_a_stack_has_what_it_has(self, host):
        host.rollout("a")
        runs(host, "app-core", "cron")
        put(host, "b")

    def test_but_not_a_stack_that_is_new(self, host):
        host.rollout("a")
        name = runs(host, "app-more", "job")
        both = {"core": stack("sha-bbbbbbb"), "more": stack("sha-bbbbbbb", ("job",), database=False)}
        with pytest.raises(RolloutError) as error:
            put(host, "b", stacks=both)
        assert str(error.value) == NOT_ITS_OWN.replace("core", "more").format(name)

    def test_of_another_application_of_this_tool(self, host, tmp_path):
        other = Host(tmp_path / "elsewhere" / "other", "other", host.engine)
        other.rollout("b", source={"project": "app-core"})
        assert refused(host) == [
            f"Stack core is Compose project app-core, which belongs to the application whose state is in {other.store.root}: each would "
            "remove what the other one starts. Give the stack another name in rollout_stacks.core.project, or take that application "
            "away first (playbooks/remove.yml)."
        ]

    def test_whose_state_directory_was_moved_here_are_its_own(self, host, tmp_path):
        former = Host(tmp_path / "former", "app", host.engine)
        former.bring(former.staged("a"), "run-a")
        former.store.root.rename(tmp_path / "gone")
        put(host, "b")

    def test_of_another_project_with_its_port_or_name(self, host):
        document = json.loads(ports_of(8123, "sha-aaaaaaa"))
        document["services"]["db"]["container_name"] = "photos_db"
        web, _db = runs(host, ports=(8123,)), runs(host, service="db", Name="/photos_db")
        host.engine.ports = [(Port(8123), "photos")]
        said = refused(host, text=json.dumps(document))
        assert (
            f"Stack core needs what Compose project photos has on this host: container {web} has port 8123; container photos_db has its name. "
            "If that is the application as it ran before, take it over: ansible-playbook playbooks/adopt.yml -i <hosts> shows what runs, and "
            "project: photos and adopt: true in rollout_stacks.core take it over."
        ) in said
        assert [line.partition(",")[0] for line in said[1:]] == [
            "Port 8123",
            "docker-compose.core.yml: service db needs the container name photos_db",
        ]


class TestVolumes:
    def test_a_new_one_is_not_made_beside_its_own(self, host):
        host.engine.said["/volumes"] = {"Volumes": [volume()]}
        name = runs(host, Mounts=[{"Type": "volume", "Name": "photos_v", "Source": "/var/lib/docker/volumes/photos_v/_data"}])
        assert refused(host, text=with_volume()) == [
            "Stack core would begin with a new empty volume app-core_v, and this host has photos_v, the volume v of Compose project photos, "
            f"which container {name} uses. If that is its data, set rollout_stacks.core.project to photos. If it is to begin empty, set "
            "rollout_stacks.core.new_data to true."
        ]

    @pytest.mark.parametrize(
        ("known", "facts"),
        [
            ([volume()], {"source": {"new_data": True}}),
            ([volume()], {"source": {"project": "photos"}}),
            ([volume(project="app-more")], {}),
            ([], {}),
        ],
        ids=["it is meant", "its own project", "another stack's", "none"],
    )
    def test_or_is(self, host, known, facts):
        host.engine.said["/volumes"] = {"Volumes": known}
        stacks = {"core": with_volume()}
        if not facts:
            stacks["more"] = stack("t", ("job",), database=False)
        put(host, stacks=stacks, **facts)

    @pytest.mark.parametrize("definition", [{"external": True, "name": "photos_v"}, {"name": "there"}])
    def test_one_that_is_there_is_not_new(self, host, definition):
        name = definition["name"]
        host.engine.said |= {"/volumes": {"Volumes": [volume()]}, f"/volumes/{name}": {"Name": name, "Driver": "local"}}
        put(host, text=with_volume(**definition))

    def test_after_the_first_rollout_nothing_is_asked(self, host):
        host.rollout("a")
        host.engine.said["/volumes"] = {"Volumes": [volume()]}
        put(host, "b", text=with_volume())

    def test_what_another_application_uses_is_its_own(self, host, tmp_path):
        other = Host(tmp_path / "other", "other", host.engine)
        other.rollout("b", source={"project": "photos"})
        host.engine.said["/volumes"] = {"Volumes": [volume()]}
        host.engine.made[-1]["Mounts"] = [{"Type": "volume", "Name": "photos_v"}]
        put(host, text=with_volume())
        # As an earlier version left it: without a label.
        host.engine.made[-1]["Config"]["Labels"] = {"com.docker.compose.project": "photos"}
        put(host, text=with_volume())


class TestFolders:
    def test_a_new_one_is_not_made_beside_its_own(self, host):
        name = runs(host, Mounts=[{"Type": "bind", "Source": "/srv/photos/library"}])
        place = f"{host.store.root}/data/core/library"
        assert refused(host, text=LIBRARY) == [
            f"Stack core would begin with a new empty folder {place}, and container {name} has /srv/photos/library. If that is its data, "
            "set rollout_stacks.core.data to /srv/photos. If it is to begin empty, set rollout_stacks.core.new_data to true."
        ]
        Path(place).mkdir(parents=True)
        put(host, text=LIBRARY)

    def test_also_of_what_was_taken_over_until_a_release_was_stable(self, host):
        name = host.staged("a", text=LIBRARY, source={"new_data": True})
        host.store.append("confirmed", "run-a", name=name, release="adopted-2026-12-01", action="rollout")
        runs(host, "app-core", Mounts=[{"Type": "bind", "Source": "/srv/photos/library"}])
        with pytest.raises(RolloutError, match="would begin with a new empty folder"):
            put(host, "b", text=LIBRARY)
        host.store.append("confirmed", "run-a", name=name, release="sha-aaaaaaa", action="rollout")
        put(host, "b", text=LIBRARY)

    def test_also_where_the_stack_names_one_that_is_not_there(self, host, tmp_path):
        runs(host, Mounts=[{"Type": "bind", "Source": "/srv/photos/library"}])
        (said,) = refused(host, text=LIBRARY, source={"data": f"{tmp_path}/fotos"})
        assert f"a new empty folder {tmp_path}/fotos/library, and" in said
        put(host, text=LIBRARY, source={"data": f"{tmp_path}/fotos", "new_data": True})

    def test_nor_where_the_compose_file_has_data_beside_it(self, host, tmp_path):
        (tmp_path / "src/library/2024").mkdir(parents=True)
        (said,) = refused(host, text=LIBRARY, source={"folder": f"{tmp_path}/src"})
        assert (
            f", and {tmp_path}/src/library, beside its compose file, holds data. If that is its data, set rollout_stacks.core.data to {tmp_path}/src."
            in said
        )
        put(host, text=LIBRARY, source={"folder": ""})

    @pytest.mark.parametrize(
        ("made", "holds"),
        [
            (lambda at: None, False),
            (lambda at: at.mkdir(), False),
            (lambda at: (at.mkdir(), (at / ".gitkeep").touch()), False),
            (lambda at: (at.mkdir(), (at / "x").touch()), True),
            (lambda at: at.touch(), False),
            (lambda at: at.write_text("{}"), True),
        ],
        ids=["nothing", "empty", "kept in Git", "a file", "an empty file", "itself a file"],
    )
    def test_what_holds_data(self, tmp_path, made, holds):
        made(tmp_path / "library")
        assert occupants._holds(str(tmp_path / "library")) is holds

    def test_what_may_not_be_looked_into_may_hold_data(self, monkeypatch):
        def listed(path):
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(occupants.os, "listdir", listed)
        assert occupants._holds("/srv/pgdata")


def test_all_that_is_in_the_way_is_said_at_once(host):
    host.engine.said["/volumes"] = {"Volumes": [volume()]}
    runs(host, "app-core")
    runs(host, Mounts=[{"Type": "bind", "Source": "/srv/library"}])
    text = mounting(
        {"type": "volume", "source": "v", "target": "/v"},
        {"type": "bind", "source": "./library", "target": "/l"},
        volumes={"v": None},
    )
    assert [line.partition(",")[0] for line in refused(host, text=text)] == [
        "Stack core is Compose project app-core",
        "Stack core would begin with a new empty volume app-core_v",
        f"Stack core would begin with a new empty folder {host.store.root}/data/core/library",
    ]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("postgres:17", "docker.io/library/postgres"),
        (f"r/web@{digest('a')}", "docker.io/r/web"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b"),
        ("Not An Image", "Not An Image"),
    ],
)
def test_the_repository_of_an_image(image, repository):
    assert reference.repository(image) == repository
