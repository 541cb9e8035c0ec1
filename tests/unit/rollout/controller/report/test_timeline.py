from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
import run_documents
from ansible.module_utils.rollout.controller.report import page, timeline
from hypothesis import given
from hypothesis import strategies as st
from run_documents import event


def drawn(document):
    return [ET.fromstring(svg) for svg in re.findall(r'<svg class="timeline".*?</svg>', page.page(document), re.S)]


def texts(svg, kind):
    return [e.text for e in svg.iter("text") if e.get("class") == kind]


def percent(element, key):
    return float(element.get(key).rstrip("%"))


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (0, 0.5, [0]),
        (0, 3, [0, 1, 2, 3]),
        (0, 78, [0, 15, 30, 45, 60, 75]),
        (303.5, 393, [315, 330, 345, 360, 375, 390]),
    ],
)
def test_ticks(start, end, wanted):
    assert timeline.ticks(start, end) == wanted


@given(st.floats(0, 1e6), st.floats(0.01, 1e7))
def test_ticks_are_few_and_inside(start, width):
    found = timeline.ticks(start, start + width)
    assert len(found) <= 9
    assert all(start - 1e-3 * width <= at <= start + width * 1.001 for at in found)


STOP, START = event("h", "s", "stop", 10, 11), event("h", "s", "start", 11, 12)
HEALTHY, SICK = event("h", "s", "health", 12, 15), event("h", "s", "health", 12, 15, good=False)
BACK, WELL = event("h", "s", "revert", 16, 18), event("h", "s", "health", 18, 19)


@pytest.mark.parametrize(
    ("action", "events", "wanted"),
    [
        ("keep", [], [("in", 0, 20)]),
        ("recreate", [STOP, START, HEALTHY], [("in", 0, 10), ("out", 10, 15), ("in", 15, 20)]),
        ("recreate", [START, HEALTHY], [("in", 0, 11), ("out", 11, 15), ("in", 15, 20)]),
        ("recreate", [STOP, START, SICK], [("in", 0, 10), ("out", 10, 20)]),
        ("recreate", [STOP, START, SICK, BACK], [("in", 0, 10), ("out", 10, 18), ("in", 18, 20)]),
        ("recreate", [STOP, START, SICK, BACK, WELL], [("in", 0, 10), ("out", 10, 19), ("in", 19, 20)]),
        ("recreate", [BACK, WELL], [("in", 0, 16), ("out", 16, 19), ("in", 19, 20)]),
        ("recreate", [BACK | {"good": False}], [("in", 0, 16), ("out", 16, 20)]),
        ("create", [START, HEALTHY], [("in", 15, 20)]),
        ("remove", [STOP], [("in", 0, 10)]),
        # Of several containers others answer meanwhile.
        ("replace", [STOP, START, HEALTHY], [("in", 0, 20)]),
        ("scale", [STOP], [("in", 0, 20)]),
    ],
)
def test_when_a_service_was_in_service(action, events, wanted):
    assert timeline.in_service(events, action, 20) == wanted


def test_rows_are_hosts_with_their_services_in_the_documents_order():
    svg = drawn(run_documents.succeeded())[0]
    assert texts(svg, "host") == ["core", "workers-b", "workers-c", "gpu"]
    assert texts(svg, "service")[:3] == ["db", "backend", "backtest-worker-1"]
    assert texts(svg, "wave") == ["stage", "backend", "CPU workers", "GPU workers", "settle"]


def test_a_host_and_a_service_that_only_events_name_get_rows():
    (svg,) = drawn({"events": [event("h2", "s", "start", 0, 1)], "hosts": [{"name": "h1"}]})
    assert (texts(svg, "host"), texts(svg, "service")) == (["h1"], ["s"])


def test_a_short_switch_is_drawn_once_more():
    assert [p["title"] for p in timeline.pictures(run_documents.succeeded())] == ["The whole run", "The switch, closer"]
    assert [p["title"] for p in timeline.pictures(run_documents.reverted())] == ["The whole run"]
    closer = drawn(run_documents.succeeded())[1]
    assert not [e for e in closer.iter("rect") if "pull" in (e.get("class") or "").split()]


def test_a_bar_stands_at_its_time_and_says_what_it_was():
    (svg,) = drawn({"seconds": 100, "events": [event("h", "s", "health", 25, 75, good=False, detail="503")]})
    (bar,) = (e for e in svg.iter("rect") if e.get("class") == "bar health bad")
    assert (bar.get("x"), bar.get("width")) == ("25%", "50%")
    assert bar.findtext("title") == "until healthy, 50 s, failed, 503"
    assert texts(svg, "cross") == ["✕"]


def test_an_outage_is_told():
    svg = drawn(run_documents.succeeded())[0]
    assert "backend out of service for 4.5 s" in [e.findtext("title") for e in svg.iter("rect") if e.get("class") == "out"]


@pytest.mark.parametrize(
    "events",
    [None, [], "no list", [None], [{}], [event("h", None, "pull", 0, 1) | {"to": None}], [event("h", None, "pull", math.nan, 1)]],
)
def test_nothing_to_draw_is_no_picture(events):
    assert timeline.pictures({"events": events, "seconds": 10}) == []


def test_labels_of_waves_keep_apart():
    for svg in drawn(run_documents.succeeded()):
        placed = []
        for e in svg.iter("text"):
            if e.get("class") == "wave":
                width = 100 * len(e.text) * 6.8 / 480
                left = percent(e, "x") - (width if e.get("text-anchor") == "end" else 0)
                placed.append((e.get("y"), left, left + width))
        for n, (y, left, right) in enumerate(placed):
            assert not [1 for y2, left2, right2 in placed[n + 1 :] if y == y2 and left < right2 and left2 < right]


times = st.floats(0, 1e6)
some_events = st.lists(
    st.builds(
        event,
        st.sampled_from(["h1", "h2"]),
        st.sampled_from([None, "s1", "s2"]),
        st.sampled_from([*timeline.PHASES, "what"]),
        times,
        times,
        st.booleans(),
    ),
    min_size=1,
)
some_waves = st.lists(
    st.builds(lambda n, a, b: {"name": n, "from": a, "to": b}, st.sampled_from(["stage", "settle"]), times, times)
)


@given(some_events, some_waves)
def test_nothing_leaves_the_picture(events, waves):
    for svg in drawn({"events": events, "waves": waves, "hosts": [{"name": "h1"}]}):
        for rect in svg.findall("rect"):
            assert percent(rect, "x") >= 0
            assert percent(rect, "width") > 0
            assert percent(rect, "x") + percent(rect, "width") <= 100.01


@pytest.mark.parametrize("make", run_documents.ALL.values(), ids=run_documents.ALL)
def test_the_legend_names_every_bar(make):
    named = {kind for kind, _name in timeline.legend(make())}
    bars = {m for m in re.findall(r'class="bar (\w+)', page.page(make()))}
    assert named - {"in", "out"} == bars
