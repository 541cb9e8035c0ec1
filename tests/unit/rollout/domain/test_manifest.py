from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.manifest import Part

PART = {
    "compose": ["docker-compose.yml", "more.yml"],
    "profiles": ["gpu"],
    "services": {"web": {"deadline": 5}, "db": {}},
    "kept": {"db": "image"},
    "references": {"web": "r/web:v1", "db": "postgres:17"},
    "mounts": {"prometheus.yml": "0a/prometheus.yml", "dashboards": "0b/dashboards"},
    "former": {"web": "0123456789abcdef", "db": ""},
    "tag_variable": "IMMICH_VERSION",
    "project": "immich",
}
# As commit 6e677c5 wrote it.
FORMER = {
    "application": "app",
    "files": {".env": "0", "docker-compose.core.yml": "1", "docker-compose.core.pins.json": "2"},
    "images": {"r/web": {"digest": "sha256:a", "id": "sha256:1a"}, "h:5000/r/job": {"digest": "sha256:b", "id": "sha256:1b"}},
    "name": "sha-aaaaaaa.2",
    "release": "sha-aaaaaaa",
    "run": "run-a",
    "secrets": ["PW"],
    "stacks": ["core", "workers"],
}


def of(**parts):
    return {"stacks": list(parts), "parts": parts, "images": {}, "release": "v1"}


def test_a_part():
    found = manifests.part(of(core=PART), "core")
    assert found == Part(
        "core",
        ("docker-compose.yml", "more.yml", "rollout.pins.json"),
        ("gpu",),
        **{key: PART[key] for key in ("services", "kept", "references", "mounts", "former", "tag_variable", "project")},
    )
    assert found.env == "core/.env"


def test_a_part_that_says_only_what_it_must():
    found = manifests.part(of(core={"compose": ["c.yml"]}), "core")
    assert found == Part("core", ("c.yml", "rollout.pins.json"), services={})
    assert found.services is not None, "the inventory says the keys, and it said none"


def test_the_project_of_a_stack_is_named_after_it_unless_it_says_so():
    whole = {**of(core=PART, more={"compose": ["c.yml"]}), "application": "app"}
    assert [manifests.project(whole, stack) for stack in ("core", "more")] == ["immich", "app-more"]
    assert manifests.project(FORMER, "core") == "app-core"


def test_it_is_the_same_after_it_was_written():
    assert manifests.part(json.loads(json.dumps(of(core=PART))), "core") == manifests.part(of(core=PART), "core")


@pytest.mark.parametrize("stack", ["core", "workers"])
def test_a_part_of_an_earlier_version_lies_flat_and_its_file_says_the_keys(stack):
    found = manifests.part(FORMER, stack)
    assert found == Part("", (f"docker-compose.{stack}.yml", f"docker-compose.{stack}.pins.json"))
    assert (found.services, found.env, found.tag_variable) == (None, ".env", "IMAGE_TAG")


def test_what_an_earlier_version_wrote_is_known_by_its_lack_of_parts():
    assert manifests.is_former(FORMER)
    assert not manifests.is_former(of())
    assert not manifests.is_former(of(core=PART))


def test_the_images_of_an_earlier_version_get_their_references():
    found = manifests.upgraded(FORMER)
    assert found["images"] == {
        "r/web:sha-aaaaaaa": {"digest": "sha256:a", "id": "sha256:1a", "follows": True},
        "h:5000/r/job:sha-aaaaaaa": {"digest": "sha256:b", "id": "sha256:1b", "follows": True},
    }
    assert {key: found[key] for key in FORMER if key != "images"} == {key: FORMER[key] for key in FORMER if key != "images"}
    assert set(FORMER["images"]) == {"r/web", "h:5000/r/job"}, "what was read stays as it was"


def test_a_manifest_of_this_version_stays_as_it_is():
    known = {**of(core=PART), "images": {"postgres:17": {"digest": "sha256:d", "id": "sha256:1d"}}}
    assert manifests.upgraded(known) == known


def test_what_the_stacks_mount_is_named_by_stack_and_path():
    known = of(core=PART, other={"compose": ["c.yml"], "mounts": {"a.conf": "0c/a.conf"}}, plain={"compose": ["c.yml"]})
    assert manifests.mounted(known) == {
        "core/prometheus.yml": "0a/prometheus.yml",
        "core/dashboards": "0b/dashboards",
        "other/a.conf": "0c/a.conf",
    }
    assert manifests.mounted(FORMER) == {}
