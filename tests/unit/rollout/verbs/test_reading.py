from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import reading
from fake_engine import digest, image_id
from hypothesis import given
from hypothesis import strategies as st
from story import source, stack

UNSET = 'time="2026-01-01T00:00:00Z" level=warning msg="The \\"{}\\" variable is not set. Defaulting to a blank string."\n'
OBSOLETE = 'time="2026-01-01T00:00:00Z" level=warning msg="`version` is obsolete"\n'


def read(host, *bundles, tag="v1", **facts):
    stacks = {name: bundle for name, bundle in zip(("core", "workers"), bundles, strict=False)}
    return reading.read(host.store, host.engine, "app", tag, stacks, **facts)


def refused(host, *bundles, **facts):
    with pytest.raises(RolloutError) as error:
        read(host, *bundles, **facts)
    return str(error.value).splitlines()


def text(**services):
    return json.dumps({"services": services})


def test_what_compose_makes_of_the_stacks(host, tmp_path):
    host.engine.warnings = [OBSOLETE, OBSOLETE]
    mount = {"type": "bind", "source": "./conf/a", "target": "/a", "read_only": True}
    core = source(text(web={"image": "r/web:v1", "volumes": [mount]}, built={"build": "."}))
    found = read(host, core, source(stack("v1"), "workers"))
    assert found == {
        "changed": False,
        "stacks": {
            "core": {
                "images": {"web": "r/web:v1"},
                "mounts": [{"path": "conf/a", "kind": "bind", "service": "web", "target": "/a", "read_only": True}],
                "warnings": ["`version` is obsolete"],
            },
            "workers": {
                "images": {"web": "r/web:v1", "job": "r/job:v1", "db": "postgres:17"},
                "mounts": [],
                "warnings": ["`version` is obsolete"],
            },
        },
        "here": [],
    }
    assert host.engine.touched == []
    assert list(tmp_path.iterdir()) == [], "nothing is left, and no state is made"


def test_a_path_that_leaves_the_source_says_so(host):
    mount = {"type": "bind", "source": "../../x", "target": "/x"}
    found = read(host, source(text(web={"image": "x", "volumes": [mount]})))
    assert [one["path"] for one in found["stacks"]["core"]["mounts"]] == ["../../x"]


def seen(host, monkeypatch):
    """The files that Compose finds when it is asked, below the folder of the stack."""
    found, run = {}, host.engine.run

    def look(words, *rest, **options):
        if "config" in words:
            place = host.store.root.__class__(words[words.index("--project-directory") + 1])
            found.update({path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()})
            found.update({name: path.read_text() for name, path in found.items()})
            found["words"] = " ".join(words).replace(str(place), "HERE")
        return run(words, *rest, **options)

    monkeypatch.setattr(host.engine, "run", look)
    return found


def test_the_files_lie_as_in_a_release_with_the_env_that_they_will_have(host, monkeypatch):
    found = seen(host, monkeypatch)
    bundle = Bundle(
        files={
            "base.yml": File(text(web={"image": "r/web:${IMAGE_TAG}"}).encode()),
            "sub/more.yml": File(text(web={"user": "1"}).encode()),
            "sub/web.env": File(b"A=1\r\n"),
            "l.env": File(link="sub/web.env"),
            "conf/a": File(b"mounted"),
        },
        compose=("base.yml", "sub/more.yml"),
        profiles=("gpu",),
        environment={"PORT": 80},
        secrets={"PW": "canary"},
        paths=("conf",),
    )
    read(host, bundle, tag="the-tag")
    assert found.pop("words") == (
        "compose --project-name app-core --project-directory HERE --env-file HERE/.env --file HERE/base.yml --file HERE/sub/more.yml "
        "--profile gpu config --format json"
    )
    assert set(found) == {".env", "base.yml", "sub/more.yml", "sub/web.env", "l.env"}, "what is mounted is not read"
    assert found[".env"] == 'IMAGE_TAG="the-tag"\nPORT="80"\nPW="canary"\n'
    assert found["l.env"] == found["sub/web.env"]


