"""growth.svg, by numbers made up here."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bench.growth import chart, figures


def run(hosts, wall, kind="rollout"):
    phases = {"switch": wall / 2, "stage": wall / 4, "settle": wall / 8, "cpu": wall / 2, "peak_pss": wall * 2**20}
    return {"hosts": hosts, "kind": kind, "serial": 1, "wall": wall, **phases}


def drawn(*runs):
    return ElementTree.fromstring(chart.svg(runs)), chart.svg(runs)


@pytest.mark.parametrize(("low", "high", "ends"), [(3, 170, (2, 200)), (1, 1, (1, 1)), (0.7, 9, (0.5, 10))])
def test_ticks_span_the_values(low, high, ends):
    steps = chart.ticks(low, high)
    assert (steps[0], steps[-1]) == ends


def test_labels_do_not_cover_each_other():
    assert chart.spread([30, 10, 12], 15) == [40, 10, 25]


def test_each_series_has_its_panels_and_its_lines():
    root, text = drawn(run(1, 16.0), run(4, 32.0), run(1, 8.0, "no-op"), run(4, 9.0, "no-op"))
    lines = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(list(lines)) == 2 * len(chart.LINES)
    for word in ("Rollout, rollout_serial 1: seconds", "No-op, rollout_serial 1: seconds", "simulated hosts"):
        assert word in text


def test_linear_growth_is_a_straight_line():
    _root, text = drawn(run(1, 10.0), run(4, 40.0), run(16, 160.0))
    points = re.search(r'<polyline points="([^"]+)"', text)[1].split()
    (a, b), (c, d), (e, f) = (map(float, point.split(",")) for point in points)
    assert c - a == pytest.approx(e - c, abs=0.2)
    assert d - b == pytest.approx(f - d, abs=0.2)
    assert d < b


def test_one_size_is_points():
    root, text = drawn(run(1, 10.0))
    assert "nan" not in text
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == len(chart.LINES)


def test_all_is_within_the_picture():
    root, _text = drawn(run(1, 10.0), run(64, 640.0), run(1, 5.0, "no-op"))
    width, height = (float(root.get(key)) for key in ("width", "height"))
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(text.get("x")) <= width - 100 or text.get("class") == "middle"
        assert 0 <= float(text.get("y")) <= height


def test_the_lines_are_figures_that_are_measured():
    assert set(chart.LINES) <= set(figures.FIGURES)
