"""What runs before the first rollout is recorded as a release, nothing of it is touched, and it comes back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.io import project_files
from ansible.module_utils.rollout.verbs import guard, observe, restage, settle, stage
from fake_engine import digest, image_id
from story import actions, failure, order, source

RUN = "20261201T101112Z-abcd"
ADOPTED = "adopted-2026-12-01"


def document(**services):
    specs = {
        "web": {
            "image": "r/web:v1",
            "environment": {"GREETING": "hi"},
            "volumes": [bind("./conf", "/conf", True), bind("./data")],
        },
        "db": {"image": "postgres:17"},
    }
    return {"services": {name: spec for name, spec in {**specs, **services}.items() if spec}}


def bind(source, target="/data", read_only=False):
    return {"type": "bind", "source": source, "target": target, "read_only": read_only}


class Project:
    """A project of somebody else in a folder of its own, whose services run."""

    def __init__(self, host, folder):
        self.host, self.folder, self.file = host, folder, folder / "docker-compose.yml"
        (folder / "conf").mkdir(parents=True)
        (folder / "conf" / "a").write_text("1")
        for reference, letter in (("r/web:v1", "a"), ("r/web:v2", "b"), ("postgres:17", "d")):
            repository = reference.partition(":")[0]
            host.engine.images.update({reference: image_id(letter), f"{repository}@{digest(letter)}": image_id(letter)})

    def up(self, services=(), **specs):
        self.write(**specs)
        self.host.engine.original("app-core", self.file, services)
        self.ids = self.host.engine.running()
        return self

    def write(self, **specs):
        self.file.write_text(json.dumps(document(**specs)))


@pytest.fixture
def project(host, tmp_path):
    return Project(host, tmp_path / "srv")


def asked(project, conf="1", **facts):
    """The same files as a stack of the inventory, whose data lies where it lay."""
    specs, more = facts.pop("specs", {}), facts.pop("source", {})
    files = {"docker-compose.yml": File(json.dumps(document(**specs)).encode()), "conf/a": File(conf.encode())}
    bundle = Bundle(files, ("docker-compose.yml",), data=str(project.folder), paths=("conf",), **more)
    found = order("a", "{}", run=RUN, images={}, adopt=True)
    for name, value in {"release": "v1", **facts}.items():
        setattr(found, name, value)
    found.stacks = {"core": bundle}
    return found


def put(project, check=False, **facts):
    return stage.stage(project.host.store, project.host.engine, asked(project, **facts), check)


def roll(project, **facts):
    """A whole rollout; what its switch did."""
    name, host = put(project, **facts)["name"], project.host
    policy = {"replace": tuple(facts.get("replace", ()))}
    done = host.bring(name, RUN, **policy)
    settle.confirm(host.store, host.engine, name, RUN, "rollout", 5, False)
    return done


def rows(result):
    return {row["service"]: (row["action"], row["why"]) for row in result["preview"]["services"]}


def part(project, name=ADOPTED):
    return manifests.part(project.host.store.manifest(name), "core")


def test_nothing_differs_so_nothing_is_touched_and_both_releases_are_stable(project):
    host = project.up().host
    done = roll(project)
    assert actions(done) == {"web": "keep", "db": "keep"}
    assert host.engine.running() == project.ids
    assert {call.split()[0] for call in host.engine.touched} == {"tag"}
    assert [s.name for s in host.store.ledger().history] == [ADOPTED, "v1"]
    assert host.events()[:2] == [("staged", ADOPTED), ("confirmed", ADOPTED)]


def test_staging_says_what_was_taken_over_as_the_ledger_has_it(project):
    done = put(project.up())
    stable = project.host.store.ledger().stable
    assert stable.name == ADOPTED
    assert done["adopted"] == observe.stable(stable)


def test_a_check_writes_nothing_and_shows_what_staging_will_do(project):
    host = project.up().host
    seen = put(project, check=True)
    assert not host.store.root.exists()
    assert not host.engine.touched
    assert seen["adopted"]["name"] == ADOPTED
    assert (seen["preview"]["stable"], seen["preview"]["settled"]) == (ADOPTED, True)
    assert rows(seen) == {"web": ("keep", ""), "db": ("keep", "")}
    said = (
        f"stack core: what runs of Compose project app-core ({project.folder}) is recorded as {ADOPTED}, which a rollback brings"
    )
    assert seen["preview"]["notes"][0] == f"{said} back: db, web"


def test_what_is_recorded_needs_nothing_of_the_folder_but_its_data(project):
    (project.folder / "web.env").write_text('TOKEN="canary-token-1"\n')
    web = {**document()["services"]["web"], "env_file": ["web.env"]}
    put(project.up(web=web))
    store = project.host.store
    assert {*store.manifest(ADOPTED)["files"]} == {f"core/{f}" for f in (".env", "docker-compose.yml", "web.env", manifests.PINS)}
    shutil.rmtree(project.folder)
    config = project.host.deployment(ADOPTED).compose_project.config()
    assert config["services"]["web"]["environment"] == {"TOKEN": "canary-token-1", "GREETING": "hi"}
    assert [one["source"] for one in config["services"]["web"]["volumes"]] == [str(project.folder / p) for p in ("conf", "data")]
    assert config["services"]["web"]["image"] == f"r/web:v1@{digest('a')}"


def test_files_are_readable_for_their_owner_alone_and_what_holds_secrets_is_in_no_difference(project):
    (project.folder / "web.env").write_text('TOKEN="canary-token-1"\n')
    (project.folder / ".env").write_text("PASSWORD=canary-password\nPLAIN=x\n")
    web = {**document()["services"]["web"], "env_file": ["web.env"]}
    db = {**document()["services"]["db"], "environment": {"DB_PASSWORD": "canary-password"}}
    done = put(project.up(web=web, db=db), check=False)
    store = project.host.store
    assert all(p.stat().st_mode & 0o077 == 0 for p in store.directory(ADOPTED).rglob("*"))
    assert store.manifest(ADOPTED)["secrets"] == ["PASSWORD"]
    assert "canary" not in json.dumps(done)
    assert "canary" not in (store.directory(ADOPTED) / "release.json").read_text()
    assert "canary" not in store.path.read_text()
    assert store.read(ADOPTED, "core/.env") == 'PASSWORD="canary-password"\nPLAIN="x"\n'


@pytest.mark.parametrize("path", [".", "..", "../beside", "./data/../data"])
def test_a_path_that_leaves_the_folder_leads_where_it_led(project, path):
    there = (project.folder / path).resolve()
    there.mkdir(exist_ok=True)
    web = {**document()["services"]["web"], "volumes": [bind(path)]}
    put(project.up(web=web), specs={"web": {**web, "volumes": [bind(str(there))]}})
    assert part(project).files == ("docker-compose.yml", manifests.PINS)
    config = project.host.deployment(ADOPTED).compose_project.config()
    assert config["services"]["web"]["volumes"][0]["source"] == str(there)
    assert actions(project.host.look("v1", RUN)) == {"web": "keep", "db": "keep"}


def test_files_that_say_something_else_in_another_folder_are_recorded_as_compose_reads_them(project):
    (project.folder.parent / "beside.env").write_text('MORE="1"\n')
    web = document()["services"]["web"]
    specs = {"web": {**web, "environment": {**web["environment"], "MORE": "1"}}}
    put(project.up(web={**web, "env_file": ["../beside.env"]}), specs=specs)
    assert part(project).files == ("compose.adopted.json", manifests.PINS)
    config = project.host.deployment(ADOPTED).compose_project.config()
    assert config["services"]["web"]["environment"] == {"GREETING": "hi", "MORE": "1"}
    assert actions(project.host.look("v1", RUN)) == {"web": "keep", "db": "keep"}
    assert failure(restage.source, project.host.store, ADOPTED, "core", asked(project).stacks["core"])[0] == (
        f"Release {ADOPTED} has stack core as Compose read it when it was taken over, with the values of then in it, so it cannot have "
        f"the environment of today. Go back with its own: ansible-playbook rollback.yml -e tag={ADOPTED}"
    )


def test_it_can_have_todays_environment_like_any_other(project):
    put(project.up())
    today = replace(asked(project).stacks["core"], environment={"GREETING": "ho"})
    found = restage.source(project.host.store, ADOPTED, "core", today)
    assert (found.compose, found.environment) == (("docker-compose.yml",), {"GREETING": "ho"})
    assert json.loads(found.files["docker-compose.yml"].text) == document()


def test_a_new_image_recreates_and_the_way_back_starts_exactly_what_ran(project):
    host = project.up().host
    web = {**document()["services"]["web"], "image": "r/web:v2"}
    assert rows(put(project, check=True, specs={"web": web}))["web"] == ("recreate", "image")
    name = put(project, specs={"web": web}, release="v2")["name"]
    assert actions(host.bring(name, RUN)) == {"web": "recreate", "db": "keep"}
    assert actions(host.bring_back(ADOPTED, RUN)) == {"web": "recreate", "db": "keep"}
    now = next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])
    assert (now["Image"], host.engine.running()["db"]) == (image_id("a"), project.ids["db"])
    settle.reverted(host.store, RUN, ADOPTED)
    assert (host.store.ledger().stable.name, host.store.ledger().open) == (ADOPTED, [])


def test_a_rollback_to_it_is_like_any_other(project):
    host = project.up().host
    roll(project, specs={"web": {**document()["services"]["web"], "image": "r/web:v2"}}, release="v2")
    done = restage.restage(host.store, host.engine, ADOPTED, False)
    assert (done["name"], done["ready"]) == (ADOPTED, True)
    assert actions(host.bring(ADOPTED, "back")) == {"web": "recreate", "db": "keep"}


@pytest.mark.parametrize(("conf", "action", "shown"), [("1", "keep", []), ("2", "recreate", [f"{ADOPTED}/core/conf/a"])])
def test_a_mounted_file_counts_by_its_content(project, conf, action, shown):
    project.up()
    seen = put(project, check=True, conf=conf)
    assert rows(seen)["web"][0] == action
    assert [one["before_header"] for one in seen["diff"]] == shown


def test_a_container_that_its_files_do_not_explain_stays_until_it_is_asked_for(project):
    host = project.up().host
    changed = {"web": {**document()["services"]["web"], "environment": {"GREETING": "ho"}}}
    project.write(**changed)
    seen = put(project, check=True, specs=changed)
    assert rows(seen)["web"] == ("keep", "kept: not proven: environment, volumes, networks and more")
    assert any(note.startswith("web is not proven to be what its files say (environment") for note in seen["preview"]["notes"])
    assert actions(roll(project, specs=changed)) == {"web": "keep", "db": "keep"}
    (row,) = [r for r in observe.services(host.store, host.engine, "app", ["core"]) if r["service"] == "web"]
    assert row["drift"] == [
        "ran before the first release, and is not proven to be what its files say (environment, volumes, networks and more). To recreate it: "
        "ansible-playbook rollout.yml -e tag=v1 -e replace=web"
    ]
    assert part(project, "v1").unproven == {"web": "environment, volumes, networks and more"}
    assert actions(roll(project, specs=changed, replace=["web"])) == {"web": "recreate", "db": "keep"}
    assert not [r["drift"] for r in observe.services(host.store, host.engine, "app", ["core"]) if r["drift"]]
    assert actions(roll(project, specs=changed)) == {"web": "keep", "db": "keep"}


def test_it_stays_unproven_in_later_releases_and_no_longer_once_a_release_changes_it(project):
    project.up()
    changed = {"web": {**document()["services"]["web"], "environment": {"GREETING": "ho"}}}
    project.write(**changed)
    roll(project, specs=changed)
    roll(project, specs={**changed, "db": {"image": "postgres:17", "user": "9"}}, release="v3")
    assert part(project, "v3").unproven
    other = {"web": {**changed["web"], "user": "1"}}
    assert actions(roll(project, specs=other, release="v4"))["web"] == "recreate"
    assert not part(project, "v4").unproven


def test_what_does_not_run_is_not_started_on_the_way_back(project):
    host = project.up(["web"]).host
    web = {**document()["services"]["web"], "image": "r/web:v2"}
    name = put(project, specs={"web": web}, release="v2")["name"]
    assert actions(host.bring(name, RUN)) == {"web": "recreate", "db": "create"}
    host.bring_back(ADOPTED, RUN)
    assert {*part(project).former} == {"web"}
    assert host.deployment(ADOPTED).by_name.keys() == {"web"}


def test_a_service_that_was_scaled_by_hand_comes_back_so(project):
    host = project.up().host
    host.engine.original("app-core", project.file, ["web"])
    put(project)
    assert host.deployment(ADOPTED).by_name["web"].replicas == 2
    assert actions(host.look(ADOPTED, RUN))["web"] == "keep"


def test_two_services_with_one_name_for_two_images_keep_their_own(project):
    project.up(job={"image": "r/web:v1"})
    # It was pulled again, and only one of them started anew.
    next(c for c in project.host.engine.made if c["Id"] == project.ids["job"])["Image"] = image_id("b")
    put(project, specs={"job": {"image": "r/web:v1"}})
    wanted = project.host.deployment(ADOPTED).by_name
    assert (wanted["web"].image, wanted["job"].image) == ("r/web:v1", f"r/web:v1@{digest('b')}")
    assert {a["action"] for a in project.host.look(ADOPTED, RUN)["services"]} == {"keep"}


def test_an_image_that_no_registry_has_is_kept_by_its_id_and_gets_a_tag(project):
    project.up()
    del project.host.engine.images[f"r/web@{digest('a')}"]
    put(project)
    image = project.host.store.manifest(ADOPTED)["images"]["r/web:v1"]
    assert (image["digest"], image["id"]) == ("", image_id("a"))
    assert f"tag {image_id('a')} app-core-adopted:web-{ADOPTED}" in project.host.engine.touched


def test_what_was_written_before_a_crash_is_used_again_and_another_content_has_a_name_of_its_own(project):
    host = project.up().host
    put(project)
    host.store.path.unlink()
    assert put(project)["adopted"]["name"] == ADOPTED
    host.store.path.unlink()
    project.write(extra={"image": "postgres:17"})
    assert put(project)["adopted"]["name"] == f"{ADOPTED}.2"
    assert host.store.ledger().stable.release == ADOPTED


def test_a_host_on_which_nothing_runs_has_no_baseline(project):
    project.write()
    assert "adopted" not in put(project)
    assert project.host.store.ledger().stable is None


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_what_was_stopped_is_nothing_to_take_over(project, state):
    for container in project.up().host.engine.made:
        container["State"]["Status"] = state
    assert "adopted" not in put(project)


class TestRefused:
    """Nothing is written, and nothing touched."""

    @pytest.fixture(autouse=True)
    def untouched(self, project):
        yield
        assert not project.host.store.root.exists()
        assert not project.host.engine.touched
        assert project.host.engine.running() == project.ids

    def said(self, project):
        return failure(put, project)[0]

    def test_files_that_are_gone(self, project):
        project.up().file.unlink()
        assert self.said(project) == (
            f"Stack core: what runs in Compose project app-core cannot be taken over: {project.file} of its files is gone. Put the "
            "files back, run docker compose up -d there, which restarts nothing if they say what runs, and roll out again."
        )

    def test_containers_that_do_not_say_where_they_come_from(self, project):
        for container in project.up().host.engine.made:
            del container["Config"]["Labels"]["com.docker.compose.project.config_files"]
        assert "cannot be taken over: its containers do not say which files they were made from." in self.said(project)

    def test_files_that_compose_does_not_accept(self, project):
        project.up().file.write_text("services: [")
        assert self.said(project) == (
            f"Stack core: Compose cannot read what project app-core was made from: Reading {project.file} failed: yaml: mapping "
            f"values are not allowed in this context. Put that right in {project.folder}, and roll out again."
        )

    def test_an_env_file_that_is_somebody_elses(self, project, monkeypatch):
        project.up()
        (project.folder / ".env").write_text("A=b\n")

        def denied(_path):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(project_files.Path, "read_bytes", denied)
        assert self.said(project) == (
            f"Stack core: Compose cannot read what project app-core was made from: {project.folder}/.env cannot be read (Permission "
            f"denied). Put that right in {project.folder}, and roll out again."
        )

    def test_files_that_lack_what_runs(self, project):
        project.up().write(db=None)
        assert self.said(project) == (
            f"Stack core: db runs in Compose project app-core, but {project.file} no longer has it. Put it back into the "
            "file, or stop and remove its container, and roll out again."
        )

    def test_an_image_that_is_gone(self, project):
        images = project.up().host.engine.images
        for name in [name for name, one in images.items() if one == image_id("a")]:
            del images[name]
        assert self.said(project) == (
            "Stack core: the image of web (r/web:v1), which runs, is gone from this host, so it could not be brought back. Pull it "
            "or build it again, start the service from it with docker compose up -d, and roll out again."
        )


def test_a_host_with_releases_takes_nothing_over(project):
    host = project.up().host
    host.store.require_writable()
    other = host.staged("a", stacks={"other": json.dumps({"services": {"x": {"image": "postgres:17"}}})})
    settle.confirm(host.store, host.engine, other, "run-a", "rollout", 5, False)
    host.engine.calls.clear()
    assert failure(put, project)[0].startswith(
        "Stack core: what runs in Compose project app-core cannot be taken over, because this host has releases of app already"
    )
    assert not host.engine.touched


def test_an_old_baseline_goes_with_the_tags_that_it_gave_and_with_no_others(project):
    host = project.up().host
    for release, user in (("v1", "1"), ("v2", "2"), ("v3", "3")):
        name = put(project, specs={"web": {**document()["services"]["web"], "user": user}}, release=release)["name"]
        host.bring(name, RUN)
        done = settle.confirm(host.store, host.engine, name, RUN, "rollout", 1, False)
    assert ADOPTED not in host.store.names()
    gone = [call for call in host.engine.calls if call.startswith("image rm")]
    assert gone == [f"image rm app-core-adopted:{service}-{ADOPTED}" for service in ("db", "web")]
    assert done["left"] == []


@pytest.mark.parametrize("how", ["edited", "more", "gone"])
def test_what_was_mounted_before_is_looked_at_where_it_lies(project, how):
    host = project.up().host
    source = str(project.folder / "conf")
    web = next(c for c in host.engine.made if c["Id"] == project.ids["web"])
    web["Mounts"] = [{"Type": "bind", "Source": source, "Destination": "/conf", "RW": False}]
    roll(project)

    def said():
        rows = observe.services(host.store, host.engine, "app", ["core"])
        return next(row["drift"] for row in rows if row["service"] == "web")

    assert not said()
    if how == "edited":
        (project.folder / "conf" / "a").write_text("2")
    elif how == "more":
        (project.folder / "conf" / "b").write_text("1")
    else:
        shutil.rmtree(project.folder / "conf")
    assert said() == [
        f"has {source} mounted since before the first release, and that was changed since: it is no longer what the release has. "
        f"Put it back; or bring the release's: docker rm -f {web['Name'][1:]}, and roll out again"
    ]


def test_a_rollback_restarts_what_is_kept_if_that_is_asked_for(project):
    host = project.up().host
    db = {"image": "postgres:17", "user": "9"}
    roll(project, specs={"db": db}, release="v2", replace=["db"])
    found = [
        next(row["action"] for row in seen["preview"]["services"] if row["service"] == "db")
        for names in ((), ("db",))
        for seen in [restage.restage(host.store, host.engine, ADOPTED, True, replaced=names)]
    ]
    assert found == ["keep", "recreate"]


def test_a_network_that_the_failed_release_made_goes_with_it(project):
    """What the release before leaves open was set by the one that failed."""
    networks = {"networks": {"default": {"name": "app-core_default"}}}
    fixed = {"networks": {"default": {"name": "app-core_default", "ipam": {"config": [{"subnet": "10.1.0.0/24"}]}}}}
    host = project.host
    web = {**document()["services"]["web"], "networks": {"default": None}}
    project.file.write_text(json.dumps({**document(web=web, db=None), **networks}))
    host.engine.original("app-core", project.file)
    found = asked(project, specs={})
    text = json.dumps({**document(web={**web, "image": "r/web:v2"}, db=None), **fixed})
    found.stacks = {
        "core": replace(found.stacks["core"], files={**found.stacks["core"].files, "docker-compose.yml": File(text.encode())})
    }
    name = stage.stage(host.store, host.engine, found, False)["name"]
    subnet = {"Subnet": "10.1.0.0/24"}
    now = {"Name": "app-core_default", "Driver": "bridge", "IPAM": {"Driver": "default", "Config": [subnet]}}
    host.engine.said["/networks"] = [now]
    back = host.deployment(ADOPTED, RUN)
    assert back.networks() == [], "the engine may have chosen it"
    host.deployment(name, RUN).record("switching", "web")
    assert [one.differences for one in back.networks()] == [("ipam.subnet: 10.1.0.0/24 -> unset",)]


def test_a_stack_that_did_not_run_is_no_part_of_it_and_goes_on_the_way_back(project):
    host = project.up().host
    found = asked(project)
    extra = {"services": {"tool": {"image": "postgres:17"}}, "x-rollout": {"tool": {"keep": False}}}
    found.stacks = {**found.stacks, "extra": source(json.dumps(extra), "extra")}
    name = stage.stage(host.store, host.engine, found, False)["name"]
    assert host.store.manifest(ADOPTED)["stacks"] == ["core"]
    assert actions(host.bring(name, RUN, "extra")) == {"tool": "create"}
    assert actions(host.bring_back(ADOPTED, RUN, "extra")) == {"tool": "remove"}
    assert host.engine.running() == project.ids


def test_the_guard_brings_back_what_ran(project):
    host = project.up().host
    web = {**document()["services"]["web"], "image": "r/web:v2"}
    name = put(project, specs={"web": web}, release="v2")["name"]
    host.bring(name, RUN)
    guard.revert(
        host.store,
        host.engine,
        {"run": RUN, "name": name, "application": "app", "stacks": ["core"], "release": "v2", "timeout": 1},
    )
    now = next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])
    assert now["Image"] == image_id("a")
    assert (host.store.ledger().closed["by"], host.store.ledger().closed["name"]) == ("guard", ADOPTED)