@pytest.mark.parametrize(
    ("file", "variable", "line"),
    [
        ("image: r/web:${IMAGE_TAG}", "IMAGE_TAG", 'IMAGE_TAG="v1"\n'),
        ("image: r/web:${IMMICH_VERSION:-release}", "IMMICH_VERSION", 'IMMICH_VERSION="v1"\n'),
        # What no file asks for would only restart services that are given all variables.
        ("image: nextcloud:31", "IMAGE_TAG", ""),
        ("image: r/web:${IMAGE_TAG}", "IMMICH_VERSION", ""),
    ],
)
def test_the_release_is_in_the_variables_where_a_file_asks_for_it(file, variable, line):
    bundle = Bundle({"c.yml": File(file.encode())}, ("c.yml",), environment={"A": "1"}, tag_variable=variable)
    values = reading.values("v1", bundle)
    assert {**({variable: "v1"} if line else {}), "A": "1"} == values


def test_a_variable_without_a_value_is_refused(host):
    host.engine.warnings = [UNSET.format("PW"), OBSOLETE, UNSET.format("ADDRESS"), UNSET.format("PW")]
    assert refused(host, source(stack("v1"))) == [
        "docker-compose.core.yml: not set: ADDRESS, PW. Compose would use an empty value. Set it in "
        "rollout_stacks.core.environment or .secrets, give it a default in the file (${NAME:-}), or name it in "
        "rollout_stacks.core.allow_unset."
    ]
    assert refused(host, source(stack("v1"), allow_unset=("PW",)))[0].startswith("docker-compose.core.yml: not set: ADDRESS.")
    found = read(host, source(stack("v1"), allow_unset=("PW", "ADDRESS", "OTHER")))
    assert found["stacks"]["core"]["warnings"] == ["`version` is obsolete"], "what is meant to be empty is no warning"


def test_all_that_is_wrong_with_all_stacks_is_said_at_once(host):
    host.engine.warnings = [UNSET.format("PW")]
    said = refused(host, source("a: b: c"), source(stack("v1"), "workers"))
    assert said[0] == "Reading docker-compose.core.yml failed: yaml: mapping values are not allowed in this context"
    assert said[1].startswith("docker-compose.workers.yml: not set: PW. Compose would use an empty value. Set it in ")
    assert "rollout_stacks.workers.allow_unset" in said[1]
    assert len(said) == 2


def test_so_are_variables_before_compose_is_asked(host):
    core = source(stack("v1"), secrets={"PW": "", "SHORT": "x"})
    said = refused(host, core, source(stack("v1"), "workers", environment={"PATH": "/x", "A": True}))
    assert [line.split(" ")[1] for line in said[:2]] == ["PW", "SHORT"]
    assert said[2].startswith("PATH: docker takes what the host says")
    assert "config" not in host.engine.calls
    assert refused(host, source(stack("v1"), secrets={"SHORT": "x"}))[0].startswith("Secret SHORT has fewer than")
    assert read(host, source(stack("v1"), secrets={"SHORT": "x"}), allow_short=True)["stacks"]


def test_several_files_are_named_together(host):
    bundle = Bundle({"a.yml": File(b"{"), "b.yml": File(b"{}")}, ("a.yml", "b.yml"))
    assert refused(host, bundle)[0].startswith("Reading a.yml and b.yml failed: ")


@pytest.mark.parametrize("state", [False, True])
def test_nothing_of_it_stays_where_it_fails(host, tmp_path, monkeypatch, state):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if state:
        host.store.require_writable()
    before = sorted(tmp_path.rglob("*"))
    refused(host, source("a: b: c", secrets={"PW": "canary"}))
    assert sorted(tmp_path.rglob("*")) == before


