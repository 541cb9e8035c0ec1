"""Compose projects that are named otherwise than application and stack."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.verbs import observe, projects, reading, restage, settle, stage
from fake_engine import FakeEngine, image_id
from story import Host, actions, order, source, stack

HOW = {"source": {"project": "immich"}}


def stacks(*names: str, **how: str) -> dict[str, object]:
    return {name: source(stack("t", (name,), database=False), name, project=how.get(name, "")) for name in names}


def refused(call, *arguments, **how):
    with pytest.raises(RolloutError) as error:
        call(*arguments, **how)
    return str(error.value)


def test_all_that_a_rollout_makes_is_of_the_project_that_the_stack_names(host):
    host.rollout("a", **HOW)
    assert {c["Config"]["Labels"]["com.docker.compose.project"] for c in host.engine.made} == {"immich"}
    name = host.staged("b", **HOW)
    assert actions(host.bring(name, "run-b")) == {"db": "keep", "web": "recreate", "job": "recreate"}
    settle.confirm(host.store, host.engine, name, "run-b", "rollout", 5, False)
    rows = observe.services(host.store, host.engine, "app", ["core"], torch=False)
    assert [(row["service"], row["release"], row["drift"]) for row in rows if row["service"] == "web"] == [
        ("web", "sha-bbbbbbb", [])
    ]
    restage.restage(host.store, host.engine, "sha-aaaaaaa", False)
    assert actions(host.bring_back("sha-aaaaaaa", "run-c"))["web"] == "recreate"


@pytest.mark.parametrize("project", ["", "app-core"])
def test_the_usual_one_is_not_recorded_as_earlier_versions_did_not(host, project):
    host.rollout("a", source={"project": project})
    assert "project" not in host.store.manifest("sha-aaaaaaa")["parts"]["core"]
    assert projects.of(host.store, "app", "core") == "app-core"


class TestOf:
    def test_nothing_is_here(self, host):
        assert projects.of(host.store, "app", "core", "sha-aaaaaaa") == "app-core"

    def test_as_a_release_that_was_only_staged_has_it(self, host):
        host.staged("a", **HOW)
        assert projects.of(host.store, "app", "core") == "immich"

    def test_of_a_stack_that_a_release_has_no_more_as_the_stable_one_had_it(self, host):
        host.rollout("a", **HOW)
        name = host.staged("b", stacks={"more": stack("t", ("job",), database=False)})
        assert projects.of(host.store, "app", "core", name) == "immich"
        host.bring(name, "run-b", "more")
        host.bring(name, "run-b", "core")
        assert [c["Config"]["Labels"]["com.docker.compose.project"] for c in host.engine.made] == ["app-more"]

    def test_where_the_release_is_damaged(self, host):
        host.rollout("a", **HOW)
        host.staged("b", **HOW)
        host.spoil("sha-bbbbbbb", "torn")
        assert host.deployment("sha-bbbbbbb").project == "immich"

    def test_another_application_says_nothing(self, host):
        host.rollout("a", **HOW)
        assert projects.of(host.store, "other", "core") == "other-core"


def test_status_looks_for_what_runs_where_the_inventory_says_before_the_first_rollout(host):
    host.engine.images["r/web:v1"] = image_id("e")
    host.engine.add("photos", "web", {"image": "r/web:v1"})
    (row,) = observe.services(host.store, host.engine, "app", ["core"], torch=False, named={"core": "photos"})
    assert (row["service"], row["drift"]) == ("web", ["web runs, but the ledger knows no stable release"])
    host.staged("a")
    assert projects.of(host.store, "app", "core", named="photos") == "app-core"


class TestTwice:
    SAID = (
        "Stacks core and more are both Compose project {} on this host: each would remove what the other one starts. Give one of them "
        "another rollout_stacks.<stack>.project, or make one stack of both (compose takes a list of files)."
    )

    @pytest.mark.parametrize(
        ("named", "project"),
        [({"core": "x", "more": "x"}, "x"), ({"core": "app-more"}, "app-more"), ({"more": "app-core"}, "app-core")],
    )
    def test_two_stacks_of_a_host_are_not_one_project(self, host, named, project):
        both = stacks("core", "more", **named)
        assert refused(reading.read, host.store, host.engine, "app", "t", both) == self.SAID.format(project)

    def test_two_projects_are_two(self, host):
        reading.read(host.store, host.engine, "app", "t", stacks("core", "more", core="x"))


class TestOther:
    SAID = (
        "Stack core is Compose project {old} in stable release sha-aaaaaaa, and {new} in {release}: its volumes and networks would be "
        "left behind, and its services begin with empty ones. Let rollout_stacks.core.project say {old}."
    )

    @pytest.mark.parametrize(("old", "new"), [("", "immich"), ("immich", ""), ("immich", "other")])
    def test_a_project_does_not_change(self, host, old, new):
        host.rollout("a", source={"project": old})
        before = list(host.engine.touched)
        said = refused(host.staged, "b", source={"project": new})
        assert said == self.SAID.format(old=old or "app-core", new=new or "app-core", release="sha-bbbbbbb")
        assert host.engine.touched == before

    def test_before_the_first_stable_release_it_may_and_what_was_left_is_told(self, host):
        name = host.staged("a", **HOW)
        host.bring(name, "run-a")
        preview = stage.stage(host.store, host.engine, order("b"), True)["preview"]
        assert preview["left"] == {"core": "immich"}

    def test_what_is_left_of_two_applications_is_not_mixed_up(self, tmp_path):
        host, other = Host(tmp_path / "a"), None
        other = Host(tmp_path / "b", "other", host.engine)
        assert isinstance(host.engine, FakeEngine)
        host.rollout("a", **HOW)
        other.rollout("b", source={"project": "mine"})
        rows = observe.services(host.store, host.engine, "app", ["core"], torch=False)
        assert {row["service"] for row in rows} == {"web", "job", "db"}
