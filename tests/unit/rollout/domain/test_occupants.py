from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.occupants import Found, Wanted, folders, holders, volumes
from ansible.module_utils.rollout.domain.ports import Port

DB, WEB, ROOT = "docker.io/library/postgres", "ghcr.io/photos/web", "/var/lib/rollout/photos"
WANTED = Wanted(
    "core",
    "photos-core",
    ports=(Port(2283), Port(53, "udp")),
    names=("photos_web", "photos-core-db-1"),
    volumes={"pgdata": "photos-core_pgdata"},
    folders={"library": f"{ROOT}/data/core/library", "a/b": f"{ROOT}/data/core/a/b"},
    users={"pgdata": {DB}, "library": {WEB}, "a/b": {WEB, DB}},
)
OLD = Found(
    "photos_web", "photos", WEB, ports=(Port(2283, address="0.0.0.0"), Port(2283, address="::")), folders=("/srv/photos/library",)
)
OLD_DB = Found("photos_db", "photos", DB, volumes=("photos_pgdata",))


def volume(name="photos_pgdata", project="photos", key="pgdata"):
    return {"Name": name, "Labels": {"com.docker.compose.project": project, "com.docker.compose.volume": key}}


class TestHolders:
    def test_each_container_with_what_it_has(self):
        another = Found("dns", "pihole", ports=(Port(53, "udp"), Port(80)))
        assert holders(WANTED, [OLD, OLD_DB, another]) == [
            f"Stack core needs what Compose project {project} has on this host: {held}. If that is the application as it ran before, take "
            f"it over: ansible-playbook playbooks/adopt.yml -i <hosts> shows what runs, and project: {project} and adopt: true in "
            "rollout_stacks.core take it over."
            for project, held in (
                ("photos", "container photos_web has port 2283 and its name"),
                ("pihole", "container dns has port 53/udp"),
            )
        ]

    def test_several_of_one_project_are_one_sentence(self):
        (said,) = holders(WANTED, [OLD, replace(OLD_DB, name="photos-core-db-1")])
        assert ": container photos_web has port 2283 and its name; container photos-core-db-1 has its name. If" in said

    @pytest.mark.parametrize(
        "one",
        [
            replace(OLD, project="photos-core"),
            replace(OLD, project=""),
            replace(OLD, root=ROOT),
            replace(OLD, root="/var/lib/rollout/other"),
            replace(OLD, name="web", ports=(Port(2283, "udp"),)),
        ],
        ids=["its own project", "no project", "this tool's", "another application's", "neither"],
    )
    def test_what_cannot_be_taken_over_or_is_not_in_the_way(self, one):
        assert holders(WANTED, [one]) == []


class TestVolumes:
    SAID = (
        "Stack core would begin with a new empty volume photos-core_pgdata, and this host has photos_pgdata, the volume pgdata of Compose "
        "project photos, which {}. If that is its data, set rollout_stacks.core.project to photos. If it is to begin empty, set "
        "rollout_stacks.core.new_data to true."
    )

    @pytest.mark.parametrize(
        ("there", "said"),
        [
            ([OLD, OLD_DB], "container photos_db uses"),
            ([OLD], "no container uses"),
            ([], "no container uses"),
            ([replace(OLD_DB, image="docker.io/library/redis"), OLD_DB], "container photos_db uses"),
            # What an interrupted first rollout of this application left, when its project had another name.
            ([replace(OLD_DB, root=ROOT)], "container photos_db uses"),
        ],
    )
    def test_one_of_another_project(self, there, said):
        assert volumes(WANTED, there, [volume()], (), ROOT) == [self.SAID.format(said)]

    @pytest.mark.parametrize(
        ("there", "known", "apart"),
        [
            ([replace(OLD_DB, image="docker.io/library/redis")], volume(), ()),
            ([replace(OLD_DB, root="/var/lib/rollout/other")], volume(), ()),
            ([OLD_DB], volume(), ("photos",)),
            ([OLD_DB], volume(key="data"), ()),
            ([OLD_DB], volume(project="photos-core"), ()),
            ([OLD_DB], {"Name": "photos_pgdata", "Labels": None}, ()),
        ],
        ids=[
            "other image",
            "another application's",
            "of an earlier version of this tool",
            "other key",
            "its own",
            "not Compose's",
        ],
    )
    def test_what_is_none_of_its_data(self, there, known, apart):
        assert volumes(WANTED, there, [known], apart, ROOT) == []

    def test_one_that_another_application_left_unused_may_be_its_data(self):
        assert volumes(WANTED, [], [volume()], ("photos",), ROOT)

    def test_of_several_one_is_named_and_one_that_is_there_is_not_made_anew(self):
        both = [volume(), volume("b_pgdata", "b")]
        assert len(volumes(WANTED, [], both, (), ROOT)) == 1
        assert volumes(replace(WANTED, volumes={}), [OLD_DB], both, (), ROOT) == []


class TestFolders:
    SAID = (
        "Stack core would begin with a new empty folder /var/lib/rollout/photos/data/core/{}, and {}. If that is its data, set "
        "rollout_stacks.core.data to {}. If it is to begin empty, set rollout_stacks.core.new_data to true."
    )

    @pytest.mark.parametrize(
        ("there", "path", "other", "folder"),
        [
            (OLD, "library", "container photos_web has /srv/photos/library", "/srv/photos"),
            (replace(OLD, folders=("/library",)), "library", "container photos_web has /library", "/"),
            (replace(OLD, project="photos-core"), "library", "container photos_web has /srv/photos/library", "/srv/photos"),
            (replace(OLD, project=""), "library", "container photos_web has /srv/photos/library", "/srv/photos"),
            (replace(OLD, image=DB, folders=("/x/a/b",)), "a/b", "container photos_web has /x/a/b", "/x"),
        ],
        ids=["another project", "at the root", "to be taken over", "started by hand", "a long path"],
    )
    def test_one_that_a_container_of_the_same_image_has(self, there, path, other, folder):
        assert folders(WANTED, [there], ROOT) == [self.SAID.format(path, other, folder)]

    @pytest.mark.parametrize(
        "there",
        [
            replace(OLD, image=DB),
            replace(OLD, folders=("/srv/photos/mylibrary", "/srv/library/x")),
            replace(OLD, folders=(f"{ROOT}/data/core/library",)),
            replace(OLD, root="/var/lib/rollout/other"),
        ],
        ids=["other image", "other name", "the same", "another application's"],
    )
    def test_what_is_none_of_its_data(self, there):
        assert folders(WANTED, [there], ROOT) == []

    def test_what_lies_beside_the_compose_file(self):
        beside = replace(WANTED, beside={"a/b": "/home/karl/photos/a/b"})
        said = self.SAID.format("a/b", "/home/karl/photos/a/b, beside its compose file, holds data", "/home/karl/photos")
        assert folders(beside, [], ROOT) == [said]

    def test_what_a_container_has_is_named_before_it(self):
        beside = replace(WANTED, beside={"library": "/home/karl/photos/library"})
        (said,) = folders(beside, [OLD], ROOT)
        assert "container photos_web has /srv/photos/library." in said
