"""What the registries are asked, of what Compose read on the hosts."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import references
from ansible.module_utils.rollout.controller.target import PLACEHOLDER

DIGEST = "sha256:" + "1" * 64
WEB, CUDA = f"r/web:{PLACEHOLDER}", f"r/ml:{PLACEHOLDER}-cuda"


def host(images, here=(), **source):
    """What the step `read` returned on a host with one stack."""
    bundle = {
        "files": {"docker-compose.yml": {"text": "x", "mode": "0644"}},
        "secrets": {},
        "tag_variable": "IMAGE_TAG",
        **source,
    }
    return {"stacks": {"core": {"images": images}}, "here": list(here), "sources": {"core": bundle}}


FLEET = {
    "h1": host({"web": WEB, "db": "postgres:17", "proxy": f"haproxy:3@{DIGEST}"}, ["postgres:17", f"haproxy:3@{DIGEST}"]),
    "h2": host({"ml": CUDA, "db": "postgres:17", "graphs": "grafana/grafana"}, ["postgres:17"]),
}


def asked(refresh="", fleet=FLEET):
    found = references.asked(fleet, refresh)
    return {key: found[key] for key in ("following", "fixed", "refresh", "floating")}


def test_what_follows_the_release_and_what_a_host_lacks():
    assert asked() == {
        "following": [CUDA, WEB],
        # One host lacks it.
        "fixed": ["grafana/grafana"],
        "refresh": [],
        # It stays at its digest; where its tag has moved is only told. What has a digest never moves.
        "floating": ["postgres:17"],
    }


def test_what_one_host_lacks_is_resolved_for_all():
    fleet = {"h1": host({"db": "postgres:17"}, ["postgres:17"]), "h2": host({"db": "postgres:17"})}
    assert asked(fleet=fleet) == {"following": [], "fixed": ["postgres:17"], "refresh": [], "floating": []}


@pytest.mark.parametrize("refresh", ["true", "True", "yes", "all"])
def test_all_that_floats_is_refreshed(refresh):
    floats = ["grafana/grafana", "postgres:17"]
    assert asked(refresh) == {"following": [CUDA, WEB], "fixed": floats, "refresh": floats, "floating": []}


@pytest.mark.parametrize("refresh", ["db", "postgres:17", "postgres"])
def test_one_is_refreshed_by_its_service_its_image_or_its_name(refresh):
    assert asked(refresh) == {
        "following": [CUDA, WEB],
        "fixed": ["grafana/grafana", "postgres:17"],
        "refresh": ["postgres:17"],
        "floating": [],
    }


@pytest.mark.parametrize("refresh", ["nobody", "proxy", "web"], ids=["nowhere", "a digest", "follows"])
def test_a_refresh_of_what_cannot_move_is_refused(refresh):
    assert references.asked(FLEET, refresh)["refusal"] == (
        f"refresh={refresh} names no service or image of this fleet whose tag can move. Those that can: db (postgres:17), graphs "
        "(grafana/grafana)."
    )


def test_a_refresh_where_nothing_floats_is_refused():
    for refresh in ("db", "true"):
        assert references.asked({"h1": host({"web": WEB})}, refresh)["refusal"] == (
            f"refresh={refresh} names no service or image of this fleet whose tag can move. Those that can: none."
        )


@pytest.mark.parametrize("replace", [[], ["*"], ["db", "web"]])
def test_services_that_are_to_be_restarted(replace):
    assert references.asked(FLEET, "", {"replace": replace})["refusal"] == ""


def test_all_that_was_typed_wrong_is_said_at_once():
    typed = {"replace": ["db", "dbb", "*"], "rerun": ["y"], "done": ["web"]}
    assert references.asked(FLEET, "x", typed)["refusal"].splitlines() == [
        "refresh=x names no service or image of this fleet whose tag can move. Those that can: db (postgres:17), graphs "
        "(grafana/grafana).",
        "replace=dbb and rerun=y names no service of this fleet. Services: db, graphs, ml, proxy, web.",
    ]


def test_where_no_host_was_read_nothing_is_refused():
    assert references.asked({}, "db", {"replace": ["db"]})["refusal"] == ""


def test_the_variables_that_name_a_release():
    fleet = {"h1": host({}), "h2": host({}, tag_variable="IMMICH_VERSION"), "h3": host({}), "h4": {}}
    assert references.asked(fleet)["variables"] == ["IMAGE_TAG", "IMMICH_VERSION"]


def test_of_a_host_that_was_not_read_nothing_is_known():
    assert references.asked({"h1": {}, "h2": {"failed": True, "msg": "no"}}) == {
        "following": [],
        "fixed": [],
        "refresh": [],
        "floating": [],
        "files": references.files({}),
        "variables": [],
        "refusal": "",
    }


# The name of a release of files alone.


def named(*bundles):
    return references.files({f"h{n}": host({}, **bundle) for n, bundle in enumerate(bundles)})


def test_files_are_named_by_their_content():
    other = {"files": {"docker-compose.yml": {"text": "y", "mode": "0644"}}}
    assert named({}).startswith("files-")
    assert len(named({})) == len("files-1234567")
    assert named({}) == named({})
    assert len({named({}), named(other), named({}, other), named({"environment": {"A": "1"}}), named({"profiles": ["x"]})}) == 5


def test_neither_the_order_of_hosts_nor_a_second_one_with_the_same_nor_a_secret_makes_another_name():
    other = {"environment": {"A": "1"}}
    assert named({}, other) == named(other, {}, {})
    assert named({"secrets": {"PW": "one"}, "hidden": ["one"]}) == named({"secrets": {"PW": "two"}, "hidden": ["two"]})