class TestPresent:
    """Which image a reference stands for, by what this host knows."""

    other, mine, here = digest("1"), digest("2"), digest("3")

    def ask(self, host, image="postgres:17", service="db"):
        return reading.present(host.store, host.engine, "app-core", {service: image})

    def local(self, host, letter="3", image="postgres:17", **names):
        """An image that is here, by its tag, and by the digest of its repository."""
        host.engine.images[image] = image_id(letter)
        host.engine.images[f"{names.get('repository', 'postgres')}@{digest(letter)}"] = image_id(letter)

    def running(self, host, letter="2", image=None):
        """A container of the service, started with that reference."""
        host.engine.images[f"postgres@{digest(letter)}"] = image_id(letter)
        host.engine.add("app-core", "db", {"image": image or f"postgres:17@{digest(letter)}"})

    def stable(self, host, image="postgres:17"):
        """A stable release in which the reference has the digest 1."""
        manifest = {
            "release": "v1",
            "name": "v1",
            "application": "app",
            "stacks": ["core"],
            "parts": {"core": {"compose": ["c"]}},
        }
        images = {image: {"digest": self.other, "id": image_id("1")}}
        host.store.write_release("v1", {}, {**manifest, "images": images})
        host.store.append("confirmed", "r", name="v1", release="v1", action="rollout")

    def test_one_that_is_nowhere_needs_a_registry(self, host):
        assert self.ask(host) == {}

    def test_a_digest_stands_for_itself_whatever_is_here(self, host):
        pinned = f"postgres:17@{self.mine}"
        self.stable(host, pinned)
        self.local(host)
        assert self.ask(host, pinned) == {pinned: {"digest": self.mine}}

    @pytest.mark.parametrize("image", ["postgres@sha256:1", "postgres:17@md5:" + "1" * 64])
    def test_what_only_looks_like_a_digest_is_none(self, host, image):
        assert self.ask(host, image) == {}

    def test_then_comes_the_stable_release(self, host):
        self.stable(host)
        self.running(host)
        self.local(host)
        assert self.ask(host) == {"postgres:17": {"digest": self.other, "id": image_id("1")}}

    def test_but_not_with_another_reference(self, host):
        self.stable(host, "postgres:16")
        assert self.ask(host) == {}

    def test_then_what_the_service_runs(self, host):
        self.running(host)
        self.local(host)
        assert self.ask(host) == {"postgres:17": {"digest": self.mine, "id": image_id("2")}}

    def test_also_if_its_image_is_gone(self, host):
        self.running(host)
        host.engine.images.clear()
        assert self.ask(host) == {"postgres:17": {"digest": self.mine, "id": image_id("2")}}

    def test_but_not_what_another_service_runs_or_with_another_reference(self, host):
        self.running(host)
        assert self.ask(host, service="other") == {}
        assert self.ask(host, "postgres:16") == {}

    def test_then_the_image_that_is_here(self, host):
        self.local(host)
        assert self.ask(host) == {"postgres:17": {"digest": self.here, "id": image_id("3")}}

    @pytest.mark.parametrize("image", ["library/postgres:17", "docker.io/postgres:17", "docker.io/library/postgres:17"])
    def test_whatever_one_calls_its_repository(self, host, image):
        self.local(host, image=image)
        assert self.ask(host, image) == {image: {"digest": self.here, "id": image_id("3")}}

    def test_one_that_was_built_here_has_no_digest(self, host):
        host.engine.images["mine:dev"] = image_id("3")
        assert self.ask(host, "mine:dev") == {"mine:dev": {"digest": "", "id": image_id("3")}}

    def test_the_digest_of_another_repository_is_not_its_own(self, host):
        """It was tagged anew: no registry knows it by that name."""
        self.local(host, image="mine:dev")
        assert self.ask(host, "mine:dev") == {"mine:dev": {"digest": "", "id": image_id("3")}}

    def test_it_is_said_which_references_need_none(self, host):
        self.local(host)
        assert read(host, source(stack("v1")))["here"] == ["postgres:17"]


@given(st.dictionaries(st.text("ab", min_size=1), st.one_of(st.none(), st.sampled_from(["", "x:1"]))))
def test_the_references_are_those_of_services_that_have_one(images):
    config = {"services": {name: {"image": image} if image is not None else {} for name, image in images.items()}}
    assert reading.references(config) == {name: image for name, image in images.items() if image}


def test_a_stack_without_services_has_no_references():
    assert reading.references({}) == reading.references({"services": None}) == {}
